#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# A codec that writes wrong bytes: each chunk is decompressed and compared before the raw bytes are
# given up, so nothing of it is ever published, and nothing is lost.
. "$(dirname "$0")/lib.sh"

SHIM=$BUILD/tests/mount/libbadcodec.so
UNTIL=$WORK/until

status_says() {
	grep -q "$1" "$MNT/.notepackfs/status"
}

if nm -D "$NOTEPACKFS" | grep -qE "__(a|t)san_init"; then
	skip "a chunk that decompresses to other bytes is not published" \
		"the sanitizer's own library must be the first that is preloaded"
	finish
fi
seq 1 200000 >"$WORK/data"
LD_PRELOAD=$SHIM BADCODEC_UNTIL=$UNTIL "$NOTEPACKFS" "$STORE" "$MNT" -f -o grace=0.01 >>"$LOG" 2>&1 &
DAEMON=$!
check "it mounts" wait_for 20 mounted
cp "$WORK/data" "$MNT/data"
check "the status says what is wrong" wait_for 10 status_says "does not decompress to the same bytes"
check "so does the log, by name" grep -q "data: not sealed yet: what was compressed" "$LOG"
check "nothing is listed as sealed" [ ! -e "$STORE/data.notepack.gz" ]
check "the file reads as it was written" cmp "$WORK/data" "$MNT/data"
touch "$UNTIL"
check "with a codec that works again it is sealed" wait_for 30 sealed "$MNT/data"
check "and is the same" cmp "$WORK/data" <(zcat "$MNT/data.notepack.gz")
stop
check "the store is whole" quietly "$NOTEPACKCTL" check --deep "$STORE"
finish
