#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# While segments are sealed, no listing shows a file twice or not at all, and an object is whole from
# the moment it is seen.
. "$(dirname "$0")/lib.sh"

COUNT=400
ROUNDS=5
DIR=$MNT/watched

# Sizes from one byte to half a MiB. The flips of a round come while the next one is written.
write_round() {
	local i
	for i in $(seq $(($1 * COUNT / ROUNDS)) $((($1 + 1) * COUNT / ROUNDS - 1))); do
		cp "$WORK/source/$i" "$DIR/$i.log" || return 1
	done
}

mkdir "$WORK/source"
for i in $(seq 0 $((COUNT - 1))); do
	"$BUILD/tests/mount/makedata" file text $((1 + i * i * 524288 / (COUNT * COUNT))) "$i" \
		>"$WORK/source/$i"
done

start grace=0.5
mkdir "$DIR"
buffers=(128 1048576 128 1048576)
for i in "${!buffers[@]}"; do
	"$BUILD/tests/mount/flipwatch" "$DIR" $COUNT "${buffers[i]}" 300 >"$WORK/watch.$i" 2>&1 &
	watchers[i]=$!
done
written=0
for round in $(seq 0 $((ROUNDS - 1))); do
	write_round "$round" || written=1
done
check "$COUNT files are written while the directory is watched" [ $written = 0 ]
for i in "${!buffers[@]}"; do
	status=0
	wait "${watchers[i]}" || status=$?
	grep '^#' "$WORK/watch.$i"
	seen=$(sed -n 's/^flips //p' "$WORK/watch.$i")
	echo "# watcher $i, with a buffer of ${buffers[i]} bytes, saw $seen flips"
	check "watcher $i saw every object and nothing wrong" [ $status = 0 ]
	check "watcher $i saw at least 200 flips" [ "${seen:-0}" -ge 200 ]
done
status=0
for i in $(seq 0 $((COUNT - 1))); do
	zcat "$DIR/$i.log.notepack.gz" | cmp -s - "$WORK/source/$i" || status=1
done
check "every object gives what was written" [ $status = 0 ]
stop
check_clean_store
finish
