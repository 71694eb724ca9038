# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# states.sh: a file in each state that a name can be in. Sourced after lib.sh. The mount must have a
# grace of hours: then nothing changes its state but what a test asks for.

# shellcheck disable=SC2034 # for those who source this
STATES=(open excluded grace sealed parts tail writer)
TOOL=$BUILD/tests/mount/nametool

# make_state STATE PATH: the open ones stay open at descriptor 7 until close_states.
make_state() {
	local state=$1 path=$2
	case $state in
	open)
		exec 7>>"$path"
		echo "1 $state" >&7
		;;
	excluded | grace)
		echo "1 $state" >"$path"
		;;
	sealed)
		echo "1 $state" >"$path"
		"$NOTEPACKCTL" seal "$path"
		;;
	parts)
		echo "1 $state" >"$path"
		"$NOTEPACKCTL" seal "$path"
		echo "2 $state" >>"$path"
		"$NOTEPACKCTL" seal "$path"
		;;
	tail)
		echo "1 $state" >"$path"
		"$NOTEPACKCTL" seal "$path"
		echo "2 $state" >>"$path"
		;;
	writer)
		echo "1 $state" >"$path"
		"$NOTEPACKCTL" seal "$path"
		exec 7>>"$path"
		echo "2 $state" >&7
		;;
	esac
}

close_states() {
	exec 7>&-
}

# What make_state has written; a file of the state excluded has the name x.tmp.
content_of() {
	echo "1 $1"
	case $1 in parts | tail | writer) echo "2 $1" ;; esac
}

# Only a state of this list has its bytes in objects only, or in part.
has_sealed_bytes() {
	case $1 in sealed | parts | tail | writer) true ;; *) false ;; esac
}

name_of() {
	case $1 in excluded) echo "$1.tmp" ;; *) echo "$1" ;; esac
}

# has_content STATE PATH
has_content() {
	[ "$(content_of "$1")" = "$(cat "$2" 2>&1)" ]
}

# logged REGEXP
logged() {
	grep -qE -- "$1" "$LOG"
}
