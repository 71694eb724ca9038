#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# A crash between the final name of an object and its record: the next mount is usable at once, while the
# object is compared with its raw file in the background; nothing is taken on trust, nothing is lost.
# shellcheck disable=SC2317 # functions that check and wait_for call
. "$(dirname "$0")/lib.sh"

SHIM=$BUILD/tests/mount/libheldread.so
FIFO=$WORK/fifo
PRIVATE=$STORE/.notepackfs
mkfifo "$FIFO"

# As the crash leaves it: the raw file with its mark, and its object, which a copy of the store has made.
leave_object() {
	rm -rf "$STORE" "$WORK/twin" "$WORK/twin.mnt"
	mkdir "$STORE" "$WORK/twin.mnt"
	start grace=1h
	cp "$WORK/data" "$MNT/long"
	crash
	cp -a "$STORE" "$WORK/twin"
	"$NOTEPACKFS" "$WORK/twin" "$WORK/twin.mnt" -o grace=0
	"$NOTEPACKCTL" umount "$WORK/twin.mnt" 2>/dev/null
	cp -a "$WORK/twin/long.notepack.gz" "$STORE/"
	INO=$(stat -c %i "$STORE/long.notepack.gz")
}

# Whoever reads it lets it go; without a reader the time is up.
release() {
	timeout 20 sh -c ": >'$FIFO'"
}

if nm -D "$NOTEPACKFS" | grep -qE "__(a|t)san_init"; then
	skip "the mount is usable while the object is read" \
		"the sanitizer's own library must be the first that is preloaded"
	finish
fi
"$BUILD/tests/mount/makedata" file random $((4 << 20)) 1 >"$WORK/data"

leave_object
LD_PRELOAD=$SHIM HELDREAD_FIFO=$FIFO start grace=0
check "the mount is usable before the object was read" cmp "$WORK/data" "$MNT/long"
check "the file waits to be sealed" status_says '"pending_files":1,'
check "its sealed name is not there yet" [ ! -e "$STORE/long.notepack.gz" ]
echo text >"$MNT/other"
check "… and others can be written" [ "$(cat "$MNT/other")" = text ]
check "the object is being read meanwhile" release
check "the file is sealed then" wait_for 20 sealed "$MNT/long"
check "with the object that was there" [ "$(stat -c %i "$STORE/long.notepack.gz")" = "$INO" ]
check "the log says so" grep -q "long: was sealed and not yet in the manifest" "$LOG"
stop
check "it has the bytes" cmp "$WORK/data" <(zcat "$STORE/long.notepack.gz")
check "the store is whole" quietly "$NOTEPACKCTL" check --deep "$STORE"

leave_object
chmod u+w "$STORE/long.notepack.gz"
printf 'damage' | dd of="$STORE/long.notepack.gz" bs=1 seek=1000000 conv=notrunc status=none
start grace=0
check "one that is damaged: the raw bytes are sealed" wait_for 20 sealed "$MNT/long"
check "and it is kept aside" [ "$(stat -c %i "$PRIVATE/quarantine/1.gz")" = "$INO" ]
check "the log says why" grep -q "long: its object, which a crash had left without a record, is damaged" "$LOG"
stop
check "the file has the bytes" cmp "$WORK/data" <(zcat "$STORE/long.notepack.gz")
check "the store is whole again" quietly "$NOTEPACKCTL" check --deep "$STORE"

# ro: nothing is touched
leave_object
find "$STORE" -printf '%P %i %s %m\n' | sort >"$WORK/before"
start ro
check "ro: the file is read from its raw file" cmp "$WORK/data" "$MNT/long"
stop
find "$STORE" -printf '%P %i %s %m\n' | sort >"$WORK/after"
check "… and nothing is touched" cmp "$WORK/before" "$WORK/after"
finish
