#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Sealed files are read by the kernel itself: as fast, and as right; where it cannot be, or is not
# wanted, they are read as before. No mixture of handles is an error.
# shellcheck disable=SC2317 # functions that check and wait_for call
. "$(dirname "$0")/lib.sh"

READERS=6

mounter() {
	pgrep -P "$DAEMON" -x notepackfs-mnt
}

# Has what is open as descriptor 6 bytes behind $1 that are read without the daemon? They are not in the page
# cache of the mount.
read_alone() {
	local n
	freeze
	n=$(timeout 5 dd bs=64K count=4 iflag=skip_bytes skip="$1" status=none <&6 | wc -c)
	thaw
	[ "$n" = 262144 ]
}

# Sealed, of which no page was read through the mount: random data, so the object is as long.
make_sealed() {
	"$BUILD/tests/mount/makedata" file random "$2" "$3" >"$MNT/$1"
	"$NOTEPACKCTL" wait "$MNT"
}

log_count() {
	[ "$(grep -c "$1" "$LOG")" = "$2" ]
}

# Opens and closes of one object, by several at once, each read and compared.
storm() {
	local i pids=()
	for i in $(seq "$READERS"); do
		(for _ in $(seq 40); do
			cmp -s "$STORE/$1.notepack.gz" "$MNT/$1.notepack.gz" || exit 1
		done) &
		pids+=($!)
	done
	for i in "${pids[@]}"; do
		wait "$i" || return 1
	done
}

# Ten descriptors of one object are opened and closed again in another order; each reads all of it.
mixed() {
	local fds=() fd i
	for i in 1 2 3 4 5 6 7 8 9 10; do
		exec {fd}<"$MNT/$1.notepack.gz" || return 1
		cmp -s "/proc/self/fd/$fd" "$STORE/$1.notepack.gz" || return 1
		fds+=("$fd")
	done
	for i in 3 0 9 1; do
		fd=${fds[i]}
		exec {fd}<&-
	done
	cmp -s "$MNT/$1.notepack.gz" "$STORE/$1.notepack.gz" || return 1
	for i in 2 4 5 6 7 8; do
		fd=${fds[i]}
		cmp -s "/proc/self/fd/$fd" "$STORE/$1.notepack.gz" || return 1
		exec {fd}<&-
	done
}

mapped() {
	python3 -c '
import mmap, sys
a, b = (open(n, "rb") for n in sys.argv[1:])
m = mmap.mmap(a.fileno(), 0, prot=mmap.PROT_READ)
sys.exit(m[:] != b.read())' "$MNT/$1.notepack.gz" "$STORE/$1.notepack.gz"
}

# ---- passed through ----

start grace=0,allow_delete
make_sealed probe 4000000 1
exec 6<"$MNT/probe.notepack.gz"
PASSED=
if read_alone 1000000; then
	PASSED=yes
	ok "a sealed file is read while the daemon stands still"
else
	check "without passthrough the log says so, and why" \
		log_count "through this process, and not directly: " 1
	skip "a sealed file is read while the daemon stands still" \
		"$(grep -o 'not directly: .*' "$LOG" | head -n 1)"
fi
check "every byte is right" cmp "/proc/self/fd/6" "$STORE/probe.notepack.gz"
check "a mapping, too" mapped probe
check "the plain name beside it" cmp "$MNT/probe" <("$BUILD/tests/mount/makedata" file random 4000000 1)
check "several handles at once" mixed probe
check "opened and closed again and again, by several" storm probe
mv "$MNT/probe" "$MNT/renamed"
check "a renamed one is read by who has it open" cmp "/proc/self/fd/6" "$STORE/renamed.notepack.gz"
check "… and opened once more" cmp "$MNT/renamed.notepack.gz" "$STORE/renamed.notepack.gz"
cp "$STORE/renamed.notepack.gz" "$WORK/copy"
exec 5<"$MNT/renamed.notepack.gz"
rm "$MNT/renamed"
check "a removed one is read by who has it open" cmp - "$WORK/copy" <&5
exec 5<&- 6<&-
gzip -c "$WORK/copy" >"$WORK/import.gz"
cp "$WORK/import.gz" "$MNT/import.notepack.gz"
check "an import" wait_for 20 cmp "$MNT/import.notepack.gz" "$WORK/import.gz"
check "nothing was logged that went wrong" [ -z "$(grep -iE 'error|warning' "$LOG")" ]
stop "passed through"

# ---- without the one who makes the ioctls ----

: >"$LOG"
start grace=0
make_sealed before 4000000 2
make_sealed after 4000000 3
exec 6<"$MNT/before.notepack.gz"
exec 5<"$MNT/before.notepack.gz"
pid=$(mounter)
kill -KILL "$pid"
wait_for 5 has_ended "$pid"
check "what is passed through has more handles" cmp "$MNT/before.notepack.gz" "$STORE/before.notepack.gz"
check "… and those that it has" cmp "/proc/self/fd/5" "$STORE/before.notepack.gz"
check "what is opened from now on is read as ever" cmp "$MNT/after.notepack.gz" "$STORE/after.notepack.gz"
check "… by several handles" mixed after
exec 5<&- 6<&-
check "… and so is what was passed through, when all have let it go" mixed before
[ -n "$PASSED" ] && check "the log says it once" log_count "through this process, and not directly: " 1
kill -TERM "$DAEMON"
umount -l "$MNT"
check "the daemon ends" daemon_status

# ---- passthrough=off ----

: >"$LOG"
start grace=0,allow_delete,passthrough=off
make_sealed off 4000000 4
exec 6<"$MNT/off.notepack.gz"
if read_alone 1000000; then
	fail "passthrough=off: nothing is read while it stands still"
else
	ok "passthrough=off: nothing is read while it stands still"
fi
check "… and all when it goes on" cmp "/proc/self/fd/6" "$STORE/off.notepack.gz"
check "… by several handles" mixed off
length=$(stat -c %s "$MNT/off.notepack.gz")
rm "$MNT/off"
# Named bug: once its attributes had to be asked for anew, a removed object had none.
check "a removed one has its length for who has it open" [ "$(stat -L -c %s /proc/self/fd/6)" = "$length" ]
exec 6<&-
check "the log does not mention it" log_count "not directly" 0
stop "passthrough=off"
check_clean_store
finish
