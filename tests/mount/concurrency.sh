#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Many at a time: writers and readers in one directory, appenders to one file, renames and removals while
# everything is sealed, a directory of many entries. flips.sh, appear.sh and gates.sh have the rest.
#
#	NOTEPACKFS_LONG=1	100,000 entries instead of 10,000, and more rounds
. "$(dirname "$0")/lib.sh"

TOOL=$BUILD/tests/mount/crowd
LONG=${NOTEPACKFS_LONG:-0}
FILES=$((LONG ? 1000 : 120))
ROUNDS=$((LONG ? 20000 : 200))
MOVES=$((LONG ? 300 : 100))
ENTRIES=$((LONG ? 100000 : 10000))

new_store() {
	rm -rf "$STORE"
	mkdir "$STORE"
}

objects() {
	find "$1" -name '*.notepack.gz' | wc -l
}

timed() { # NAME COMMAND…
	local begin=${EPOCHREALTIME/./} status=0
	"${@:2}" || status=$?
	echo "# $1: $(((${EPOCHREALTIME/./} - begin) / 1000)) ms"
	return "$status"
}

# ---- one directory ----

start grace=0,cut_size=0
mkdir "$MNT/d"
check "16 writers and 4 readers in one directory, while all is sealed" \
	timed "16 writers" "$TOOL" write "$MNT/d" 16 "$FILES" 4
check "… and all is sealed in the end" "$NOTEPACKCTL" wait "$MNT"
check "… each file" [ "$(find "$MNT/d" -name 'file-*.notepack.gz' ! -name '*.p0*' | wc -l)" = $((16 * FILES)) ]
check "… and no plain name is listed" [ "$(find "$MNT/d" -type f | wc -l)" = "$(objects "$MNT/d")" ]
check "… the store is sound" quietly "$NOTEPACKCTL" check --deep "$MNT"
stop "after the writers"
check_clean_store

# ---- one file ----

new_store
start grace=0,cut_size=0
LINES_EACH=$((LONG ? 5000 : 1000))
check "4 processes append to one file, fsync and reopen it" \
	timed "4 appenders" "$TOOL" append "$MNT/log" 4 $LINES_EACH
check "… each line is there once, whole, in order" "$TOOL" lines "$MNT/log" 4 $LINES_EACH
check "… while it is sealed, too" "$NOTEPACKCTL" wait "$MNT"
zcat "$MNT"/log*.notepack.gz >"$WORK/joined"
check "… in the objects" cmp "$WORK/joined" "$MNT/log"
parts=$(objects "$MNT")
echo "# $parts parts"
check "… of which there are several" [ "$parts" -gt 1 ]
torn=$(python3 -c 'import gzip, sys
print(sum(gzip.open(path).read()[-1:] != b"\n" for path in sys.argv[1:]))' "$MNT"/log*.notepack.gz)
check "… each ending with a whole line" [ "$torn" = 0 ]
stop "after the appenders"
check_clean_store
start
check "each line is there after a remount" "$TOOL" lines "$MNT/log" 4 $LINES_EACH
stop "remounted"

# ---- renames and removals ----

new_store
start grace=0,cut_size=0,allow_delete
check "8 threads create, rename and remove while all is sealed and listed" \
	timed "8 threads" "$TOOL" churn "$MNT" 8 $ROUNDS "$WORK/left"
check "… and what is left is sealed" "$NOTEPACKCTL" wait "$MNT"
check "… exactly that, each under one name" "$TOOL" left "$MNT" "$WORK/left"
check "… the store is sound" quietly "$NOTEPACKCTL" check --deep "$MNT"
stop "after the renames"
check_clean_store
start
check "… and is there after a remount" "$TOOL" left "$MNT" "$WORK/left"
stop "remounted after the renames"

# ---- a file and its directory, renamed at once ----

new_store
start grace=0
mkdir "$MNT/dir"
for part in 1 2; do
	echo "part $part" >>"$MNT/dir/parts"
	"$NOTEPACKCTL" wait "$MNT"
done
check "a file of two parts and its directory are renamed at the same time" \
	timed "renames" "$TOOL" moves "$MNT/dir" parts $MOVES
check "… and the file is there" [ "$(cat "$MNT/dir/parts")" = "$(printf 'part 1\npart 2')" ]
stop "after the renames of a directory"
check "… and in the manifest, where it is" quietly "$NOTEPACKCTL" check --deep "$STORE"
start
check "… and is there after a remount" [ "$(cat "$MNT/dir/parts")" = "$(printf 'part 1\npart 2')" ]
stop "remounted after the renames of a directory"

# ---- many entries ----

new_store
FILLED=$((ENTRIES / 20))
start grace=0,allow_delete
mkdir "$MNT/many"
check "$ENTRIES files are made" timed "making $ENTRIES" "$TOOL" create "$MNT/many" $ENTRIES $FILLED
check "… listed, each once, and looked up" timed "listing and looking up" \
	"$TOOL" look "$MNT/many" $ENTRIES $FILLED
check "… those with bytes are sealed" timed "sealing $FILLED" "$NOTEPACKCTL" wait "$MNT"
check "… each one of them" [ "$(objects "$MNT/many")" = $FILLED ]
stop "with $ENTRIES entries"
start grace=0,allow_delete
check "… listed and looked up after a remount" timed "listing and looking up after a remount" \
	"$TOOL" look "$MNT/many" $ENTRIES $FILLED
check "some, sealed and empty, are removed" timed "removing $((FILLED * 2))" \
	"$TOOL" remove "$MNT/many" $((FILLED * 2))
check "… the others stay" "$TOOL" look "$MNT/many" $ENTRIES $FILLED $((FILLED * 2))
stop "after the removals"
check "no object is left of what was removed" [ "$(objects "$STORE")" = 0 ]
check_clean_store
finish
