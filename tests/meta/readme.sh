#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The session in README.md does what it says: each of its commands is run, as it stands there,
# against the build, with a home directory of its own.
. "$(dirname "$0")/lib.sh"
: "${BUILD:?the build directory}"

work=$(mktemp -d "${TMPDIR:-/tmp}/notepackfs-readme.XXXXXX")
cleanup() {
	if mountpoint -q "$work/home/notes"; then
		"$BUILD/mount/notepackctl" umount "$work/home/notes" || umount -l "$work/home/notes"
	fi
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

awk '/^<!-- session:/ { wanted = 1 } wanted && /^```$/ { exit }
	inside { print } wanted && /^```sh$/ { inside = 1 }' README.md >"$work/session"
mkdir "$work/home"

# Each command's output goes to a file of its number; a line that fails ends the session.
{
	echo 'set -e'
	awk -v out="$work/out" 'NF && !/^#/ {
		print "exec >" out "." ++n " 2>&1"
		print
	} END { print n > (out ".count") }' "$work/session"
} >"$work/script"
status=0
HOME=$work/home PATH=$BUILD/mount:$PATH LC_ALL=C bash "$work/script" </dev/null || status=$?
commands=$(cat "$work/out.count")

# The output of the command that has this text in its line.
output_of() {
	local n
	n=$(grep -vE '^(#|$)' "$work/session" | grep -nF -m 1 -- "$1" | cut -d: -f1)
	cat "$work/out.${n:-none}"
}

expect() {
	local name=$1 text=$2 command=$3
	report "$name" "$(output_of "$command" 2>&1 | grep -qF -- "$text" ||
		echo "$command printed: $(output_of "$command" 2>&1 | head -n 5)")"
}

report "the session has commands" "$([ "$commands" -ge 20 ] || echo "only $commands")"
report "every command of the session succeeds" \
	"$([ "$status" -eq 0 ] || find "$work" -name 'out.*' -printf '%T@ %p\n' | sort -n | tail -n 1 |
		cut -d' ' -f2 | xargs tail -n 20 -v)"
expect "the sealed file is listed" GPL-3.notepack.gz 'ls -l ~/notes ~/notes/2026'
expect "the object reads with zcat" 'GENERAL PUBLIC LICENSE' 'zcat ~/notes/GPL-3.notepack.gz'
expect "an offset reads" 'event 3' 'tail -c 8'
expect "the append is the next part" events.jsonl.p000000002.notepack.gz 'ls ~/notes/2026'
expect "the plain name gives all parts" 'event 4' 'cat ~/notes/2026/events.jsonl'
expect "removing is refused" 'Operation not permitted' 'rm -f ~/notes/GPL-3.notepack.gz'
expect "ls shows the state" sealed 'notepackctl ls -l'
expect "the checksums are right" 'OK' 'sha256sum -c'
expect "the store is readable without notepackfs" "$(printf 'event 1\nevent 2')" 'cat ~/archive/2026'
report "nothing is left mounted" "$(grep -F " $work/" /proc/self/mountinfo)"
finish
