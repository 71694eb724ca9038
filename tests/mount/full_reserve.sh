#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The reserve: whatever takes room gets ENOSPC before it is touched, bytes and inodes, and what needs none
# is never refused; with it all that was accepted is sealed.
. "$(dirname "$0")/lib.sh"

DISK=$WORK/disk
STORE=$DISK/store
mkdir "$DISK"

cleanup_more() {
	mountpoint -q "$DISK" && umount -l "$DISK"
}

# disk OPTIONS: a new tmpfs with a store
disk() {
	mountpoint -q "$DISK" && umount "$DISK"
	mount -t tmpfs -o "$1" tmpfs "$DISK" && mkdir "$STORE"
}

# ext4 SIZE OPTIONS…: the same on ext4
ext4() {
	mountpoint -q "$DISK" && umount "$DISK"
	rm -f "$WORK/image"
	truncate -s "$1" "$WORK/image"
	mkfs.ext4 -q -F -m 0 "${@:2}" "$WORK/image" && mount -o loop "$WORK/image" "$DISK" && mkdir "$STORE"
}

free_bytes() {
	stat -f -c '%a * %S' "$DISK" | bc
}

free_inodes() {
	stat -f -c %d "$DISK"
}

RESERVE=$((16 << 20))

reserve_is_free() {
	[ "$(free_bytes)" -ge "$RESERVE" ]
}

# into FILE FIRST MIB: that many MiB of noise from FIRST on, in place
into() {
	noise $(($3 << 20)) 5 | dd of="$1" bs=1M seek="$2" conv=notrunc iflag=fullblock 2>&1
}

# append FILE BYTES
append() {
	noise "$2" 6 >>"$1"
}

# ---- bytes ----

# Named bug: only a write beyond the last byte written asked for room; fallocate, and filling a hole from below,
# took the reserve, and nothing could be sealed again, not by the next mount either.
bytes() {
	start "grace=1h,reserve=$RESERVE"
	check_refused "$1: fallocate does not get the reserve" "No space left on device" \
		fallocate -l "$(($(free_bytes) - (4 << 20)))" "$MNT/greedy.part"
	check_refused "$1: nor without the size" "No space left on device" \
		fallocate -n -l "$(($(free_bytes) - (4 << 20)))" "$MNT/greedy.part"
	check_refused "$1: nor as zeros" "No space left on device" \
		fallocate -z -l "$(($(free_bytes) - (4 << 20)))" "$MNT/greedy.part"
	check "$1: nothing was taken" reserve_is_free

	check "$1: fallocate gets what there is besides" fallocate -l 20M "$MNT/own.part"
	noise 1M 7 >"$MNT/sealed"
	"$NOTEPACKCTL" seal "$MNT/sealed"
	check "$1: room behind sealed bytes, too" fallocate -o 1M -l 2M "$MNT/sealed"
	into "$MNT/sparse" 0 2 >/dev/null
	truncate -s 1M "$MNT/mapped"
	truncate -s 300M "$MNT/hole" "$MNT/sparse"
	into "$MNT/hole" 0 200 >"$WORK/dd"
	check "$1: a hole is not filled with the reserve" grep -q "No space left on device" "$WORK/dd"
	check "$1: it is still free" reserve_is_free

	fallocate -l "$(($(free_bytes) - (8 << 20)))" "$DISK/ballast"
	check_refused "$1: below the reserve no byte is appended" "No space left on device" append "$MNT/hole" 100000
	check_refused "$1: nothing is made" "No space left on device" mkdir "$MNT/directory"
	check "$1: a range that is allocated can be written" quietly into "$MNT/own.part" 3 10
	check "$1: allocated again" fallocate -l 20M "$MNT/own.part"
	check_refused "$1: not beyond" "No space left on device" fallocate -l 24M "$MNT/own.part"
	check "$1: what lies behind sealed bytes can be written" quietly into "$MNT/sealed" 1 2
	check "$1: bytes between holes can be written" quietly into "$MNT/sparse" 0 2
	check_refused "$1: the hole behind them cannot" "No space left on device" into "$MNT/sparse" 1 2
	python3 -c 'import mmap, sys
with open(sys.argv[1], "r+b") as f, mmap.mmap(f.fileno(), 0) as m: m[:] = b"x" * len(m)' "$MNT/mapped"
	check "$1: room can be given back" fallocate -p -l 4M "$MNT/own.part"
	check_refused "$1: and is taken no more" "No space left on device" into "$MNT/own.part" 0 1
	check "$1: the log names the remedy" grep -q "make room, or mount with a smaller -o reserve" "$LOG"
	rm "$DISK/ballast"
	truncate -s 20M "$MNT/hole" "$MNT/sparse"
	cp "$MNT/hole" "$WORK/hole"
	stop "$1: with the reserve"
	check "$1: what was accepted is sealed with it" cmp "$WORK/hole" <(cat "$STORE"/hole*.notepack.gz | zcat)
	check "$1: what a mapping wrote, too" [ "$(cat "$STORE"/mapped*.notepack.gz | zcat | tr -dc x | wc -c)" -eq 1048576 ]
	check "$1: what was written behind sealed bytes, too" cmp <(noise 1M 7; noise 2M 5) <(cat "$STORE"/sealed*.notepack.gz | zcat)
}

disk size=96M
bytes tmpfs
ext4 96M
bytes ext4

# ---- inodes ----

# fill N: files until one is refused; their number, and why no more
fill() {
	for ((i = 0; i < $1; i++)); do
		echo "data $i" >"$MNT/n$i.part" || break
	done 2>"$WORK/refusal"
	made=$i
}

all_sealed() {
	[ "$(find "$STORE" -maxdepth 1 -name 'n*.notepack.gz' | wc -l)" -eq "$made" ]
}

# Named bug: files took the last inodes, and nothing was sealed again, not by the next mount either.
# inodes NAME LEFT MOST: at least LEFT stay free of a file system with fewer than MOST
inodes() {
	start grace=0
	check "$1: what is there for the inodes is made and sealed" quietly cp /etc/passwd "$MNT/first"
	check "$1: it is sealed" wait_for 10 sealed "$MNT/first"
	fill "$3"
	check "$1: who makes a file is told" grep -q "No space left on device" "$WORK/refusal"
	check "$1: inodes are left for sealing" [ "$(free_inodes)" -ge "$2" ]
	check "$1: not most of them" [ "$made" -gt $((2 * $3 / 3)) ]
	check_refused "$1: no directory is made" "No space left on device" mkdir "$MNT/directory"
	check_refused "$1: no link" "No space left on device" ln -s target "$MNT/link"
	check_refused "$1: no raw file for a sealed one" "No space left on device" append "$MNT/first" 10
	check "$1: what is there can be written" append "$MNT/n0.part" 10
	check "$1: the log says what is missing" grep -q "inodes are free on its file system, which sealing needs" "$LOG"
	for ((i = 0; i < made; i++)); do
		mv "$MNT/n$i.part" "$MNT/n$i"
	done
	stop "$1: with inodes for it"
	check "$1: all is sealed" all_sealed
}

disk size=64M,nr_inodes=80
inodes "80 inodes" 5 80
ext4 64M -N 2048
inodes "2048 inodes" 64 2048

disk size=64M,nr_inodes=80
start grace=0,reserve=0
fill 80
check "without a reserve the last inode can be had" [ "$(free_inodes)" -eq 0 ]
mv "$MNT/n0.part" "$MNT/n0"
check "sealing waits, and says for what" wait_for 10 grep -q "No inodes left" "$MNT/.notepackfs/status"
rm "$MNT"/n[1-9].part
check "it goes on when there are some" wait_for 20 sealed "$MNT/n0"
rm "$MNT"/n*.part
stop "after the last inode"
umount "$DISK"
finish
