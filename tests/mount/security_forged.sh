#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Forged content: manifest records and intents that name paths outside, notes of imports that do, raw
# files' marks, headers of objects, indexes, and gzip files of others that are made to break what reads
# them. Nothing outside is touched, no wrong byte is given out, memory is bounded, nothing crashes.
# shellcheck disable=SC2317 # functions that check and wait_for call
. "$(dirname "$0")/lib.sh"

FORGE=$(cd "$(dirname "$0")" && pwd)/security_forge.py
OUTSIDE=$WORK/outside
TEMPLATE=$WORK/template
MEMORY_KB=$((96 << 10)) # what a daemon with two threads may need
ldd "$NOTEPACKFS" | grep -q 'lib[at]san' && MEMORY_KB=$((2 << 20)) # that of a sanitizer, too
INJECTED=0

fingerprint() {
	find "$OUTSIDE" -printf '%P %y %m %U %G %s %T@\n' | sort
	find "$OUTSIDE" -type f -exec sha256sum {} + | sort
}

new_case() {
	rm -rf "$STORE" "$OUTSIDE"
	cp -a "$TEMPLATE" "$STORE"
	mkdir -p "$OUTSIDE/dir"
	echo secret | tee "$OUTSIDE/file" "$OUTSIDE/dir/x" "$OUTSIDE/dir/obj" >/dev/null
	gzip -c "$OUTSIDE/file" | tee "$OUTSIDE/file.notepack.gz" >"$OUTSIDE/dir/x.p000000002.notepack.gz"
	fingerprint >"$WORK/before"
	INJECTED=$((INJECTED + 1))
}

launch() {
	"$NOTEPACKFS" "$STORE" "$MNT" -f -o grace=0,threads=2,lockwait=0 >"$WORK/this.log" 2>&1 &
	DAEMON=$!
	wait_for 20 up_or_ended
}

up_or_ended() {
	mounted || has_ended "$DAEMON"
}

bounded() {
	local kb
	kb=$(awk '/^VmHWM/ { print $2 }' "/proc/$DAEMON/status")
	[ "${kb:-0}" -le $MEMORY_KB ] || { echo "# memory: $kb KiB"; return 1; }
}

# The end of a case: it stops, nothing outside has changed.
judge() {
	local name=$1 want=${2:-} status=0 problem=
	if mounted; then
		bounded || problem+=" memory"
		timeout 120 "$NOTEPACKCTL" umount "$MNT" >>"$WORK/this.log" 2>&1
	fi
	wait_for 60 has_ended "$DAEMON" || { problem+=" hangs"; kill -KILL "$DAEMON"; umount -l "$MNT"; }
	daemon_status || status=$?
	[ "$status" -lt 6 ] || problem+=" status $status"
	[ -z "$want" ] || [ "$status" = "$want" ] || problem+=" not $want"
	fingerprint | cmp -s - "$WORK/before" || problem+=" outside"
	[ -z "$problem" ] || sed 's/^/# /' "$WORK/this.log"
	check "$name (status $status)$problem" [ -z "$problem" ]
}

start grace=1h
mkdir "$MNT/d"
"$BUILD/tests/mount/makedata" file text 100000 1 >"$WORK/content"
cp "$WORK/content" "$MNT/d/obj"
echo top >"$MNT/top"
"$BUILD/tests/mount/makedata" file text $((8 << 20)) 2 >"$WORK/imported"
gzip -c "$WORK/imported" >"$MNT/d/imported.notepack.gz"
"$NOTEPACKCTL" seal "$MNT"
tail -c 100 "$MNT/d/imported" >/dev/null
echo raw >"$MNT/d/raw"
ln -s ../outside "$MNT/out"
crash
cp -a "$STORE" "$TEMPLATE"

# ---- manifests ----

for name in $(python3 "$FORGE" list manifest); do
	new_case
	python3 "$FORGE" manifest "$STORE" "$name"
	launch
	mounted && ls -lR "$MNT" >/dev/null 2>&1
	case $name in
	# No path shows that a directory is a link, or that a number is only large: these are seen later.
	*-by-link | exclude-huge | next-seq-huge) judge "a forged manifest: $name" ;;
	*) judge "a forged manifest is refused: $name" 4 ;;
	esac
done
new_case
python3 "$FORGE" manifest "$STORE" none
launch
check "one that is only written anew is taken: the forgery is sound" [ "$(cat "$MNT/top")" = top ]
judge "a manifest that is not forged"

# ---- notes and marks of raw files ----

for note in ../outside/dir/new.notepack.gz /tmp/new.notepack.gz .notepackfs/manifest.notepack.gz \
	d/../../outside/new.notepack.gz out/dir/new.notepack.gz d//x.notepack.gz d/obj.notepack.gz "" . ..; do
	new_case
	gzip -c "$WORK/content" >"$STORE/.notepackfs/import/5000"
	setfattr -n user.notepackfs -v "5000 0" "$STORE/.notepackfs/import/5000"
	setfattr -n user.notepackfs.path -v "$note" "$STORE/.notepackfs/import/5000"
	python3 "$FORGE" manifest "$STORE" none
	launch
	mounted && ls -lR "$MNT" >/dev/null 2>&1
	judge "an import whose note is '$note'"
done
for mark in "18446744073709551615 0" "1 18446744073709551615" "1024 9223372036854775807" "0 0" "x" "-1 -1" \
	"99999999999999999999999 1" "$(printf '%0200d' 1) 0"; do
	new_case
	setfattr -n user.notepackfs -v "$mark" "$STORE/d/raw"
	launch
	check "a raw file with the mark '${mark:0:40}' is read as it is" [ "$(cat "$MNT/d/raw")" = raw ]
	judge "… and sealed, or kept"
	check "… and takes no other file's record" quietly "$NOTEPACKCTL" check --deep "$STORE"
done
# Named bug: the copy that was sealed last took the records of the other, which was not there any more.
new_case
cp -a "$STORE/d/raw" "$STORE/d/copy"
cp -a "$STORE/d/raw" "$STORE/copy"
launch
"$NOTEPACKCTL" wait "$MNT"
check "copies of a raw file, mark and all, are files of their own" \
	[ "$(stat -c %i "$MNT/d/raw" "$MNT/d/copy" "$MNT/copy" | sort -u | wc -l)" = 3 ]
judge "… and sealed"
check "… all of them" [ "$(jq -r 'select(.plain == "raw" or .plain == "copy") | .plain' "$STORE/.notepackfs/manifest" | wc -l)" = 3 ]
check "… so that nothing is amiss" quietly "$NOTEPACKCTL" check --deep "$STORE"

# ---- objects ----

# Every read gives the right bytes, or an error.
right_or_not_at_all() {
	local size
	size=$(stat -c %s "$MNT/d/obj" 2>/dev/null) || return 0
	timeout 20 cat "$MNT/d/obj" >"$WORK/got" 2>/dev/null
	[ $? -lt 124 ] || return 1
	cmp -s "$WORK/got" <(head -c "$(stat -c %s "$WORK/got")" "$WORK/content") && [ "$size" -ge 0 ]
}

for name in $(python3 "$FORGE" list object); do
	new_case
	launch
	cat "$MNT/top" >/dev/null
	python3 "$FORGE" object "$STORE/d/obj.notepack.gz" "$name"
	check "a forged object ($name), put there while it is mounted, gives no wrong byte" right_or_not_at_all
	judge "… and does no harm"
	new_case
	python3 "$FORGE" object "$STORE/d/obj.notepack.gz" "$name"
	cp "$STORE/d/obj.notepack.gz" "$STORE/d/stray.notepack.gz"
	"$NOTEPACKCTL" check --deep "$STORE" >"$WORK/this.log" 2>&1
	check "notepackctl check says so ($name)" [ $? = 4 ]
	launch
	check "found at a start it gives no wrong byte ($name)" right_or_not_at_all
	check "… and one without a record is not believed" [ ! -e "$MNT/d/stray.notepack.gz" ]
	judge "… and does no harm"
done

# ---- indexes of imports ----

index=$(find "$TEMPLATE/.notepackfs/index" -type f -printf '%f\n' -quit)
check "an import has an index" [ -n "$index" ]
for damage in ": >F" "head -c 40 /dev/urandom >F" "truncate -s 100 F" "truncate -s 1G F" \
	"head -c 100000 /dev/urandom | dd of=F bs=1 seek=44 conv=notrunc" \
	"printf '\\377\\377\\377\\377\\377\\377' | dd of=F bs=1 seek=16 conv=notrunc"; do
	new_case
	sh -c "${damage//F/$STORE/.notepackfs/index/$index}" 2>/dev/null
	launch
	check "an index that is wrong gives no wrong byte: ${damage//F/INDEX}" cmp "$WORK/imported" "$MNT/d/imported"
	check "… at no offset" cmp <(tail -c 5000 "$WORK/imported") <(tail -c 5000 "$MNT/d/imported")
	judge "… and does no harm"
done

# ---- gzip files of others ----

for name in $(python3 "$FORGE" list gzip); do
	new_case
	launch
	python3 "$FORGE" gzip "$name" >"$MNT/d/$name.notepack.gz"
	stat "$MNT/d/obj" >/dev/null
	check "while $name is looked at, others are served" timeout 5 cmp "$WORK/content" "$MNT/d/obj"
	timeout 200 "$NOTEPACKCTL" wait "$MNT"
	check "$name is imported, or refused: it is there" \
		[ -e "$MNT/d/$name.notepack.gz" -o -e "$MNT/d/$name.notepack.gz.invalid" ]
	case $name in
	bomb) check "the bomb is read to its end" [ "$(stat -c %s "$MNT/d/bomb")" = $((256 << 20)) -a "$(tail -c 1 "$MNT/d/bomb" | wc -c)" = 1 ] ;;
	bomb-in-members) check "… in members, too" [ "$(stat -c %s "$MNT/d/$name")" = $((256 << 20)) ] ;;
	many-members) check "many members are read" [ "$(cat "$MNT/d/many-members")" = end ] ;;
	esac
	judge "$name: memory is bounded"
done
echo "# injected: $INJECTED"
check "there were at least 50 forgeries" [ "$INJECTED" -ge 50 ]
finish
