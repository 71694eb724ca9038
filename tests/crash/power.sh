#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Power cuts right behind an acknowledgement (an fsync that returned, a record in the manifest): the
# shutdown ioctl without a flush of the journal, on ext4 (also with noauto_da_alloc) and on XFS. What
# was acknowledged is there, each file under its name (FAULTS: I1 to I4, I6; L4, L13, L15).
. "$(dirname "$0")/../mount/lib.sh"

SEED=${SEED:-$(($(date +%s) % 100000))}
ROUNDS=${ROUNDS:-24}
RANDOM=$SEED
WRITER=$BUILD/tests/crash/powerwriter
DISK=$WORK/disk
STORE=$DISK/store
OPTIONS=grace=0.01,cut_size=0
echo "# SEED=$SEED ROUNDS=$ROUNDS"
mkdir "$DISK"

cleanup_more() {
	mountpoint -q "$DISK" && umount -l "$DISK"
}

need() {
	if ! command -v "$1" >/dev/null; then
		fail "$1 is missing: apt-get install $2"
		finish
	fi
}

# make_disk FS: a new file system with a store of its own for each round
make_disk() {
	rm -f "$WORK/disk.img"
	truncate -s "$([ "$1" = xfs ] && echo 320M || echo 64M)" "$WORK/disk.img"
	if [ "$1" = xfs ]; then
		mkfs.xfs -q "$WORK/disk.img" >>"$LOG" 2>&1
	else
		mkfs.ext4 -q -F "$WORK/disk.img" >>"$LOG" 2>&1
	fi
}

mount_disk() {
	case $1 in
	xfs) mount -o loop -t xfs "$WORK/disk.img" "$DISK" ;;
	ext4) mount -o loop -t ext4 "$WORK/disk.img" "$DISK" ;;
	noauto) mount -o loop,noauto_da_alloc -t ext4 "$WORK/disk.img" "$DISK" ;;
	esac
}

ended() {
	[ ! -e "/proc/$DAEMON/task" ] || [ "$(cat /proc/"$DAEMON"/task/*/stat | grep -vc ') Z ')" = 0 ]
}

# The machine is off.
power_off() {
	kill -KILL "$DAEMON"
	wait_for 1 ended >/dev/null || "$BUILD/tests/crash/crashwriter" abort "$MNT"
	wait "$DAEMON" 2>/dev/null
	DAEMON=
	umount "$MNT" 2>/dev/null || umount -l "$MNT"
	wait_for 10 umount "$DISK"
}

# step COMMAND…: what fails is named, with what the command says
step() {
	"$@" >"$WORK/said" 2>&1 && return
	echo "# failed with $?: $*"
	sed 's/^/# /' "$WORK/said"
	return 1
}

# cut_once FS ROUND
cut_once() {
	local record=$WORK/record.$2
	make_disk "$1" && step mount_disk "$1" && mkdir "$STORE" || return 1
	start "$OPTIONS"
	step "$WRITER" write "$MNT" "$STORE" "$record" "$SEED" "$2" $((1 + RANDOM % 25)) || return 1
	power_off
	step mount_disk "$1" || return 1
	start "$OPTIONS"
	step "$NOTEPACKCTL" wait "$MNT" || return 1
	step "$WRITER" verify "$MNT" "$record" || return 1
	step env -C "$MNT" sha256sum --quiet -c .notepackfs/sha256sums || return 1
	step "$NOTEPACKCTL" umount "$MNT" || return 1
	step daemon_status || return 1
	step find "$STORE" -name '*.notepack.gz' -exec gzip -t {} + || return 1
	step "$NOTEPACKCTL" check --deep "$STORE" || return 1
	wait_for 10 umount "$DISK"
}

# cuts FS COUNT
cuts() {
	local bad=0 i
	for ((i = 0; i < $2 && bad == 0; i++)); do
		ROUND=$((ROUND + 1))
		cut_once "$1" "$ROUND" || bad=1
	done
	check "what was acknowledged survives $2 power cuts on $1" [ "$bad" -eq 0 ]
	if [ "$bad" -ne 0 ]; then
		echo "# round $ROUND"
		finish
	fi
}

need mkfs.ext4 e2fsprogs
need losetup mount
ROUND=0
cuts ext4 $((ROUNDS / 2))
cuts noauto $((ROUNDS / 3))
if command -v mkfs.xfs >/dev/null; then
	cuts xfs $((ROUNDS / 4))
else
	skip "what was acknowledged survives power cuts on xfs" \
		"mkfs.xfs is missing: apt-get install xfsprogs"
fi
finish
