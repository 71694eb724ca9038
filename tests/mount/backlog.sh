#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# More raw bytes wait to be sealed than the option backlog allows: writers are slowed down, never
# refused; nobody else is; and the end of the mount does not wait for them. That sealing is behind is
# sure here: the name of an object is taken in the store, by something else. With many writers it is
# slow instead, and what they write in sum is what is sealed.
. "$(dirname "$0")/lib.sh"

WRITER=
WRITERS=64
SHIM=$BUILD/tests/mount/libslowcodec.so

cleanup_more() {
	[ -n "$WRITER" ] && kill "$WRITER" 2>/dev/null
}

slowed() {
	grep -q '"slowed_writers":[1-9]' "$MNT/.notepackfs/status"
}

waiting() {
	grep -q '"waiting_bytes":200000,' "$MNT/.notepackfs/status"
}

# A mount with 200,000 bytes that cannot be sealed, and a backlog of 64 KiB.
start_behind() {
	start grace=0.01,backlog=64K
	head -c 200000 /dev/zero >"$MNT/blocked"
	wait_for 10 waiting
}

# So many are, each with a write of 1 MiB.
slowed_are() {
	grep -q "\"slowed_writers\":$1," "$MNT/.notepackfs/status"
}

# start_slowed N: one more, the Nth; its pid is in WRITER
start_slowed() {
	head -c 1048576 "$WORK/data" | dd of="$MNT/slowed-$1" bs=1M iflag=fullblock 2>/dev/null &
	WRITER=$!
	wait_for 20 slowed_are "$1"
}

start_slowed_many() {
	local i
	for i in $(seq "$1"); do
		start_slowed "$i" || return 1
		SLOWED+=("$WRITER")
	done
}

killed() {
	kill -KILL "$1"
	wait "$1" 2>/dev/null
	[ $? -eq 137 ]
}

big_waits() {
	grep -q '"waiting_bytes":[0-9]\{9\},' "$MNT/.notepackfs/status"
}

# write_files N: 512 KiB in files of 128 KiB, each one write
write_files() {
	local i
	for i in 1 2 3 4; do
		head -c 131072 "$WORK/data" >"$MNT/$1-$i" || return 1
	done
}

# All that WRITERS processes write, 32 MiB, and then what waits, in bytes, is in $WORK/waiting.
write_all() {
	local pids=() i
	for i in $(seq "$WRITERS"); do
		write_files "$i" &
		pids+=($!)
	done
	for i in "${pids[@]}"; do
		wait "$i" || return 1
	done
	sed -E 's/.*"waiting_bytes":([0-9]+),.*/\1/' "$MNT/.notepackfs/status" >"$WORK/waiting"
	sed 's/^/# waiting bytes: /' "$WORK/waiting"
}

waits_at_most() {
	[ "$(cat "$WORK/waiting")" -le "$1" ]
}

all_are_whole() {
	local f count=0
	for f in "$MNT"/[0-9]*-[0-9].notepack.gz; do
		count=$((count + 1))
		zcat "$f" | cmp -n 131072 - "$WORK/data" || return 1
	done
	[ "$count" -eq $((WRITERS * 4)) ]
}

# The kernel gives no byte behind what it has an answer for. (For a moment behind each answer stat may be ahead of it,
# as with any FUSE file system.)
cat >"$WORK/ends.py" <<'END'
import os, sys
path, writer = sys.argv[1], sys.argv[2]
looks = short = 0
while os.path.exists(f"/proc/{writer}/fd/1") and looks < 1000:
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        looks += 1
        short += size > 0 and len(os.pread(file.fileno(), 1, size - 1)) == 0
print(f"# {looks} looks, {short} ended before the size")
sys.exit(looks < 10 or short > looks // 4)
END

start
stop "an empty store"
echo "not an object" >"$STORE/blocked.notepack.gz"
check "sealing is behind" start_behind
head -c 20000000 /dev/urandom >"$WORK/data"
dd if="$WORK/data" of="$MNT/data" bs=100K 2>/dev/null &
WRITER=$!
check "a writer is slowed down" wait_for 10 slowed
check "others are not: a name is made" mkdir "$MNT/dir"
check "and read" quietly stat "$MNT/data"
check "and the file that is written" quietly head -c 1 "$MNT/data"
# Named bug: who read by the size that stat says met the end of the file, and tar wrote zeroes for the rest.
check "as far as stat says" python3 "$WORK/ends.py" "$MNT/data" "$WRITER"
check "the writer gets to its end" wait "$WRITER"
WRITER=
check "and all is there" cmp "$WORK/data" "$MNT/data"

# Without the obstacle there is no backlog, and no one waits.
rm "$STORE/blocked.notepack.gz"
check "the obstacle gone, all is sealed" wait_for 60 quietly "$NOTEPACKCTL" wait "$MNT"
dd if="$WORK/data" of="$MNT/more" bs=100K 2>/dev/null &
check "no one is slowed down any more" wait $!
check "the status says so" grep -q '"slowed_writers":0' "$MNT/.notepackfs/status"
stop "after a backlog"

# ---- the mount ends while a writer waits ----

rm -rf "$STORE"
mkdir "$STORE"
start
stop "another empty store"
echo "not an object" >"$STORE/blocked.notepack.gz"
check "sealing is behind again" start_behind
dd if=/dev/zero of="$MNT/endless" bs=100K 2>"$WORK/dd" &
WRITER=$!
check "an endless writer is slowed down" wait_for 10 slowed
umount -l "$MNT"
kill -TERM "$DAEMON"
daemon=0
daemon_status || daemon=$?
check "the daemon ends while it writes, and says that something is left" [ "$daemon" -eq 5 ]
wait "$WRITER"
check "the writer is told" grep -q "endless" "$WORK/dd"
WRITER=
rm -f "$STORE"/blocked.notepack.gz*
start grace=0.01
check "the next mount seals it" wait_for 60 quietly "$NOTEPACKCTL" wait "$MNT"
check "what was blocked is there" cmp -n 200000 "$MNT/blocked" /dev/zero
stop "after the end"

# ---- many writers, and sealing at 5 MB/s ----

rm -rf "$STORE"
mkdir "$STORE"
if ! nm -D "$NOTEPACKFS" | grep -qE "__(a|t)san_init"; then
	export LD_PRELOAD="$SHIM" # a sanitizer's own library must be the first; it makes sealing slow, too
fi
start codec=zlib,grace=0.01,backlog=4M,threads=1,allow_delete # the codec that is made slow
unset LD_PRELOAD
check "many write, and none is refused" write_all
check "what waits then is four times the limit at most, however many they are" \
	waits_at_most $((16 << 20))
check "all is sealed in the end" wait_for 120 quietly "$NOTEPACKCTL" wait "$MNT"
check "and is what was written" all_are_whole

# ---- one of them is killed ----

head -c 200000000 /dev/urandom >"$MNT/big"
check "a large file waits" wait_for 20 big_waits
SLOWED=()
check "writers wait behind it, each for his turn" start_slowed_many 9
check "the last one dies of SIGKILL" killed "${SLOWED[8]}"
check "at once, while others wait for their turn" slowed
check "the large file is removed" rm "$MNT/big"
for i in 0 1 2 3 4 5 6 7; do
	wait "${SLOWED[i]}" || fail "a writer got to its end"
done
WRITER=
check "what they wrote is there" cmp -n 1048576 "$WORK/data" "$MNT/slowed-8"
stop "after many writers"
finish
