#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Bug: a reader in the gate of a file waited for its name, whose holder waited for the gate; and a
# directory being loaded waited for a directory being renamed, which waited for the load.
. "$(dirname "$0")/lib.sh"

start grace=0,cut_size=0
check "appending, reading and giving up the raw file at once never hangs" \
	timeout 60 "$BUILD/tests/mount/gatestress" "$MNT/f" 400
lines=$(wc -l <"$MNT/f")
check "each line is there once" [ "$lines" = 800 ]

mkdir -p "$MNT/a/b"
for i in $(seq 20); do
	mkdir "$MNT/a/b/$i"
	echo "$i" >"$MNT/a/b/$i/file"
done
stop
start grace=0
moves() {
	for _ in $(seq 50); do
		mv "$MNT/a" "$MNT/c" && mv "$MNT/c" "$MNT/a" || return 1
	done
}
looks() {
	for _ in $(seq 50); do
		find "$MNT" >/dev/null 2>&1
	done
	:
}
export -f moves looks
export MNT
looks &
first=$!
looks &
second=$!
check "renaming a directory while others look into it never hangs" timeout 60 bash -c moves
wait "$first" "$second"
check "its files are there" [ "$(cat "$MNT"/a/b/*/file | sort -n | tail -n 1)" = 20 ]
stop
check_clean_store
finish
