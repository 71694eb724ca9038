#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A byte that changed in a sealed object: reading gives an error at exactly the chunk that it is in, and
# goes on behind it; the log, the file's attribute, the status and notepackctl check name the place.
# And raw files that were removed in the store: the stop says that they are lost.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
CHUNK=262144

error_of() {
	getfattr --absolute-names --only-values -n user.notepack.error "$1" 2>/dev/null
}

in_log() {
	grep -qF -- "$1" "$LOG"
}

"$BUILD/tests/mount/makedata" file binary $((3 * CHUNK)) 7 >"$WORK/data"
start grace=0.02
mkdir "$MNT/d"
cp "$WORK/data" "$MNT/d/file"
cp "$WORK/data" "$MNT/d/whole"
cp "$WORK/data" "$MNT/d/parts"
"$NOTEPACKCTL" wait "$MNT"
echo "part two" >>"$MNT/d/parts"
"$NOTEPACKCTL" wait "$MNT"
stop

OBJECT=$STORE/d/file.notepack.gz
PLACE=$(($(stat -c %s "$OBJECT") / 2))
printf '\377\000\377' | dd of="$OBJECT" bs=1 seek="$PLACE" conv=notrunc status=none
printf '\377\000\377' | dd of="$STORE/d/parts.notepack.gz" bs=1 seek=30 conv=notrunc status=none

# What may be read of it: zeroes for what may not.
{
	head -c $CHUNK "$WORK/data"
	head -c $CHUNK /dev/zero
	tail -c $CHUNK "$WORK/data"
} >"$WORK/readable"

for block in 4096 65536 $CHUNK; do
	start grace=0.02 # with nothing in the kernel's cache
	check "in blocks of $block all but the damaged chunk reads" \
		sh -c "dd if='$MNT/d/file' bs=$block conv=noerror,sync status=noxfer 2>'$WORK/dd.err' | cmp - '$WORK/readable'"
	check "with errors" grep -q "Input/output error" "$WORK/dd.err"
	check "the size is what it was" [ "$(stat -c %s "$MNT/d/file")" -eq $((3 * CHUNK)) ]
	stop
done

start grace=0.02
check "a file beside it reads" cmp "$WORK/data" "$MNT/d/whole"
status=0
cat "$MNT/d/file" >"$WORK/out" 2>"$WORK/cat.err" || status=$?
check "cat fails" [ "$status" -ne 0 ]
check "… with the reason" grep -q "Input/output error" "$WORK/cat.err"
check "… having read what comes before" sh -c "head -c $CHUNK '$WORK/data' | cmp - '$WORK/out'"

WHERE="damaged at offset $CHUNK: "
check "the log names file and offset" in_log "d/file.notepack.gz: damaged at plain offset $CHUNK, object offset "
check "the plain name's attribute says so" grep -q "^part 1 is $WHERE" <(error_of "$MNT/d/file")
check "the object's attribute, too" grep -q "^part 1 is $WHERE" <(error_of "$MNT/d/file.notepack.gz")
check "a good file has none" [ -z "$(error_of "$MNT/d/whole")" ]
check "the status has it" [ "$(jq -r '.damaged_objects, .damaged[0].path, .damaged[0].offset' "$MNT/.notepackfs/status" | xargs)" = \
	"1 d/file.notepack.gz $CHUNK" ]
check "and notepackctl status" grep -q "^d/file.notepack.gz: $WHERE\|^d/file.notepack.gz: damaged at offset $CHUNK (byte " \
	<("$NOTEPACKCTL" status "$MNT")
mv "$MNT/d/file" "$MNT/d/new-name"
check "it follows a renaming" grep -q "^part 1 is $WHERE" <(error_of "$MNT/d/new-name")
mv "$MNT/d/new-name" "$MNT/d/file"
check "the events have it once for each mount" [ "$(grep -c '"event":"damage".*"offset":262144' "$MNT/.notepackfs/log")" -eq 4 ]

check_refused "a part whose header is damaged does not read" "Input/output error" head -c 10 "$MNT/d/parts"
check "the part behind it does" [ "$(tail -c 9 "$MNT/d/parts")" = "part two" ]
check "its attribute says why" grep -q "^part 1 is damaged at offset 0: " <(error_of "$MNT/d/parts")
check "the attribute of the part behind it does not" [ -z "$(error_of "$MNT/d/parts.p000000002.notepack.gz")" ]

# ---- check, while it is mounted, and after ----

verdicts() { # NAME TARGET
	local status=0
	"$NOTEPACKCTL" check --deep "$2" >"$WORK/check" 2>&1 || status=$?
	check "$1: check --deep exits 4" [ "$status" -eq 4 ]
	check "$1: it names file, offset and reason" \
		grep -q "^d/file.notepack.gz: damaged at offset $CHUNK (byte [0-9]* of the object): ." "$WORK/check"
	check "$1: … and the other one" grep -q "^d/parts.notepack.gz: its header " "$WORK/check"
	check "$1: and no more" [ "$(wc -l <"$WORK/check")" -eq 3 ]
	status=0
	"$NOTEPACKCTL" check --deep --json "$2" >"$WORK/json" || status=$?
	check "$1: --json says the same" [ "$status $(jq -r '.problem_count, (.problems | map(select(.raw_offset == 262144)) | .[0].path)' "$WORK/json" | xargs)" = \
		"4 2 d/file.notepack.gz" ]
	check "$1: with a reason" [ "$(jq -r '.problems | map(select((.reason | length) > 5)) | length' "$WORK/json")" -eq 2 ]
}

verdicts mounted "$MNT"
stop
verdicts "not mounted" "$STORE"
status=0
"$NOTEPACKCTL" check "$STORE" >"$WORK/check" || status=$?
check "without --deep the header is looked at" [ "$status $(grep -c "^d/parts.notepack.gz: its header" "$WORK/check")" = "4 1" ]

# Structure: each way in which manifest, objects and raw files may differ.
rm "$STORE/d/whole.notepack.gz"
cp "$OBJECT" "$STORE/d/unknown.notepack.gz"
truncate -s -1 "$STORE/d/parts.p000000002.notepack.gz"
: >"$STORE/.notepackfs/tmp/left"
echo raw >"$STORE/d/raw"
status=0
"$NOTEPACKCTL" check --json "$STORE" >"$WORK/json" || status=$?
check "an object that is missing, unknown or too short, and a temporary, are problems" \
	[ "$status $(jq -r '[.problems[] | .path] | sort | join(" ")' "$WORK/json")" = "4 .notepackfs/tmp/left d/parts.notepack.gz d/parts.p000000002.notepack.gz d/unknown.notepack.gz d/whole.notepack.gz" ]
check "a raw file is not sealed yet" [ "$(jq -r '.unsealed_files, .unsealed_bytes' "$WORK/json" | xargs)" = "1 4" ]
script -qec "'$NOTEPACKCTL' check --deep '$STORE'" "$WORK/typescript" >/dev/null
check "on a terminal there is progress" grep -q "checking: .* of " "$WORK/typescript"

# Of a store whose manifest is damaged nothing else can be said.
truncate -s -5 "$STORE/.notepackfs/manifest"
status=0
"$NOTEPACKCTL" check --json "$STORE" >"$WORK/json" 2>"$WORK/err" || status=$?
check "a damaged manifest is a problem, with --json, too" \
	[ "$status $(jq -r '.problem_count, (.problems[0] | .path, (.reason | length > 5))' "$WORK/json" | xargs)" = \
		"4 1 .notepackfs/manifest true" ]
check "… and says what to do" grep -q "notepackctl repair" "$WORK/err"

# ---- what was removed behind the daemon's back ----

# take_number FILE TEXT: replace FILE by another one, with the same inode number
take_number() {
	local number tries=()
	number=$(stat -c %i "$1")
	rm "$1"
	for ((i = 0; i < 200; i++)); do
		tries+=("$1.try.$i")
		echo "$2" >"${tries[-1]}"
		[ "$(stat -c %i "${tries[-1]}")" != "$number" ] || break
	done
	mv "${tries[-1]}" "$1"
	unset 'tries[-1]'
	[ ${#tries[@]} -eq 0 ] || rm "${tries[@]}"
	[ "$(stat -c %i "$1")" = "$number" ]
}

# Named bug: of raw files that were removed in the store, or replaced, the stop said that nothing was lost.
STORE=$WORK/store.removed
mkdir "$STORE"
start grace=1h
for name in removed replaced other; do
	echo precious >"$MNT/$name"
done
# Named bug: one that took the number of the file that it replaced was taken for it.
rm "$STORE/removed"
if take_number "$STORE/replaced" foreign; then
	ok "a file in the store is replaced by one of the same number"
else
	skip "a file in the store is replaced by one of the same number" "this file system does not use numbers again"
fi
: >"$LOG"
ctl=0
status=0
"$NOTEPACKCTL" umount "$MNT" >"$WORK/umount.out" 2>&1 || ctl=$?
daemon_status || status=$?
check "removed in the store: exit status 5 of both" [ "$ctl $status" = "5 5" ]
check "… notepackctl says how many are lost" \
	grep -q "2 files could not be sealed, and the raw bytes of 2 were removed from the store" "$WORK/umount.out"
check "… the log names them" [ "$(grep -c ': not all of it is sealed, and its raw file was removed' "$LOG")" = 2 ]
check "… and no one says that they are safe" sh -c "! grep -E 'nothing is lost|safe in the store' '$WORK/umount.out' '$LOG'"
check "… what is there is sealed" [ -e "$STORE/other.notepack.gz" ]
start grace=0
check "… and the next mount seals what lies there" wait_for 20 sealed "$MNT/replaced"
stop "the mount after that"
check "… as it is" [ "$(zcat "$STORE/replaced.notepack.gz")" = foreign ]

# ---- all objects are gone ----

# Named bug: a line of the log, and an event, for each of them, at each start.
STORE=$WORK/store.empty
mkdir "$STORE"
start grace=0
mkdir "$MNT/many"
for ((i = 0; i < 250; i++)); do
	echo "$i" >"$MNT/many/$i"
done
stop "a mount of many files"
find "$STORE/many" -name '*.gz' -delete

# named TEXT: how many lines of the log name a file and say this of it
named() {
	grep -Ec "many/[0-9]+: .*$1|: [0-9]+\.notepack\.gz: .*$1" "$LOG"
}
: >"$LOG"
start
check "of 250 objects that are gone each name is shown" [ "$(find "$MNT/many" -name '*.gz' | wc -l)" = 250 ]
check "… the log has a hundred" [ "$(named 'not in the store as it should be')" = 100 ]
check "… and says that there are more" grep -q "more than 100 names of this kind.*notepackctl check lists all" "$LOG"
crash
: >"$LOG"
start
check "a start that compares all names a hundred" [ "$(named 'its object is not in the store')" = 100 ]
check "… and says how many more there are" grep -q "150 more parts are in the manifest.*notepackctl check lists all" "$LOG"
check "… as events, too" [ "$(grep -c '"what":"missing"' "$STORE/.notepackfs/log")" = 100 ]
"$NOTEPACKCTL" check "$MNT" >"$WORK/check" 2>&1 || :
check "… and check has all" [ "$(grep -c '^many/' "$WORK/check")" = 250 ]
stop "without the objects"
finish
