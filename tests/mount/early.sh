#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Files of 64 MiB and more are compressed while they are written: the status counts the chunks that the seal
# used again, and those that it had to compress again because they were changed behind the job.
. "$(dirname "$0")/lib.sh"

# Here someone waits for the threads of low priority, and beside other tests that would be long.
renice -n -15 -p $$ >/dev/null 2>&1 || echo "# without the right to renice: this takes longer"

WRITER=
BYTES=$((70 << 20))

cleanup_more() {
	[ -n "$WRITER" ] && kill "$WRITER" 2>/dev/null
}

# early KEY: a number of the status
early() {
	sed -E "s/.*\"early\":\\{[^}]*\"$1\":([0-9]+).*/\\1/" "$MNT/.notepackfs/status"
}

early_has() {
	[ "$(early "$1")" -ge "$2" ]
}

no_temporary() {
	[ -z "$(find "$STORE/.notepackfs/tmp" -type f)" ]
}

# What was used again and compressed again since the last call.
take_counts() {
	local reused redone
	reused=$(early reused_chunks)
	redone=$(early redone_chunks)
	REUSED=$((reused - ${REUSED_BEFORE:-0}))
	REDONE=$((redone - ${REDONE_BEFORE:-0}))
	REUSED_BEFORE=$reused
	REDONE_BEFORE=$redone
	echo "# used again: $REUSED, compressed again: $REDONE"
}

# seal NAME SOURCE: it is what SOURCE has, in the mount and to gzip; REUSED and REDONE say how it came
seal() {
	"$NOTEPACKCTL" seal "$MNT/$1" && take_counts && cmp "$2" "$MNT/$1" &&
		zcat "$MNT/$1.notepack.gz" | cmp - "$2"
}

# begin NAME: write WORK/data there and keep it open on descriptor 9, until the job is near its end
begin() {
	exec 9<>"$MNT/$1" && cat "$WORK/data" >&9 && wait_for 60 early_has bytes $((BYTES - (6 << 20)))
}

# The same bytes, sealed without a job: an excluded name has none.
batch() {
	cp "$1" "$MNT/.batch" && mv "$MNT/.batch" "$MNT/batch" && "$NOTEPACKCTL" seal "$MNT/batch"
}

same_object() {
	cmp "$MNT/$1.notepack.gz" "$MNT/batch.notepack.gz" && rm "$MNT/batch"
}

# The same lines again and again: quick to compress.
yes "$(seq 2000)" | head -c "$BYTES" >"$WORK/data"
start grace=1h,level=1,threads=2,allow_delete

check "a file is written" cp "$WORK/data" "$MNT/a"
check "it is complete before it is cut" wait_for 60 early_has complete 1
check "one temporary is there" [ "$(find "$STORE/.notepackfs/tmp" -type f | wc -l)" -eq 1 ]
check "it is sealed" seal a "$WORK/data"
check "all full chunks were there" [ "$REUSED $REDONE" = "$((BYTES >> 18)) 0" ]
check "one without a job is sealed" batch "$WORK/data"
take_counts
check "nothing of it was there" [ "$REUSED $REDONE" = "0 0" ]
check "the objects are the same, byte for byte" same_object a

# ---- changed meanwhile ----

check "a file is begun" begin b
check "a byte of it is overwritten" \
	python3 -c "
import os, mmap, sys
fd = os.open(sys.argv[1], os.O_RDWR)
os.pwrite(fd, b'\0', 20 << 20)
with mmap.mmap(fd, 0) as m:
    m[40 << 20] = 0
    m.flush()
os.fsync(fd)
" "$MNT/b"
exec 9>&-
cp "$WORK/data" "$WORK/changed"
for at in 20 40; do
	printf '\0' | dd of="$WORK/changed" bs=1M seek=$at conv=notrunc 2>/dev/null
done
check "it is sealed" seal b "$WORK/changed"
check "two chunks were compressed again" [ "$REDONE" -eq 2 ]
check "and the others were not" [ "$REUSED" -ge $(((BYTES >> 18) - 26)) ]
check "it is what it would be without a job" batch "$WORK/changed"
check "byte for byte" same_object b

check "a file is begun" begin c
exec 9>&-
check "it is complete" wait_for 60 early_has complete 1
check "its raw file is changed behind the mount's back" \
	dd if=/dev/zero of="$STORE/c" bs=1 count=1 seek=$((20 << 20)) conv=notrunc status=none
cp "$WORK/data" "$WORK/changed"
printf '\0' | dd of="$WORK/changed" bs=1M seek=20 conv=notrunc 2>/dev/null
check "what the raw file has is sealed" seal c "$WORK/changed"
check "one chunk was compressed again" [ "$REDONE" -eq 1 ]

check "a file is begun" begin d
check "it is truncated" truncate -s $((65 << 20)) "$MNT/d"
exec 9>&-
head -c $((65 << 20)) "$WORK/data" >"$WORK/short"
check "it is sealed" seal d "$WORK/short"
check "what was before is used again" [ "$REUSED $REDONE" = "$((65 * 4)) 0" ]

check "a file is begun" begin e
check "it is removed" rm "$MNT/e"
exec 9>&-
check "nothing is left of it" wait_for 20 no_temporary

# ---- the end of the mount ----

check "a file is begun" begin f
crash
exec 9>&-
check "a temporary is left" [ -n "$(find "$STORE/.notepackfs/tmp" -name '*.early.*')" ]
start grace=1h,level=1,threads=2,allow_delete
REUSED_BEFORE=0 REDONE_BEFORE=0
check "it is gone after the next start" [ -z "$(find "$STORE/.notepackfs/tmp" -name '*.early.*')" ]
check "what was written is sealed" seal f "$WORK/data"
check "from its beginning" [ "$REUSED $REDONE" = "0 0" ]

check "a file is begun" begin g
exec 9>&-
stop "while a file is being compressed"
zcat "$STORE/g.notepack.gz" >"$WORK/out"
check "it is sealed" cmp "$WORK/out" "$WORK/data"
check_clean_store
check "what it has is right" quietly "$NOTEPACKCTL" check "$STORE" --deep
finish
