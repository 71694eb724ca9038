#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# A sealed file is replaced by a new one (mv -f, with allow_delete), and right behind the rename the
# power goes: its name has the old content or the new, all of it, though nobody called fsync (FAULTS:
# I1, I3).
. "$(dirname "$0")/../mount/lib.sh"

ROUNDS=${ROUNDS:-6}
DISK=$WORK/disk
STORE=$DISK/store
mkdir "$DISK"

cleanup_more() {
	mountpoint -q "$DISK" && umount -l "$DISK"
}

make_disk() {
	rm -f "$WORK/disk.img"
	truncate -s 64M "$WORK/disk.img"
	mkfs.ext4 -q -F "$WORK/disk.img" >>"$LOG" 2>&1
}

mount_disk() {
	mount -o loop,noauto_da_alloc -t ext4 "$WORK/disk.img" "$DISK"
}

# The machine is off: the shutdown ioctl without a flush of the journal.
power_off() {
	python3 -c 'import fcntl, os, struct, sys
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack("I", 2))' "$DISK"
}

# round N: 1 if neither content is there
round() {
	make_disk && mount_disk && mkdir "$STORE" || return 1
	start grace=1h,allow_delete
	seq "$1" 20000 >"$MNT/data"
	"$NOTEPACKCTL" seal "$MNT/data" >>"$LOG" 2>&1 || return 1
	seq "$1" 30000 >"$MNT/data.tmp"
	mv -f "$MNT/data.tmp" "$MNT/data" || return 1
	power_off || return 1
	crash
	wait_for 10 umount "$DISK" && mount_disk || return 1
	start allow_delete
	cmp -s "$MNT/data" <(seq "$1" 20000) && OLD=$((OLD + 1))
	cmp -s "$MNT/data" <(seq "$1" 30000) && NEW=$((NEW + 1))
	"$NOTEPACKCTL" umount "$MNT" >>"$LOG" 2>&1
	daemon_status && wait_for 10 umount "$DISK"
}

OLD=0
NEW=0
for ((i = 1; i <= ROUNDS; i++)); do
	round "$i" || {
		fail "round $i"
		finish
	}
done
echo "# $OLD with the old content, $NEW with the new"
check "a replaced name has one content or the other after $ROUNDS power cuts" [ $((OLD + NEW)) -eq "$ROUNDS" ]
finish
