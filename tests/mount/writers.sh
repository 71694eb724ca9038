#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Four writers at a time, six tools: every byte written is in the objects, in order, and nothing else
# is in the store; whatever the number of threads and the grace. Objects depend on neither.
#
#	UNIT_QUICK=1	(sanitizers) the largest file is of 8 MiB instead of 64
# shellcheck disable=SC2317 # functions that check and "$writer" call
. "$(dirname "$0")/lib.sh"

HERE=$(cd "$(dirname "$0")" && pwd)
SOURCE=$WORK/source
LARGEST_MIB=$([ -n "${UNIT_QUICK-}" ] && echo 8 || echo 64)

make_source() {
	rm -rf "$SOURCE"
	mkdir "$SOURCE"
	"$BUILD/tests/mount/makedata" tree "$SOURCE" "$@"
	(cd "$SOURCE" && find . -type f -printf '%P\n' | sort) >"$WORK/list"
}

# share WRITER: every fourth file
share() {
	awk -v n="$1" 'NR % 4 == n' "$WORK/list"
}

write_cp_and_tee() {
	local path i=0
	while read -r path; do
		i=$((i + 1))
		if [ $((i % 2)) = 0 ]; then
			cp "$SOURCE/$path" "$MNT/$path"
		else
			tee "$MNT/$path" <"$SOURCE/$path" >/dev/null
		fi || return 1
	done < <(share 0)
}

# A file in three appends, each with an open of its own.
append_thirds() {
	local third=$(($(stat -c %s "$1") / 3))
	head -c "$third" "$1" >>"$2" &&
		tail -c +$((third + 1)) "$1" | head -c "$third" >>"$2" &&
		tail -c +$((2 * third + 1)) "$1" >>"$2"
}

write_append_and_dd() {
	local path i=0
	while read -r path; do
		i=$((i + 1))
		if [ $((i % 2)) = 0 ]; then
			append_thirds "$SOURCE/$path" "$MNT/$path"
		else
			dd if="$SOURCE/$path" of="$MNT/$path" bs=64k conv=fsync status=none
		fi || return 1
	done < <(share 1)
}

write_rsync() {
	share 2 | rsync -a --files-from=- "$SOURCE/" "$MNT/"
}

write_tar() {
	share 3 | tar -C "$SOURCE" -c -f - -T - | tar -C "$MNT" -x -f -
}

write_all() {
	local name=$1 status=0 pids=() pid
	(cd "$SOURCE" && find . -mindepth 1 -type d -printf '%P\0') | (cd "$MNT" && xargs -0 mkdir)
	for writer in write_cp_and_tee write_append_and_dd write_rsync write_tar; do
		$writer &
		pids+=($!)
	done
	for pid in "${pids[@]}"; do
		wait "$pid" || status=1
	done
	check "$name: no writer fails" [ $status = 0 ]
}

# What can be said of a mount in which all is sealed.
check_sealed_mount() {
	local name=$1
	cp "$MNT/.notepackfs/manifest" "$WORK/manifest"
	check "$name: sha256sums verifies" sh -c \
		"cd '$MNT' && sha256sum --quiet --strict -c .notepackfs/sha256sums"
	check "$name: sha256sums has a line for each object" [ \
		"$(wc -l <"$MNT/.notepackfs/sha256sums")" = \
		"$(find "$MNT" -name '*.notepack.gz' | wc -l)" ]
	check "$name: all plain names read what was written" diff_plain
}

diff_plain() {
	local path
	while read -r path; do
		cmp "$SOURCE/$path" "$MNT/$path" || return 1
	done <"$WORK/list"
}

check_store() {
	local name=$1
	check "$name: every object passes gzip -t" sh -c \
		"find '$STORE' -name '*.notepack.gz' -print0 | xargs -0 gzip -t"
	check "$name: the objects give what was written, and the manifest has exactly these" \
		python3 "$HERE/archive_check.py" "$SOURCE" "$STORE" "$WORK/manifest"
	check "$name: no temporary is left" [ -z "$(find "$STORE/.notepackfs/tmp" -mindepth 1)" ]
	check "$name: the manifest says that the stop was clean" \
		grep -q '"clean":true' "$STORE/.notepackfs/manifest"
}

new_store() {
	rm -rf "$STORE"
	mkdir "$STORE"
}

# ---- 300 files, of which one is that large; checked in the mount first ----

make_source 300 20 $((LARGEST_MIB << 20)) 1
start
write_all "300 files"
check "300 files: notepackctl wait" "$NOTEPACKCTL" wait "$MNT"
check_sealed_mount "300 files"
stop "300 files"
check_store "300 files"

# ---- unmounted at once, so that the drain does the work; checked in a read-only mount ----

make_source 150 20 $((4 << 20)) 2
for threads in 1 8; do
	name="threads=$threads,grace=0"
	new_store
	start "threads=$threads,grace=0"
	write_all "$name"
	stop "$name"
	start ro
	check_sealed_mount "$name"
	stop "$name, read-only"
	check_store "$name"
done

# ---- the same bytes give the same objects ----

for threads in 1 8; do
	new_store
	start "threads=$threads,grace=0"
	cp -r "$SOURCE/." "$MNT"
	stop "cp with threads=$threads"
	rm -rf "$STORE/.notepackfs"
	mv "$STORE" "$WORK/threads-$threads"
	mkdir "$STORE"
done
check "objects exist to compare" [ "$(find "$WORK/threads-1" -name '*.gz' | wc -l)" -gt 100 ]
check "objects are the same bytes for threads=1 and threads=8" \
	diff -r "$WORK/threads-1" "$WORK/threads-8"
finish
