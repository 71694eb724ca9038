#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Names: which may be created, which meet, which are reserved; listings; identity. rename.sh has
# what becomes of a name, attributes.sh what hangs on it.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/states.sh"

byte_name() {
	printf "%0$1d%s" 0 "${2:-}"
}

inode() {
	stat -c %i "$1"
}

start grace=1h

# ---- which names ----

echo one >"$MNT/a"
check_refused "the other spelling of a live stem is refused (active)" "File exists" \
	sh -c "set -C; echo two >'$MNT/a.notepack'"
"$NOTEPACKCTL" seal "$MNT/a"
check_refused "the other spelling of a live stem is refused (sealed)" "File exists" \
	"$TOOL" mknod "$MNT/a.notepack"
check_refused "a stem that ends like a part is refused" "Invalid argument" \
	touch "$MNT/b.p000000002"
check_refused "a stem that ends like a part is refused under its notepack name" \
	"Invalid argument" touch "$MNT/b.p000000002.notepack"
check_refused "a part's sealed name is refused" "Invalid argument" \
	touch "$MNT/b.p000000002.notepack.gz"
echo x >"$MNT/plain"
check_refused "renaming to a part's sealed name is refused" "Invalid argument" \
	"$TOOL" rename "$MNT/plain" "$MNT/b.p000000002.notepack.gz"
check_refused "a symbolic link with a sealed name is refused" "Operation not permitted" \
	ln -s x "$MNT/link.notepack.gz"
check "the log says what such names are for" \
	logged "link.notepack.gz: refused: names that end in .notepack.gz are for sealed files"
check_refused "a directory with a sealed name is refused" "Operation not permitted" \
	mkdir "$MNT/dir.notepack.gz"

check "a name of 233 bytes is created" touch "$MNT/$(byte_name 233)"
check_refused "a name of 234 bytes is refused" "File name too long" \
	touch "$MNT/$(byte_name 234)"
check "an excluded name of 255 bytes is created" touch "$MNT/$(byte_name 251 .tmp)"
check_refused "an excluded name of 255 bytes does not get a sealed file's" "File name too long" \
	"$TOOL" rename "$MNT/$(byte_name 251 .tmp)" "$MNT/$(byte_name 240)"
check "a sealed name of 233 bytes and its ending is created" touch "$MNT/a$(byte_name 232 .notepack.gz)"
check "… and removed" rm "$MNT/a$(byte_name 232 .notepack.gz)"
# Named bug: where the sealed name was too long it was an invalid argument, or not permitted.
long=$MNT/$(byte_name 234 .notepack.gz)
for op in touch mkdir mkfifo "ln -s x" "ln $MNT/plain" "$TOOL rename $MNT/plain" "$TOOL mknod"; do
	# shellcheck disable=SC2086 # words on purpose
	check_refused "a sealed name of 234 bytes and its ending is refused (${op//"$MNT"/MNT})" \
		"File name too long" $op "$long"
done
echo x >"$MNT/object"
"$NOTEPACKCTL" seal "$MNT/object"
check_refused "… and to an object that is renamed" "File name too long" \
	"$TOOL" rename "$MNT/object.notepack.gz" "$long"
check_refused "… and where the plain name needs one more suffix" "File name too long" \
	touch "$MNT/$(byte_name 220 .notepack.notepack.gz)"
check "statfs gives a name limit of 233" [ "$(stat -f -c %l "$MNT")" = 233 ]
echo long >"$MNT/$(byte_name 233)"
check "a name of 233 bytes is sealed" "$NOTEPACKCTL" seal "$MNT/$(byte_name 233)"
check "a sealed name of 233 bytes reads" [ "$(cat "$MNT/$(byte_name 233)")" = long ]
echo more >"$MNT/$(byte_name 232)"
"$NOTEPACKCTL" seal "$MNT/$(byte_name 232)"
echo more >>"$MNT/$(byte_name 232)"
"$NOTEPACKCTL" seal "$MNT/$(byte_name 232)"
check "a name of 232 bytes has room for a second part" \
	listed "$MNT/$(byte_name 232).p000000002.notepack.gz"

# ---- a real entry of exactly that name wins ----

echo stem >"$MNT/s.notepack"
mkdir "$MNT/s"
check "a directory of the stem's name wins its look-up" [ -d "$MNT/s" ]
check "the file beside it is reached by its own spelling" [ "$(cat "$MNT/s.notepack")" = stem ]
"$NOTEPACKCTL" seal "$MNT/s.notepack"
check "the directory still wins when the file is sealed" [ -d "$MNT/s" ]
rmdir "$MNT/s"

# ---- .notepackfs ----

for op in "mkdir $MNT/.notepackfs" "rmdir $MNT/.notepackfs" "rm $MNT/.notepackfs/status" \
	"touch $MNT/.notepackfs/new" "mkdir $MNT/.notepackfs/new" \
	"ln -s x $MNT/.notepackfs/new" "mv -T $MNT/plain $MNT/.notepackfs" \
	"mv $MNT/plain $MNT/.notepackfs/plain" "mv -T $MNT/.notepackfs $MNT/other" \
	"mv $MNT/.notepackfs/status $MNT/other" "chmod 700 $MNT/.notepackfs" \
	"chmod 600 $MNT/.notepackfs/status" "truncate -s 0 $MNT/.notepackfs/status" \
	"ln $MNT/plain $MNT/.notepackfs/plain"; do
	# shellcheck disable=SC2086 # words on purpose
	check "the private name is reserved: ${op//"$MNT"/MNT}" sh -c "! $op 2>/dev/null"
done
check "the private directory is not listed" sh -c "! ls -A '$MNT' | grep -q notepackfs"
check "the private directory is there all the same" [ -r "$MNT/.notepackfs/status" ]
mkdir "$MNT/below"
check "it is reserved in the root only" mkdir "$MNT/below/.notepackfs"
check "the store's private files are out of reach" [ ! -e "$MNT/.notepackfs/lock" ]

# ---- other kinds ----

check_refused "hard links are refused" "Operation not permitted" ln "$MNT/plain" "$MNT/hard"
check_refused "FIFOs are refused" "Operation not permitted" mkfifo "$MNT/fifo"
check_refused "devices are refused" "Operation not permitted" mknod "$MNT/null" c 1 3
for path in plain a below a.notepack.gz; do
	check_refused "extended attributes are refused ($path)" "Operation not supported" \
		"$TOOL" setxattr "$MNT/$path"
done
ln -s plain "$MNT/link"
check "symbolic links work" [ "$(readlink "$MNT/link") $(cat "$MNT/link")" = "plain x" ]
check "a directory that is not empty is not removed" sh -c "! rmdir '$MNT/below' 2>/dev/null"
check "directories are removed" rmdir "$MNT/below/.notepackfs"
check "a link is removed" rm "$MNT/link"
check "mknod makes a regular file" "$TOOL" mknod "$MNT/below/made"

# ---- never sealed ----

touch "$MNT/empty"
"$NOTEPACKCTL" wait "$MNT"
"$NOTEPACKCTL" seal "$MNT/empty"
check "an empty file is never sealed" sh -c "[ -e '$MNT/empty' ] && [ ! -e '$MNT/empty.notepack.gz' ]"
mkdir "$MNT/.hidden"
echo h >"$MNT/.hidden/file"
for name in .dot back~ x.tmp x.part x.open x.swp; do
	echo "$name" >"$MNT/$name"
done
"$NOTEPACKCTL" seal "$MNT"
for name in .dot back~ x.tmp x.part x.open x.swp .hidden/file; do
	check "an excluded name is never sealed ($name)" listed "$MNT/$name"
done
mv "$MNT/.dot" "$MNT/dot"
mv "$MNT/.hidden" "$MNT/seen"
"$NOTEPACKCTL" wait "$MNT"
check "a file renamed from an excluded name is sealed" sealed "$MNT/dot"
check "a file in a directory renamed from an excluded name is sealed" sealed "$MNT/seen/file"

# ---- listings ----

mkdir "$MNT/many"
for i in $(seq 1 200); do echo "$i" >"$MNT/many/file-$i"; done
"$TOOL" list "$MNT/many" 100 | sort >"$WORK/small"
find "$MNT/many" -mindepth 1 -printf '%f\n' | sort >"$WORK/whole"
check "a listing with a small buffer has each name once" \
	sh -c "cmp '$WORK/small' '$WORK/whole' && [ \$(wc -l <'$WORK/small') = 200 ]"
# Half is read; then all is sealed, some go, some come; the rest is read from the same place. (A listing
# that the kernel still has from before would be given out whole, as of its opening: so make it old.)
touch "$MNT/many/new-0"
"$TOOL" seek "$MNT/many" 100 "'$NOTEPACKCTL' seal '$MNT/many' && '$NOTEPACKCTL' rm '$MNT/many/file-7' \
	'$MNT/many/file-190' && touch '$MNT/many/new-1' '$MNT/many/new-2'" >"$WORK/seek"
sed '/^--$/,$d' "$WORK/seek" | grep -v '^\.' | sort >"$WORK/before"
sed '1,/^--$/d' "$WORK/seek" | sed 's/\.notepack\.gz$//' | sort >"$WORK/after"
check "the second half of a listing shows the flipped names" grep -qF .notepack.gz "$WORK/seek"
check "no name is listed twice though all were sealed in between" \
	[ -z "$(comm -12 "$WORK/before" "$WORK/after")" ]
{
	seq -f 'file-%g' 1 200
} | sort >"$WORK/expected"
sort -u "$WORK/before" "$WORK/after" >"$WORK/union"
check "no name is missed but those removed" \
	[ "$(comm -23 "$WORK/expected" "$WORK/union" | tr '\n' ' ')" = "file-190 " ]

# ---- identity ----

echo id >"$MNT/id"
ino=$(inode "$MNT/id")
"$NOTEPACKCTL" seal "$MNT/id"
object=$(inode "$MNT/id.notepack.gz")
check "the inode number stays when the file is sealed" [ "$(inode "$MNT/id")" = "$ino" ]
check "an object has an inode number of its own" [ "$object" != "$ino" ]
check "the listing gives the same inode number" \
	[ "$(find "$MNT/id.notepack.gz" -printf %i)" = "$object" ]
echo id >>"$MNT/id"
check "the inode number stays when the file is appended to" [ "$(inode "$MNT/id")" = "$ino" ]
"$NOTEPACKCTL" seal "$MNT/id"
second=$(inode "$MNT/id.p000000002.notepack.gz")
check "parts have distinct inode numbers" [ "$object" != "$second" ]
grace=$(inode "$MNT/plain")
stop
start grace=1h
check "inode numbers last over a remount" [ \
	"$(inode "$MNT/id") $(inode "$MNT/id.notepack.gz") $(inode "$MNT/id.p000000002.notepack.gz") $(inode "$MNT/plain")" \
	= "$ino $object $second $grace" ]
"$NOTEPACKCTL" rm "$MNT/id"
check "a removed file is gone" [ ! -e "$MNT/id" ]
echo new >"$MNT/id"
check "a new file under an old name has a new inode number" [ "$(inode "$MNT/id")" != "$ino" ]
"$NOTEPACKCTL" seal "$MNT/id"
check "a new file under an old name starts at part 1" sealed "$MNT/id"
check "a new file under an old name has no part of the old" \
	[ "$(cat "$MNT/id")" = new ]
check "no two files of the mount share an inode number" \
	[ -z "$(find "$MNT" -mindepth 1 -printf '%i\n' | sort | uniq -d)" ]
stop

# ---- a name that no file can be given, put into the store by another way ----

echo odd >"$STORE/oddly.p000000002"
for start in 1 2; do
	start grace=0
	check "a raw file with the name of a part is shown (start $start)" [ "$(cat "$MNT/oddly.p000000002")" = odd ]
	check "… and the log says why it is not sealed ($start)" grep -q "oddly.p000000002: has the name of a part" "$LOG"
	check "… nor is anything else of it in the store ($start)" \
		[ "$(find "$STORE" -name 'oddly.p*') $(find "$STORE/.notepackfs/quarantine" -type f)" = "$STORE/oddly.p000000002 " ]
	if [ "$start" = 1 ]; then
		crash
	else
		stop "with a file that cannot be sealed"
	fi
done
start grace=0
check "it can be renamed" mv "$MNT/oddly.p000000002" "$MNT/oddly"
check "… and is sealed then" wait_for 20 sealed "$MNT/oddly"
check "… with its bytes" [ "$(zcat "$STORE/oddly.notepack.gz")" = odd ]
stop "renamed"
finish
