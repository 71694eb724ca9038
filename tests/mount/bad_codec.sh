#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# A codec that writes wrong bytes: each chunk is decompressed and compared before the raw bytes are
# given up, so nothing of it is ever published, and nothing is lost. Whichever codec it is.
. "$(dirname "$0")/lib.sh"

SHIM=$BUILD/tests/mount/libbadcodec.so

# bad CODEC
bad() {
	local codec=$1 until=$WORK/until.$1 data=$MNT/data.$1

	if ! has_codec "$codec"; then
		skip "$codec: a chunk that decompresses to other bytes is not published" \
			"this build has no $codec"
		return
	fi
	LD_PRELOAD=$SHIM BADCODEC_UNTIL=$until "$NOTEPACKFS" "$STORE" "$MNT" -f \
		-o "grace=0.01,codec=$codec" >>"$LOG" 2>&1 &
	# shellcheck disable=SC2034 # lib.sh has it
	DAEMON=$!
	check "$codec: it mounts" wait_for 20 mounted
	cp "$WORK/data" "$data"
	check "$codec: the status says what is wrong" \
		wait_for 10 status_says "does not decompress to the same bytes"
	check "$codec: so does the log, by name" \
		grep -q "data.$codec: not sealed yet: what was compressed" "$LOG"
	check "$codec: nothing is listed as sealed" [ ! -e "$STORE/data.$codec.notepack.gz" ]
	check "$codec: the file reads as it was written" cmp "$WORK/data" "$data"
	touch "$until"
	check "$codec: when it works again it is sealed" wait_for 30 sealed "$data"
	check "$codec: and is the same" cmp "$WORK/data" <(zcat "$data.notepack.gz")
	stop "$codec"
	check "$codec: the store is whole" quietly "$NOTEPACKCTL" check --deep "$STORE"
}

if nm -D "$NOTEPACKFS" | grep -qE "__(a|t)san_init"; then
	skip "a chunk that decompresses to other bytes is not published" \
		"the sanitizer's own library must be the first that is preloaded"
	finish
fi
seq 1 200000 >"$WORK/data"
for codec in zlib libdeflate isal; do
	bad "$codec"
done
finish
