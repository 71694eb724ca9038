#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# A disk that fills up: writers are refused in write(), what was accepted is kept, sealing waits, says
# so, and goes on when there is room; a disk with less room than the largest file empties itself
# piece by piece; the reserve is kept; a drain that cannot finish says so, and the next mount does.
. "$(dirname "$0")/lib.sh"

DISK=$WORK/disk
STORE=$DISK/store
mkdir "$DISK"

cleanup_more() {
	mountpoint -q "$DISK" && umount -l "$DISK"
}

# disk SIZE: a new file system with a store
disk() {
	mountpoint -q "$DISK" && umount "$DISK"
	mount -t tmpfs -o size="$1" tmpfs "$DISK" && mkdir "$STORE"
}

free_bytes() {
	stat -f -c '%a * %S' "$DISK" | bc
}

parts() {
	find "$MNT" -maxdepth 1 -name "$1*.notepack.gz" | wc -l
}

# ---- ENOSPC comes from write() ----

disk 8M
start grace=0.05,reserve=0
head -c 200000 /dev/urandom >"$WORK/kept"
cp "$WORK/kept" "$MNT/kept"
check "what has room is sealed" wait_for 10 sealed "$MNT/kept"
noise 20M 1 | dd of="$MNT/big.part" bs=64K iflag=fullblock 2>"$WORK/dd"
check "a writer that fills the disk is told by write(2)" grep -q "No space left on device" "$WORK/dd"
size=$(stat -c %s "$MNT/big.part")
check "what was accepted is there" cmp -n "$size" "$MNT/big.part" <(noise 20M 1)
check "and is nearly all that there was room for" [ "$size" -gt 7000000 ]
rm "$MNT/big.part"
stop "after a full disk"

# ---- piece by piece ----

disk 16M
start grace=0.05,reserve=0
noise 10000000 2 >"$WORK/big"
cp "$WORK/big" "$MNT/big"
check "a file larger than what is left is sealed" wait_for 30 quietly "$NOTEPACKCTL" wait "$MNT"
check "in several parts" [ "$(parts big)" -gt 1 ]
check "its content is the same" cmp "$WORK/big" "$MNT/big"
check "its raw file is gone" [ ! -e "$STORE/big" ]
check "the log says why" grep -q "big: the store has less room than it may need" "$LOG"
stop "after pieces"
check "the store is whole" quietly "$NOTEPACKCTL" check --deep "$STORE"

disk 16M
start grace=0.05,reserve=0
seq 1 1600000 >"$WORK/lines"
head -c 11000000 "$WORK/lines" >"$MNT/lines"
exec 6<"$MNT/lines"
check "lines are sealed piece by piece while a reader has them open" \
	wait_for 30 quietly "$NOTEPACKCTL" wait "$MNT"
check "the reader reads them all" cmp -n 11000000 <(cat <&6) "$WORK/lines"
exec 6<&-
ends=$(for object in "$MNT"/lines*.notepack.gz; do zcat "$object" | tail -c 1 | od -An -c; done | grep -vc '\\n')
check "each part but the last ends with a line" [ "$ends" -le 1 ]
stop "after lines"

# ---- a crash in the middle ----

disk 16M
start grace=0.05,reserve=0,threads=1
cp "$WORK/big" "$MNT/big"
check "the first of several parts appears" wait_for 20 test -e "$MNT/big.notepack.gz"
crash
start grace=0.05,reserve=0
check "the next mount goes on with it" wait_for 30 quietly "$NOTEPACKCTL" wait "$MNT"
check "and its content is the same" cmp "$WORK/big" "$MNT/big"
stop "after a crash between pieces"
check "the store is whole after that" quietly "$NOTEPACKCTL" check --deep "$STORE"

# ---- no room at all ----

disk 4M
start grace=1h,reserve=0
noise 2000000 3 >"$MNT/data"
fallocate -l "$(free_bytes)" "$DISK/ballast" 2>/dev/null || dd if=/dev/zero of="$DISK/ballast" bs=64K 2>/dev/null
"$NOTEPACKCTL" seal "$MNT/data" 2>"$WORK/seal" &
pid=$!
check "sealing waits for room, and says so" wait_for 10 status_says "No space left on device"
check "the bytes are readable meanwhile" cmp "$MNT/data" <(noise 2000000 3)
status=0
kill -INT "$pid"
wait "$pid" || status=$?
check "who waits for it can be interrupted: exit 5" [ "$status" = 5 ]
check "… and is told that it goes on" grep -q "interrupted; sealing goes on" "$WORK/seal"
for timeout in 0 0.2; do
	status=0
	"$NOTEPACKCTL" wait --timeout "$timeout" "$MNT" 2>"$WORK/wait" || status=$?
	check "wait --timeout $timeout: exit 5 when it has passed" [ "$status" = 5 ]
	check "… and it says that sealing goes on" grep -q "timed out; sealing goes on" "$WORK/wait"
done
status=0
"$NOTEPACKCTL" umount "$MNT" >"$WORK/umount" 2>&1 || status=$?
daemon=0
daemon_status || daemon=$?
check "a drain that finds no room exits 5, the daemon, too" [ "$status $daemon" = "5 5" ]
rm -f "$DISK/ballast"
start grace=0.05,reserve=0
check "the next mount finishes it" quietly "$NOTEPACKCTL" wait "$MNT" --timeout 20
check "nothing was lost" cmp "$MNT/data" <(noise 2000000 3)
stop "after the drain that found no room"

# ---- the reserve ----

disk 16M
start grace=1h,reserve=8M
noise 20M 4 | dd of="$MNT/data" bs=64K iflag=fullblock 2>"$WORK/dd"
check "a writer does not get the reserve" grep -q "No space left on device" "$WORK/dd"
check "it is still free" [ "$(free_bytes)" -ge $((8 << 20)) ]
check "the log names the remedy" grep -q "make room, or mount with a smaller -o reserve" "$LOG"
check "bytes that are there can be changed" quietly dd if=/dev/zero of="$MNT/data" bs=64K count=4 conv=notrunc
stop "with a reserve"
check "what was accepted is sealed with it" [ -e "$STORE/data.notepack.gz" ]
umount "$DISK"
# ---- where nothing can be overwritten in place ----

# Named bugs: on a full btrfs the daemon could not write how it ended, and notepackctl umount said that it
# had died (1); where there was no room for the text of the lock either, that there was nothing to flush (0).
truncate -s 128M "$WORK/image"
mkfs.btrfs -q "$WORK/image" >/dev/null
mount -o loop "$WORK/image" "$DISK"
mkdir "$STORE"
start grace=1h,reserve=0
noise 200M 4 | dd of="$MNT/big" bs=64K iflag=fullblock 2>"$WORK/dd"
size=$(stat -c %s "$MNT/big")
check "btrfs is filled" [ "$size" -gt 10000000 -a "$size" -lt 200000000 ]
status=0 daemon=0
"$NOTEPACKCTL" umount "$MNT" >"$WORK/umount" 2>&1 || status=$?
daemon_status || daemon=$?
check "a drain that finds no room on btrfs exits 5, the daemon, too" [ "$status $daemon" = "5 5" ]
check "… having written down what is left" grep -q "1 file could not be sealed" "$WORK/umount"
start grace=1h,reserve=0
check "nothing was lost on it" cmp -n "$size" "$MNT/big" <(noise 200M 4)
: >"$STORE/.notepackfs/lock"
rm "$STORE/.notepackfs/last_stop"
mkdir "$STORE/.notepackfs/last_stop"
status=0 daemon=0
"$NOTEPACKCTL" umount "$MNT" >"$WORK/umount" 2>&1 || status=$?
daemon_status || daemon=$?
check "without any word of the daemon it is not called flushed" [ "$status $daemon" = "1 5" ]
rmdir "$STORE/.notepackfs/last_stop"
umount "$DISK"
disk 4M
start grace=1h,reserve=0
noise 2000000 3 >"$MNT/data"
dd if=/dev/zero of="$DISK/ballast" bs=64K 2>/dev/null
mkdir "$STORE/.notepackfs/last_stop"
status=0 daemon=0
"$NOTEPACKCTL" umount "$MNT" >"$WORK/umount" 2>&1 || status=$?
daemon_status || daemon=$?
check "a daemon that cannot write how it ended has not died: exit 5" [ "$status $daemon" = "5 5" ]
check "… and notepackctl says so" grep -q "could not write down how" "$WORK/umount"
umount "$DISK"
finish
