#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# compat.sh [MODE…] | --table: ordinary programs on a mount, beside the same programs on a plain directory.
#
# MODE is default, allow_delete or fsync_sync: the option of the mount. Without any all three are run, the
# second and the third, unless NOTEPACKFS_LONG=1, only with those cases whose result differs. --table prints the cases as
# Markdown instead; COMPATIBILITY.md of this directory is that, and a test in tests/meta compares the two. ONLY=REGEXP runs the cases of these names.
#
# The cases are in compat/*.sh. One is declared, then defined:
#
#	compat NAME WHERE EXPECTED 'TITLE' ['WHY']
#	before_NAME() { … }		optional: what is there, and sealed, when the case begins
#	refused_NAME() { … }	optional: makes of what before_NAME has left what a refused case leaves
#	case_NAME() { … }		run in an empty directory of its own, with -e and pipefail
#
#	WHERE		any	its result does not depend on when files are cut: run on the mount without grace,
#				in the mode default also on that of the long grace
#			grace	it changes what it has closed: on the mount of the long grace only
#			cuts	it waits for a cut while the file is open: on the mount without grace only
#	EXPECTED	what holds in all modes, or for the three of them, with slashes between:
#			works	it succeeds, and leaves what it leaves on the plain directory
#			ERRNO	it is refused, says so, and all that before_NAME has left is still there
#			blind	it does not find what is sealed, since it goes by the list of the directory
#			loses	as EPERM; and the program goes on without having stored what it was given
#
# After all cases of a mount everything is sealed, and compare.py looks at every file by its plain name
# and through its objects; again after a remount. Each case is one TAP line for each mount.
#
# For the cases: $IN has files to work with, $T is a directory outside the mount, $MODE, and
#
#	volatile NAME GLOB	the content of these files differs each time: it is compared with what was read
#				at the end of the case
#	leaves NAME GLOB	a refused case leaves or changes these files: they are not looked at
#	until_true COMMAND…	wait for a condition
#	barrier		everything closed is sealed
#	seal FILE	it is sealed now, open or not
#	traced COMMAND…	prints the system calls that failed with EPERM: for programs that do not say why
. "$(dirname "$0")/lib.sh"

HERE=$(realpath "$(dirname "$0")")
MODES=(default allow_delete fsync_sync)
declare -A OPTIONS=([default]="" [allow_delete]=",allow_delete" [fsync_sync]=",fsync=sync")
declare -A GRACE=([patient]="grace=1h" [eager]="grace=0,cut_size=0")
declare -A RUNS_ON=([any]=eager [grace]=patient [cuts]=eager)
declare -A MESSAGE=([EPERM]="EPERM|Operation not permitted" [loses]="Operation not permitted"
	[blind]="No targets|No module named|bad object|nothing added|did not match any")

CASES=()
SECTIONS=()
declare -A WHERE EXPECTED TITLE WHY SECTION VOLATILE LEAVES RAN=()

section() { SECTIONS+=("$1"); }

compat() {
	CASES+=("$1")
	WHERE[$1]=$2
	EXPECTED[$1]=$3
	TITLE[$1]=$4
	WHY[$1]=${5-}
	SECTION[$1]=${SECTIONS[-1]}
}

volatile() { VOLATILE[$1]=$2; }
leaves() { LEAVES[$1]=$2; }

. "$(dirname "$0")/compat/copy.sh"
. "$(dirname "$0")/compat/files.sh"
. "$(dirname "$0")/compat/read.sh"
. "$(dirname "$0")/compat/rsync.sh"
. "$(dirname "$0")/compat/archive.sh"
. "$(dirname "$0")/compat/network.sh"
. "$(dirname "$0")/compat/edit.sh"
. "$(dirname "$0")/compat/build.sh"
. "$(dirname "$0")/compat/append.sh"
. "$(dirname "$0")/compat/logrotate.sh"
. "$(dirname "$0")/compat/daemons.sh"
. "$(dirname "$0")/compat/database.sh"

# What is expected of a case in a mode: `works` and a/b/c are the ways to say it.
expected_in() {
	local -a each
	local i
	IFS=/ read -ra each <<<"${EXPECTED[$1]}"
	for i in "${!MODES[@]}"; do
		[ "${MODES[i]}" != "$2" ] || echo "${each[i]-${each[0]}}"
	done
}

# ---- the table ----

in_words() {
	case $1 in
	works) echo works ;;
	blind) echo "does not find it" ;;
	loses) echo "**loses what follows**" ;;
	*) echo "refused: $1" ;;
	esac
}

print_table() {
	local section name mode
	cat <<-'END'
		<!-- SPDX-License-Identifier: BSD-2-Clause -->
		<!-- written by: tests/mount/compat.sh --table -->
		# Which programs work, and which are refused

		Each row is a test of `compat.sh`: the program runs on a plain directory and on a mount, and the results
		are compared, by plain names and through the objects, when all is sealed and after a remount. "Sealed" means
		that the bytes in question were sealed before the program began; without the word they are new, or
		younger than `grace`. Where a program is refused, all that had been stored before is still there.
	END
	for section in "${SECTIONS[@]}"; do
		# shellcheck disable=SC2016 # Markdown
		printf '\n## %s\n\n| program | default | `allow_delete` | `fsync=sync` | why |\n|---|---|---|---|---|\n' "$section"
		for name in "${CASES[@]}"; do
			[ "${SECTION[$name]}" = "$section" ] || continue
			printf '| %s |' "${TITLE[$name]//|/\\|}"
			for mode in "${MODES[@]}"; do
				printf ' %s |' "$(in_words "$(expected_in "$name" "$mode")")"
			done
			printf ' %s |\n' "${WHY[$name]//|/\\|}"
		done
	done
}

# ---- what the cases use ----

until_true() {
	wait_for 60 "$@"
}

barrier() {
	[ "$PLACE" = native ] || "$NOTEPACKCTL" wait "$MNT"
}

seal() {
	[ "$PLACE" = native ] || "$NOTEPACKCTL" seal "$@"
}

traced() {
	local status=0
	strace -f -qq -e status=failed -o "$T/trace" "$@" || status=$?
	sed -n 's/.*EPERM/EPERM/p' "$T/trace"
	return "$status"
}

# ---- running them ----

# The tree that the case left on the plain directory, with what it reads here in its volatile files.
snapshot() {
	cp -a "$WORK/want/works/$1" "$SNAPSHOT/$1"
	(cd "$SNAPSHOT/$1" && find . -type f -path "./${VOLATILE[$1]}" -print0) |
		(cd "$2" && cpio --quiet -0pdmu "$SNAPSHOT/$1")
}

# run FUNCTION DIRECTORY OUTPUT: its status. Never call it where -e is ignored (if, ||).
run() {
	(
		cd "$2" || exit 99
		set -eo pipefail
		"$1"
	) >>"$3" 2>&1 </dev/null
}

# run_case NAME DIRECTORY: both its functions, with what is sealed between them.
run_case() {
	local name=$1 dir=$2 out=$RESULTS/$1.out status
	T=$WORK/scratch/$PLACE/$name
	mkdir -p "$dir" "$T"
	: >"$out"
	if declare -F "before_$name" >/dev/null; then
		run "before_$name" "$dir" "$out"
		status=$?
		[ "$status" -eq 0 ] || echo "before_$name failed: $status" >>"$out"
		barrier >>"$out" 2>&1
	fi
	if [ "$PLACE" = native ]; then
		cp -a "$dir" "$WORK/want/refused/$name"
		! declare -F "refused_$name" >/dev/null || run "refused_$name" "$WORK/want/refused/$name" "$out"
	fi
	run "case_$name" "$dir" "$out"
	echo $? >"$RESULTS/$name.status"
	rm -rf "$T"
	if [ -n "${VOLATILE[$name]-}" ] && [ "$(expected_in "$name" "$MODE")" = works ]; then
		snapshot "$name" "$dir" >>"$out" 2>&1
	fi
}

run_natively() {
	local name status
	PLACE=native MODE=
	RESULTS=$WORK/results/native
	mkdir -p "$RESULTS" "$WORK/want/refused" "$WORK/want/works"
	for name in "${CASES[@]}"; do
		run_case "$name" "$WORK/want/works/$name"
		status=$(<"$RESULTS/$name.status")
		if [ "$status" -ne 0 ] || grep -q '^before_.* failed' "$RESULTS/$name.out"; then
			sed 's/^/# /' "$RESULTS/$name.out"
			fail "$name on a plain directory (status $status)"
		fi
	done
}

# The tree that a case must have left: FIELD CASE DIRECTORY LEFTOVERS, tabs between.
list_wanted() {
	local name
	for name in "$@"; do
		if [ "$(expected_in "$name" "$MODE")" != works ]; then
			printf '%s\t%s\t%s\n' "$name" "$WORK/want/refused/$name" "${LEAVES[$name]-}"
		elif [ -n "${VOLATILE[$name]-}" ]; then
			printf '%s\t%s\t\n' "$name" "$SNAPSHOT/$name"
		else
			printf '%s\t%s\t\n' "$name" "$WORK/want/works/$name"
		fi
	done
}

compare() {
	python3 "$HERE/compat/compare.py" "$MNT" "$WORK/began" <"$RESULTS/wanted" >"$RESULTS/$1"
	check "$MODE, $PLACE: all trees were compared: $1" [ $? -eq 0 ]
}

# One line for a case: what it did, what it left, and that a remount changed nothing.
judge() {
	local name=$1 expected status problems
	expected=$(expected_in "$name" "$MODE")
	status=$(<"$RESULTS/$name.status")
	problems=$(
		if [ "$expected" = works ]; then
			[ "$status" -eq 0 ] || echo "exit status $status"
		else
			grep -qE "${MESSAGE[$expected]}" "$RESULTS/$name.out" || echo "was not refused with $expected"
		fi
		grep '^before_.* failed' "$RESULTS/$name.out"
		sed -n "s|^$name: |sealed: |p" "$RESULTS/sealed"
		sed -n "s|^$name: |remounted: |p" "$RESULTS/remounted"
	)
	if [ -n "$problems" ]; then
		{ echo "$problems"; echo "its output:"; tail -n 30 "$RESULTS/$name.out"; } | sed 's/^/# /'
		fail "$MODE, $PLACE: $name: $expected"
	else
		ok "$MODE, $PLACE: $name: $expected"
	fi
}

is_of_mode() {
	[ -n "$FULL" ] || [ "$MODE" = default ] || [[ ${EXPECTED[$1]} == */* ]]
}

runs_here() {
	is_of_mode "$1" || return 1
	[ "$MODE ${WHERE[$1]}" = "default any" ] || [ "${RUNS_ON[${WHERE[$1]}]}" = "$PLACE" ]
}

run_on_mount() {
	local name
	local -a names=()
	PLACE=$1
	RESULTS=$WORK/results/$MODE.$PLACE
	SNAPSHOT=$WORK/snapshot/$MODE.$PLACE
	STORE=$WORK/store.$MODE.$PLACE
	mkdir -p "$RESULTS" "$SNAPSHOT" "$STORE"
	: >"$LOG"
	start "${GRACE[$PLACE]}${OPTIONS[$MODE]}"
	for name in "${CASES[@]}"; do
		runs_here "$name" || continue
		names+=("$name")
		RAN[$name]=1
		run_case "$name" "$MNT/$name"
	done
	list_wanted "${names[@]}" >"$RESULTS/wanted"
	check "$MODE, $PLACE: everything is sealed" quietly "$NOTEPACKCTL" wait "$MNT"
	compare sealed
	stop "$MODE, $PLACE"
	start "${GRACE[$PLACE]}${OPTIONS[$MODE]}"
	compare remounted
	stop "$MODE, $PLACE, remounted"
	check "$MODE, $PLACE: the store is whole" quietly "$NOTEPACKCTL" check --deep "$STORE"
	check "$MODE, $PLACE: the daemon had no error" [ -z "$(grep -E ': (error|warning):' "$LOG")" ]
	for name in "${names[@]}"; do
		judge "$name"
	done
	COUNT=$((COUNT + ${#names[@]}))
}

cleanup_more() {
	[ -z "${SERVER-}" ] || kill "$SERVER"
}

if [ "${1-}" = --table ]; then
	print_table
	exit 0
fi
FULL=1
if [ $# -eq 0 ]; then
	set -- "${MODES[@]}"
	[ "${NOTEPACKFS_LONG:-0}" = 1 ] || FULL=
fi
ALL=${#CASES[@]}
if [ -n "${ONLY-}" ]; then
	mapfile -t CASES < <(printf '%s\n' "${CASES[@]}" | grep -E "$ONLY")
fi
# What Debian has installed, with the programs of the administrator.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
export T LC_ALL=C TZ=UTC HOME=$WORK/home IN=$WORK/in
export GIT_CONFIG_NOSYSTEM=1 TERM=vt100 PYTHONDONTWRITEBYTECODE=1
umask 022
mkdir "$HOME"
. "$(dirname "$0")/compat/inputs.sh"
touch "$WORK/began"
start_server
make_ssh
COUNT=0
run_natively
for MODE in "$@"; do
	run_on_mount patient
	run_on_mount eager
done
for name in "${CASES[@]}"; do
	[ -n "${RAN[$name]-}" ] || fail "$name: runs on a mount"
done
[ -n "$FULL" ] || skip "allow_delete, fsync_sync: cases whose result is that of default" "NOTEPACKFS_LONG=1 is not set"
[ "${#RAN[@]}" -eq "$ALL" ] || echo "# ONLY=${ONLY-}: the other cases are skipped"
echo "# $ALL cases; run on mounts: $COUNT; skipped: $((ALL - ${#RAN[@]}))"
finish
