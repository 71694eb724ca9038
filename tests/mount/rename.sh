#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Renaming in every state, across directories, onto what is there; of objects; of directories.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/states.sh"

# gone PATH: neither under its plain name nor under that of an object, listed or looked up.
gone() {
	! listed "$1" && [ ! -e "$1" ] && [ ! -e "$(object_of "$1")" ] && ! sealed "$1"
}

# The part's object is in the listing, can be opened, and its plain name does not show.
moved_whole() {
	local state=$1 from=$2 to=$3
	has_content "$state" "$to" && gone "$from"
}

start grace=1h
mkdir -p "$MNT/d/e"

# ---- to a free name, in every state ----

for state in "${STATES[@]}"; do
	name=$(name_of "$state")
	make_state "$state" "$MNT/$name"
	[ "$state" = sealed ] && stat "$MNT/sealed.notepack.gz" >/dev/null # the kernel remembers it
	check "a file is renamed in its directory ($state)" mv "$MNT/$name" "$MNT/new-$name"
	check "… and has moved as a whole" \
		wait_for 5 moved_whole "$state" "$MNT/$name" "$MNT/new-$name"
	check "a file is renamed across directories ($state)" mv "$MNT/new-$name" "$MNT/d/e/$name"
	check "… and has moved as a whole" \
		wait_for 5 moved_whole "$state" "$MNT/new-$name" "$MNT/d/e/$name"
	check "another file takes the old name ($state)" sh -c "echo other >'$MNT/$name'"
	check "… with its own content" [ "$(cat "$MNT/$name")" = other ]
	rm "$MNT/$name"
	if [ "$state" = open ] || [ "$state" = writer ]; then
		echo "3 after the rename" >&7
		check "a writer goes on after the rename ($state)" \
			[ "$(tail -n 1 "$MNT/d/e/$name")" = "3 after the rename" ]
	fi
	close_states
done
ino=$(stat -c %i "$MNT/d/e/parts")
"$NOTEPACKCTL" seal "$MNT"

# ---- directories with sealed objects ----

check "a directory with sealed objects is renamed" mv "$MNT/d" "$MNT/moved"
for state in "${STATES[@]}"; do
	name=$(name_of "$state")
	check "a renamed directory has its files ($state)" sh -c \
		"[ \"\$(head -n 1 '$MNT/moved/e/$name')\" = '1 $state' ]"
done
mkdir "$MNT/empty" "$MNT/full"
touch "$MNT/full/x"
check "a directory replaces an empty one" mv -T "$MNT/moved" "$MNT/empty"
check_refused "a directory does not replace a full one" "Directory not empty" \
	"$TOOL" rename "$MNT/empty" "$MNT/full"
check_refused "a directory does not go into itself" "Invalid argument" \
	"$TOOL" rename "$MNT/empty" "$MNT/empty/e/below"
check_refused "a directory does not replace a file" "Not a directory" \
	"$TOOL" rename "$MNT/empty" "$MNT/full/x"
check_refused "a file does not replace a directory" "Is a directory" \
	"$TOOL" rename "$MNT/full/x" "$MNT/empty"

# ---- onto existing names ----

for state in sealed parts tail writer; do
	make_state "$state" "$MNT/there-$state"
	echo replacing >"$MNT/replacing"
	check_refused "sealed bytes are not replaced ($state)" "Operation not permitted" \
		"$TOOL" rename "$MNT/replacing" "$MNT/there-$state"
	check_refused "… neither by a sealed file ($state)" "Operation not permitted" \
		"$TOOL" rename "$MNT/empty/e/sealed" "$MNT/there-$state"
	check "… and are all there ($state)" has_content "$state" "$MNT/there-$state"
	close_states
done
check "the log names the remedy" \
	logged "there-sealed.* replac.* a sealed file.* notepackctl rm .* allow_delete=GLOB"
for state in open excluded grace; do
	name=there-$(name_of "$state")
	make_state "$state" "$MNT/$name"
	echo replacing >"$MNT/replacing"
	check_refused "RENAME_NOREPLACE does not replace ($state)" "File exists" \
		"$TOOL" rename "$MNT/replacing" "$MNT/$name" noreplace
	check "a file that is not sealed is replaced ($state)" \
		"$TOOL" rename "$MNT/replacing" "$MNT/$name"
	check "… by the new content" [ "$(cat "$MNT/$name")" = replacing ]
	close_states
done
echo replacing >"$MNT/replacing"
check_refused "RENAME_NOREPLACE does not replace a sealed file" "File exists" \
	"$TOOL" rename "$MNT/replacing" "$MNT/there-sealed" noreplace
check "RENAME_NOREPLACE renames to a free name" \
	"$TOOL" rename "$MNT/replacing" "$MNT/free" noreplace
check_refused "the other spelling of a live stem is no free name" "File exists" \
	"$TOOL" rename "$MNT/free" "$MNT/there-sealed.notepack"
check_refused "a name that ends like a part is refused" "Invalid argument" \
	"$TOOL" rename "$MNT/free" "$MNT/free.p000000003"
check_refused "a name that is too long for its parts is refused" "File name too long" \
	"$TOOL" rename "$MNT/there-sealed" "$MNT/$(printf %0234d 0)"
check_refused "RENAME_WHITEOUT is refused" "Invalid argument" \
	"$TOOL" rename "$MNT/free" "$MNT/free2" whiteout
check "a file is renamed to its own name" "$TOOL" rename "$MNT/there-sealed" "$MNT/there-sealed"
check "its own other spelling is free to a file" \
	"$TOOL" rename "$MNT/there-sealed" "$MNT/there-sealed.notepack"
check "… and it keeps its object" sealed "$MNT/there-sealed"
check "… and reads" has_content sealed "$MNT/there-sealed.notepack"

# ---- RENAME_EXCHANGE ----

echo one >"$MNT/one"
echo two >"$MNT/two"
check "two files are exchanged" "$TOOL" rename "$MNT/one" "$MNT/two" exchange
check "… with their content" [ "$(cat "$MNT/one" "$MNT/two" | tr '\n' ' ')" = "two one " ]
mkdir "$MNT/xa" "$MNT/xb"
touch "$MNT/xa/a"
check "two directories are exchanged" "$TOOL" rename "$MNT/xa" "$MNT/xb" exchange
check "… with their content" [ -e "$MNT/xb/a" ]
check_refused "a sealed file is not exchanged" "Invalid argument" \
	"$TOOL" rename "$MNT/one" "$MNT/there-parts" exchange
check_refused "an exchange needs both names" "No such file or directory" \
	"$TOOL" rename "$MNT/one" "$MNT/none" exchange

# ---- objects ----

make_state sealed "$MNT/object"
check "the object of a one-part file is renamed to a sealed name" \
	mv "$MNT/object.notepack.gz" "$MNT/thing.notepack.gz"
check "… and the plain name follows" wait_for 5 moved_whole sealed "$MNT/object" "$MNT/thing"
check_refused "an object keeps its suffix" "Operation not permitted" \
	"$TOOL" rename "$MNT/thing.notepack.gz" "$MNT/thing.gz"
check_refused "one part of several is not renamed (part 1)" "Operation not permitted" \
	"$TOOL" rename "$MNT/there-parts.notepack.gz" "$MNT/p.notepack.gz"
check_refused "one part of several is not renamed (part 2)" "Operation not permitted" \
	"$TOOL" rename "$MNT/there-parts.p000000002.notepack.gz" "$MNT/p.p000000002.notepack.gz"
check "the log says why" logged "a part keeps its place"

# ---- after a remount ----

"$NOTEPACKCTL" seal "$MNT"
mv "$MNT/there-excluded.tmp" "$MNT/there-excluded"
mv "$MNT/empty/e/excluded.tmp" "$MNT/empty/e/excluded"
stop
check_clean_store
start grace=1h
for state in "${STATES[@]}"; do
	name=$state
	check "what was renamed is there after a remount ($state)" sh -c \
		"[ \"\$(head -n 1 '$MNT/empty/e/$name')\" = '1 $state' ]"
done
check "it has its inode number after a remount" [ "$(stat -c %i "$MNT/empty/e/parts")" = "$ino" ]
check "a renamed object is there after a remount" has_content sealed "$MNT/thing"
check "the renamed spelling is there after a remount" has_content sealed "$MNT/there-sealed.notepack"
check "the store is sound" quietly "$NOTEPACKCTL" check --deep "$MNT"
stop "after a remount"
finish
