# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# lib.sh: what the tests of the source itself share. SOURCE_ROOT is the tree, BUILD the build
# directory (only those that look at what was built need it).
#
#	report NAME PROBLEMS	ok if PROBLEMS is empty; else not ok, with each line of it
#	need PROGRAM PACKAGE	end the test, failed, if the program is missing
#	sources [SUFFIX…]	the files of the tree, from its root, that end so; all without one
#	finish			the plan, and the status; the last line of a test

set -u
unset LANGUAGE
export LC_ALL=C.UTF-8
: "${SOURCE_ROOT:=$(realpath "$(dirname "$0")/../..")}"
cd "$SOURCE_ROOT" || exit 1
TESTS=0
FAILED=0

report() {
	TESTS=$((TESTS + 1))
	if [ -z "$2" ]; then
		echo "ok $TESTS - $1"
	else
		FAILED=$((FAILED + 1))
		printf '%s\n' "$2" | head -n 200 | sed 's/^/# /'
		echo "not ok $TESTS - $1"
	fi
}

finish() {
	echo "1..$TESTS"
	[ "$FAILED" -eq 0 ]
	exit
}

need() {
	command -v "$1" >/dev/null && return
	report "$1 is here" "$1 is missing: apt-get install $2, or contrib/setup-debian test"
	finish
}

# In a checkout what git would commit, else all but build directories.
sources() {
	local suffix
	local -a ends=("$@")

	[ $# -gt 0 ] || ends=("")
	if [ -e .git ] && command -v git >/dev/null; then
		git -c safe.directory='*' ls-files -co --exclude-standard
	else
		find . -name 'build*' -prune -o -name .git -prune -o -type f -printf '%P\n'
	fi | sort -u | while IFS= read -r file; do
		for suffix in "${ends[@]}"; do
			if [[ $file == *"$suffix" && -f $file ]]; then
				printf '%s\n' "$file"
				break
			fi
		done
	done
}
