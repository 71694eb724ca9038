#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Objects of the daemon's making are read by every reader of gzip there is, in the mount; and the
# plain name is read at random offsets, right, before, while and after they are made.
# shellcheck disable=SC2317 # functions that check calls
. "$(dirname "$0")/lib.sh"

HERE=$(cd "$(dirname "$0")" && pwd)
MAKEDATA=$BUILD/tests/mount/makedata

# The TAP lines of readers.sh become ours.
check_readers() {
	local name=$1 line count=0
	while read -r line; do
		case $line in
		"ok "*)
			count=$((count + 1))
			ok "$name: ${line#* - }"
			;;
		"not ok "*) fail "$name: ${line#* - }" ;;
		"#"*) echo "$line" ;;
		esac
	done < <("$HERE/readers.sh" "$WORK/$name" "$(object_of "$MNT/$name")")
	check "$name: nine readers were tried" [ $count = 9 ]
}

# random_reads FILE OBJECT READS: the numbers of reads are left in $WORK/reads.
random_reads() {
	"$BUILD/tests/mount/randread" "$MNT/$1" "$WORK/large" "$MNT/$2" "$3" 300 >"$WORK/reads"
	local status=$?
	sed 's/^/# reads /' "$WORK/reads"
	return "$status"
}

some_before() {
	grep -qE '^before [1-9]' "$WORK/reads"
}

start grace=0
printf x >"$WORK/byte"
"$MAKEDATA" file binary $((1 << 20)) 1 >"$WORK/mebibyte"
# Some of each kind of content: text, binary, and what does not compress. 70 MiB.
{
	"$MAKEDATA" file text $((30 << 20)) 2
	"$MAKEDATA" file binary $((30 << 20)) 3
	"$MAKEDATA" file random $((10 << 20)) 4
} >"$WORK/large"
for name in byte mebibyte large; do
	cp "$WORK/$name" "$MNT/$name"
	"$NOTEPACKCTL" wait "$MNT"
	check_readers "$name"
done
stop
check_clean_store

# ---- at random, through the flip ----

start grace=0.5
cp "$WORK/large" "$MNT/flipping"
check "random reads are right through the flip" random_reads flipping flipping.notepack.gz 100
check "some of them began before it" some_before
stop "after the flip"

# In parts, and a tail that is not sealed.
start grace=1h
size=$(stat -c %s "$WORK/large")
third=$((size / 3))
head -c "$third" "$WORK/large" >"$MNT/parts"
"$NOTEPACKCTL" seal "$MNT/parts"
tail -c +$((third + 1)) "$WORK/large" | head -c "$third" >>"$MNT/parts"
"$NOTEPACKCTL" seal "$MNT/parts"
tail -c +$((2 * third + 1)) "$WORK/large" >>"$MNT/parts"
check "random reads are right over two parts and a tail" \
	random_reads parts parts.p000000002.notepack.gz 100
"$NOTEPACKCTL" seal "$MNT/parts" &
sealer=$!
check "random reads are right while the tail becomes a part" \
	random_reads parts parts.p000000003.notepack.gz 100
check "some of them began before it" some_before
check "its sealing ends well" wait "$sealer"
stop "after the parts"
check_clean_store
start
check "random reads are right after a remount" random_reads flipping flipping.notepack.gz 200
check "random reads of parts are right after a remount" \
	random_reads parts parts.p000000003.notepack.gz 200
stop "after a remount"
finish
