#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# States that a crash may leave, made by hand in an unmounted store, and what the next mount makes
# of them: nothing is lost, nothing is taken for something else, and a second recovery changes
# nothing (L20, L21, L22, L31; FAULTS: I1, I4, I6).
. "$(dirname "$0")/lib.sh"

OPTIONS=grace=0.05,allow_delete
PRIVATE=$STORE/.notepackfs

seal() {
	"$NOTEPACKCTL" wait "$MNT"
}

content() {
	[ "$(cat "$MNT/$1")" = "$2" ]
}

in_log() {
	grep -qF "$1" "$LOG"
}

no_such_file() {
	[ ! -e "$1" ]
}

not_listed() {
	! listed "$1"
}

# All that a reader of the store could see, but for the private files that change with every run.
picture() {
	find "$STORE" -path "$PRIVATE" -prune -o -printf '%P %y %s %m\n' | sort
	cat "$MNT/.notepackfs/sha256sums"
	find "$PRIVATE/quarantine" -printf '%f\n' | sort
}

files() {
	find "$1" -mindepth 1 | wc -l
}

# ---- a raw file beside the object of its name

start "$OPTIONS"
echo same >"$MNT/same"
echo sealed >"$MNT/other"
printf 'one\n' >"$MNT/longer"
seal
crash
zcat "$STORE/same.notepack.gz" >"$STORE/same"
echo "another file" >"$STORE/other"
sum=$(sha256sum <"$STORE/same.notepack.gz")
start "$OPTIONS"
seal
check "a raw file with the bytes of its object is dropped" wait_for 10 no_such_file "$STORE/same"
check "and the object is the same as before" [ "$(sha256sum <"$STORE/same.notepack.gz")" = "$sum" ]
check "and it reads" content same same
check "a raw file with other bytes does not replace what was sealed" content other sealed
recovered=$(cd "$MNT" && echo other.recovered-*)
check "but is kept under a name of its own, and sealed" [ "${recovered##*.}" = gz ]
check "with all its bytes" [ "$(zcat "$MNT/$recovered")" = "another file" ]
check "and there is one of it" [ "$(find "$STORE" -name 'other*' | wc -l)" -eq 2 ]

# ---- mv app.log app.log.1, and a new app.log

echo first >"$MNT/app.log"
seal
mv "$MNT/app.log" "$MNT/app.log.1"
echo second >"$MNT/app.log"
"$NOTEPACKCTL" seal "$MNT/app.log"
crash
start "$OPTIONS"
check "after a kill a sealed log that was rotated has its content" content app.log.1 first
check "and the new one of that name has its own" content app.log second
seal
mv "$MNT/app.log" "$MNT/app.log.2"
exec 7>>"$MNT/app.log"
echo third >&7
crash
exec 7>&-
start "$OPTIONS"
seal
check "a new log that was not sealed is not taken for the old one" content app.log third
check "nor the old one for the new" content app.log.2 second
check "no third one comes into being" [ "$(find "$STORE" -name 'app.log*' | wc -l)" -eq 3 ]

# ---- all of it is queued, not only what someone looks at (L21)

crash
start grace=1h
mkdir -p "$MNT/quiet/deep"
echo one >"$MNT/quiet/one"
echo two >"$MNT/quiet/deep/two"
crash
start "$OPTIONS"
check "raw files are sealed again though no one looks into their directories (L21)" wait_for 20 \
	test -e "$STORE/quiet/one.notepack.gz" -a -e "$STORE/quiet/deep/two.notepack.gz"
# Named bug: it gave the name without the directory.
check "the log tells their paths" grep -q '"path":"quiet/deep/two","what":"queued"' "$MNT/.notepackfs/log"

# ---- objects that the manifest does not name, or names otherwise

echo moved >"$MNT/moved"
seal
ino=$(stat -c %i "$MNT/moved")
crash
mkdir "$STORE/dir"
mv "$STORE/moved.notepack.gz" "$STORE/dir/found.notepack.gz"
mkdir "$WORK/b" "$WORK/bm"
"$NOTEPACKFS" "$WORK/b" "$WORK/bm"
echo adopted >"$WORK/bm/adopted"
"$NOTEPACKCTL" umount "$WORK/bm" 2>/dev/null
cp "$WORK/b/adopted.notepack.gz" "$STORE/"
start "$OPTIONS"
check "an object that was renamed in the store is found by its content" content dir/found moved
check "and is the same file" [ "$(stat -c %i "$MNT/dir/found")" = "$ino" ]
check "its old name is gone" no_such_file "$MNT/moved"
check "an object that was not recorded is adopted" content adopted adopted
crash

start grace=1h,exclude=nothing
for name in torn garbage zeroes; do
	seq 20000 >"$MNT/$name"
done
crash
gzip -c "$STORE/torn" | head -c 5000 >"$STORE/torn.notepack.gz"
head -c 5000 /dev/urandom >"$STORE/garbage.notepack.gz"
: >"$STORE/zeroes.notepack.gz"
head -c 30 "$STORE/adopted.notepack.gz" >"$STORE/alone.notepack.gz"
: >"$PRIVATE/tmp/77.1.0.gz"
: >"$PRIVATE/manifest.new.1.1"
: >"$PRIVATE/chunks/00000009.jsonl.new.1.1"
start "$OPTIONS"
seal
for name in torn garbage zeroes; do
	check "an object that is $name is not believed: the raw bytes are sealed" \
		sh -c "seq 20000 | cmp - '$MNT/$name'"
done
check "what was not believed is in quarantine" [ "$(files "$PRIVATE/quarantine")" -eq 4 ]
check "and the log names it" in_log "alone.notepack.gz: could not be trusted"
check "stale temporaries are gone (L22)" [ -z "$(find "$PRIVATE" -name '*.new.*' -o -name '77.1.0.gz')" ]

# ---- an object that is lost or damaged while its raw file is still there

echo precious >"$MNT/lost"
seq 30000 >"$MNT/cut-short"
seal
crash
zcat "$STORE/lost.notepack.gz" >"$STORE/lost"
zcat "$STORE/cut-short.notepack.gz" >"$STORE/cut-short"
rm "$STORE/lost.notepack.gz"
truncate -s 1000 "$STORE/cut-short.notepack.gz"
start "$OPTIONS"
seal
check "a raw file whose object is lost is kept and sealed again" \
	sh -c "[ \"\$(zcat '$MNT'/lost*.gz)\" = precious ]"
check "and so is one whose object is damaged" \
	sh -c "seq 30000 | cmp - '$MNT/cut-short'"

# ---- removals

echo removed >"$MNT/removed"
echo twin >"$MNT/twin"
echo twin >"$MNT/twin2"
seal
sync "$MNT"
cp -p "$STORE/removed.notepack.gz" "$WORK/"
rm "$MNT/removed"
rm "$MNT/twin"
mv "$MNT/twin2" "$MNT/twin"
crash
cp -p "$WORK/removed.notepack.gz" "$STORE/"
start "$OPTIONS"
check "a removal that was interrupted is completed" no_such_file "$STORE/removed.notepack.gz"
check "and the file is gone" no_such_file "$MNT/removed"
check "a file that got the name of a removed one with the same bytes is not removed for it" \
	content twin twin
crash

# ---- renamings of several names

start "$OPTIONS"
for i in 1 2 3; do
	echo "$i" >>"$MNT/parts"
	seal
	echo "$i" >>"$MNT/whole"
	seal
done
for i in 1 2 3; do
	echo "$i" >>"$MNT/spelled"
	seal
done
mkdir "$MNT/from"
echo deep >"$MNT/from/deep"
seal
spelled=$(stat -c %i "$MNT/spelled")
parts=$(stat -c %i "$MNT/parts")
whole=$(stat -c %i "$MNT/whole")
stop "before the renamings"
mv "$STORE/parts.notepack.gz" "$STORE/dir/new.notepack.gz"
mv "$STORE/parts.p000000002.notepack.gz" "$STORE/dir/new.p000000002.notepack.gz"
mv "$STORE/from" "$STORE/to"
"$BUILD/tests/mount/make_intent" "$STORE" "$parts" parts dir/new
"$BUILD/tests/mount/make_intent" "$STORE" "$whole" whole dir/whole
"$BUILD/tests/mount/make_intent" "$STORE" "$spelled" spelled spelled.notepack
"$BUILD/tests/mount/make_intent" "$STORE" 0 from to
start "$OPTIONS"
check "a renaming of several names that was cut in two is completed" \
	[ "$(cat "$MNT/dir/new")" = "$(printf '1\n2\n3')" ]
check "and so is one that had only begun" [ "$(cat "$MNT/dir/whole")" = "$(printf '1\n2\n3')" ]
# Named bug: its objects, whose names stay the same, were removed.
check "and one to the other spelling of its name" \
	[ "$(cat "$MNT/spelled.notepack") $(stat -c %i "$MNT/spelled.notepack")" = "$(printf '1\n2\n3') $spelled" ]
check "the files are the same" \
	[ "$(stat -c %i "$MNT/dir/new" "$MNT/dir/whole")" = "$(printf '%s\n%s' "$parts" "$whole")" ]
check "their old names are gone" [ -z "$(find "$STORE" -maxdepth 1 -name 'parts*' -o -maxdepth 1 -name 'whole*')" ]
check "a directory that was renamed is followed" content to/deep deep
check "all that is recorded verifies" sh -c "cd '$MNT' && sha256sum --quiet -c .notepackfs/sha256sums"
check "nothing more was quarantined" [ "$(files "$PRIVATE/quarantine")" -eq 5 ]

# ---- once more: nothing changes (I6)

seal
picture >"$WORK/before"
crash
start "$OPTIONS"
seal
picture >"$WORK/after"
crash
start "$OPTIONS"
seal
picture >>"$WORK/after2"
check "a second recovery changes nothing" cmp "$WORK/before" "$WORK/after"
check "nor does a third" cmp "$WORK/before" "$WORK/after2"
stop "after the recoveries"

# ---- a writer that outlives the daemon

start grace=1h
echo begun >"$MNT/living"
crash
exec 8>>"$STORE/living"
start grace=0.05
check "a file that someone else still writes is sealed so far" wait_for 20 \
	sh -c "[ \"\$(zcat '$MNT/living.notepack.gz')\" = begun ]"
kept() {
	"$NOTEPACKCTL" status --json "$MNT" | grep -q '"path":"living".*"state":"kept"'
}
check "its raw file is kept, and the status says so" wait_for 20 kept
echo "more from outside" >&8
status=0
"$NOTEPACKCTL" umount "$MNT" >>"$LOG" 2>&1 || status=$?
check "an unmount that meets a living writer says 5" [ "$status" -eq 5 ]
status=0
daemon_status || status=$?
check "and so does the daemon" [ "$status" -eq 5 ]
echo "and the end" >&8
exec 8>&-
start grace=0.05
seal
check "the next mount has all that was written" \
	[ "$(cat "$MNT/living")" = "$(printf 'begun\nmore from outside\nand the end')" ]
check "and the raw file goes" wait_for 20 no_such_file "$STORE/living"
stop "with the writer gone"

# ---- a manifest that cannot be believed

refused() {
	local status=0
	"$NOTEPACKFS" "$STORE" "$MNT" -f >"$WORK/refusal" 2>&1 || status=$?
	sed 's/^/# /' "$WORK/refusal"
	[ "$status" -eq "$1" ]
}
cp "$PRIVATE/manifest" "$WORK/manifest"
sed -i '2s/"raw_size":/"raw_sise":/' "$PRIVATE/manifest"
sum=$(sha256sum <"$PRIVATE/manifest")
check "a damaged manifest is refused with exit 4" refused 4
check "the message names the file" grep -q manifest "$WORK/refusal"
check "and the remedy" grep -q 'notepackctl repair' "$WORK/refusal"
check "and nothing is written over it" [ "$(sha256sum <"$PRIVATE/manifest")" = "$sum" ]
rm "$PRIVATE/manifest"
check "a store without its manifest is refused with exit 4 (L17)" refused 4
check "and gets no new one" no_such_file "$PRIVATE/manifest"
rm -rf "$PRIVATE"
check "nor does one without its private directory" refused 1
check "which stays away" no_such_file "$PRIVATE"

# ---- a start that was cut short between link and unlink, where there is no RENAME_NOREPLACE

# Named bug: what had both names got a third, and so was there twice.
rm -rf "${STORE:?}"
mkdir "$STORE"
long=$(printf 'x%.0s' $(seq 190)).recovered-1 # as if cut off, and so like a name that recovery gave
start "$OPTIONS"
mkdir "$MNT/gone"
for name in other unmarked "$long" cut-short; do
	seq 1000 >"$MNT/$name"
done
seal
exec 7>"$MNT/refused.notepack.gz" 8>"$MNT/gone/away.notepack.gz"
echo garbage >&7
echo garbage >&8
crash
exec 7>&- 8>&-
for name in other unmarked "$long"; do
	echo "not that $name" >"$STORE/$name"
done
ln "$STORE/other" "$STORE/other.recovered-9999"
setfattr -n user.notepackfs -v "9999 0" "$STORE/other"
ln "$STORE/unmarked" "$STORE/unmarked.recovered-9998"
zcat "$STORE/cut-short.notepack.gz" >"$STORE/cut-short"
truncate -s 100 "$STORE/cut-short.notepack.gz"
ln "$STORE/cut-short.notepack.gz" "$PRIVATE/quarantine/1.gz"
head -c 60 "$STORE/other.notepack.gz" >"$STORE/torn.notepack.gz"
ln "$STORE/torn.notepack.gz" "$PRIVATE/quarantine/2.gz"
head -c 70 "$STORE/other.notepack.gz" >"$STORE/import.notepack.gz"
setfattr -n user.notepackfs -v "9997 0" "$STORE/import.notepack.gz"
ln "$STORE/import.notepack.gz" "$STORE/import.notepack.gz.invalid"
rmdir "$STORE/gone"
for file in "$PRIVATE"/import/*; do
	case $(getfattr --absolute-names --only-values -n user.notepackfs.path "$file") in
	refused.*) ln "$file" "$STORE/refused.notepack.gz.invalid" ;;
	gone/*) ln "$file" "$PRIVATE/quarantine/import.1.gz" ;;
	esac
done
start "$OPTIONS"
seal
displaced=$(cd "$MNT" && echo x*.recovered-??*.notepack.gz)
names=(cut-short.notepack.gz import.notepack.gz.invalid other.notepack.gz other.recovered-9999.notepack.gz
	refused.notepack.gz.invalid unmarked.notepack.gz unmarked.recovered-9998.notepack.gz
	"$long.notepack.gz" "$displaced")
check "each has one name, and nothing is there twice" [ "$(cd "$MNT" && echo *)" = "${names[*]}" ]
check "… in quarantine, too" [ "$(cd "$PRIVATE/quarantine" && echo *)" = "1.gz 2.gz import.1.gz" ]
check "… and in the store" [ -z "$(find "$STORE" -type f -links +1)" ]
check "what was kept under another name has its bytes" \
	[ "$(zcat "$MNT/other.recovered-9999.notepack.gz" "$MNT/unmarked.recovered-9998.notepack.gz" "$MNT/$displaced")" = \
		"$(printf 'not that %s\n' other unmarked "$long")" ]
for name in other unmarked "$long" cut-short; do
	check "what was sealed as ${name:0:10} has its own" sh -c "seq 1000 | cmp - '$MNT/$name'"
done
stop "with one name each"

# ---- attributes that only the objects have

generation() {
	sed -n '1s/.*"generation":\([0-9]*\).*/\1/p' "$PRIVATE/manifest"
}

# Named bug: an object and its record had different modes for ever.
rm -rf "${STORE:?}"
mkdir "$STORE"
start grace=1h
echo secret >"$MNT/mode"
"$NOTEPACKCTL" seal "$MNT/mode"
chmod 600 "$MNT/mode"
crash
start grace=1h
check "after a crash a file has the mode of its object" \
	[ "$(stat -c %a "$MNT/mode" "$MNT/mode.notepack.gz")" = "$(printf '600\n400')" ]

# Named bug: it had its times, too; so a copy of a store lost those that were recorded.
echo old >"$MNT/old"
touch -d '2001-01-01 00:00:00Z' "$MNT/old"
"$NOTEPACKCTL" seal "$MNT/old"
sync "$MNT"
crash
mv "$STORE" "$WORK/original"
cp -r "$WORK/original" "$STORE"
check "a copy without times" [ "$(stat -c %Y "$STORE/old.notepack.gz")" != 978307200 ]
start grace=1h
check "… that was not stopped keeps those of the manifest" [ "$(stat -c %Y "$MNT/old")" = 978307200 ]

# Named bug: each was a commit of its own.
mkdir "$MNT/many" "$MNT/more"
for i in $(seq 300); do
	echo "$i" >"$MNT/many/$i"
	echo "$i" >"$MNT/more/$i"
done
"$NOTEPACKCTL" wait "$MNT"
crash
chmod 400 "$STORE"/many/*.gz "$STORE"/more/*.gz
before=$(generation)
start grace=1h
check "records of 600 files get other modes" \
	[ "$(stat -c %a "$MNT"/many/*.gz "$MNT"/more/*.gz "$MNT/many/7" "$MNT/more/300" | sort | uniq -c | xargs)" = "600 400 2 600" ]
check "… in some commits ($(($(generation) - before)))" [ $(($(generation) - before)) -le 10 ]
stop "with the attributes of the objects"
# Named bug: killed between an object's renaming and its record, after its file had got an excluded name:
# the object was taken for another file's, and the rest of the bytes was not shown.
start grace=0
echo sealed >"$MNT/moved"
check "an object" wait_for 20 sealed "$MNT/moved"
stop "with an object"
start grace=1h
printf 'sealed\nand not\n' >"$MNT/renamed.tmp"
crash
cp -p "$STORE/moved.notepack.gz" "$STORE/renamed.tmp.notepack.gz"
for i in 1 2; do
	start grace=1h
	check "an object without a record belongs to the file of its name, though that is excluded ($i)" \
		[ "$(cat "$MNT/renamed.tmp")" = "$(printf 'sealed\nand not')" ]
	check "… both are listed ($i)" [ "$(cd "$MNT" && ls renamed.tmp*)" = "$(printf 'renamed.tmp\nrenamed.tmp.notepack.gz')" ]
	stop "with an excluded file ($i)"
done

# Named bug: the same in an excluded directory: the object stayed there as a second file.
start grace=1h
mkdir "$MNT/new.part"
echo sealed >"$MNT/new.part/moved"
echo sealed >"$MNT/new.part/users"
cp "$MNT/moved.notepack.gz" "$MNT/new.part/users.notepack.gz"
crash
cp -p "$STORE/moved.notepack.gz" "$STORE/new.part/moved.notepack.gz"
start grace=1h
check "an object without a record belongs to the file of its name, in an excluded directory, too" \
	[ "$(cat "$MNT/new.part/moved") $(cd "$MNT/new.part" && echo moved*)" = "sealed moved.notepack.gz" ]
check "… a user's own file of such a name stays one" \
	sh -c "echo more >>'$MNT/new.part/users.notepack.gz' && [ -e '$MNT/new.part/users' ]"
stop "with an excluded directory"
finish
