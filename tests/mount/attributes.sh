#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Owner, mode and times: whose a file is, what is set after the last close in every state, what
# sealing and a remount leave of it; directory times.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/states.sh"

attributes() {
	stat -c '%a %u %g %y' "$1"
}

as_user() {
	setpriv --reuid=1234 --regid=5678 --clear-groups "$@"
}

if [ "$(id -u)" != 0 ]; then
	fail "runs as root: it makes files of other users"
	finish
fi

# The way to the mount for another user.
chmod 755 "$WORK"
start grace=1h,allow_other
chmod 777 "$MNT"

# ---- ownership ----

as_user sh -c "umask 027; echo mine >'$MNT/mine'; mkdir '$MNT/dir'; ln -s x '$MNT/link'"
check "a new file is its creator's" [ "$(stat -c '%u %g %a' "$MNT/mine")" = "1234 5678 640" ]
check "a new directory is its creator's" [ "$(stat -c '%u %g %a' "$MNT/dir")" = "1234 5678 750" ]
check "a new link is its creator's" [ "$(stat -c '%u %g' "$MNT/link")" = "1234 5678" ]
mkdir "$MNT/setgid"
chown :42 "$MNT/setgid"
chmod 2777 "$MNT/setgid"
as_user sh -c "echo s >'$MNT/setgid/file'; mkdir '$MNT/setgid/dir'"
check "a set-GID directory gives its group to a file" [ "$(stat -c '%u %g' "$MNT/setgid/file")" = "1234 42" ]
check "a set-GID directory gives its group and the bit to a directory" \
	[ "$(stat -c '%u %g %A' "$MNT/setgid/dir" | cut -c 1-20)" = "1234 42 drwxr-sr-x" ]
echo root >"$MNT/roots"
chmod 600 "$MNT/roots"
check_refused "default_permissions keep a file from others" "Permission denied" \
	as_user cat "$MNT/roots"
check_refused "a file's mode is not others' to change" "Operation not permitted" \
	as_user chmod 777 "$MNT/roots"
"$NOTEPACKCTL" seal "$MNT"
check "sealing keeps the owner" [ "$(stat -c '%u %g %a' "$MNT/mine")" = "1234 5678 640" ]
check "an object is its creator's, read-only" \
	[ "$(stat -c '%u %g %a' "$MNT/mine.notepack.gz")" = "1234 5678 440" ]
check "the store's object is its creator's, read-only" \
	[ "$(stat -c '%u %g %a' "$STORE/mine.notepack.gz")" = "1234 5678 440" ]
check_refused "a sealed file is kept from others, too" "Permission denied" \
	as_user cat "$MNT/roots.notepack.gz"
check "its owner appends to a sealed file" as_user sh -c "echo more >>'$MNT/mine'"
check_refused "others don't" "ermission denied" as_user sh -c "echo more >>'$MNT/roots'"
cp /bin/true "$MNT/program"
chmod 4755 "$MNT/program"
as_user sh -c "echo x >>'$MNT/program'" 2>/dev/null
chmod 4777 "$MNT/program"
as_user sh -c "echo x >>'$MNT/program'"
check "writing strips the set-ID bits" [ "$(stat -c %a "$MNT/program")" = 777 ]

# ---- chmod, chown, utimens in every state ----

for state in "${STATES[@]}"; do
	name=$(name_of "$state")
	make_state "$state" "$MNT/$name"
	stat "$MNT/$name" "$MNT/$(object_of "$name")" >/dev/null 2>&1 # the kernel remembers them
	check "the mode is set ($state)" chmod 604 "$MNT/$name"
	check "the owner is set ($state)" chown 11:22 "$MNT/$name"
	check "the times are set ($state)" touch -c -d '2001-02-03 04:05:06.123456789Z' "$MNT/$name"
	attributes "$MNT/$name" >"$WORK/$state"
	check "what was set is seen ($state)" \
		grep -q '^604 11 22 2001-02-03 04:05:06.123456789' "$WORK/$state"
	# An open writer's next write sets the time anew.
	close_states
done
check "the object follows at once" [ "$(stat -c '%a %u %g' "$MNT/sealed.notepack.gz")" = "404 11 22" ]
check "an object takes changes for its file" chmod 640 "$MNT/sealed.notepack.gz"
check "the plain name follows at once" [ "$(stat -c '%a %u %g' "$MNT/sealed")" = "640 11 22" ]
follows_at_once() {
	local i mode
	for i in $(seq 100); do
		mode=6$((i % 2 * 4))0
		chmod "$mode" "$MNT/sealed" && [ "$(stat -c %a "$MNT/sealed.notepack.gz")" = "4${mode:1}" ] || return
		chmod 4$((i % 2))0 "$MNT/sealed.notepack.gz" && [ "$(stat -c %a "$MNT/sealed")" = "6$((i % 2))0" ] || return
	done
}
# Named bug: the kernel was told behind the answer, and remembered the old mode for a moment.
check "… each time" follows_at_once
chmod 640 "$MNT/sealed.notepack.gz"
check "the object never shows the right to write" [ "$(stat -c %a "$MNT/sealed.notepack.gz")" = 440 ]
check "who takes the right to read takes that to write" chmod go-rwx "$MNT/sealed.notepack.gz"
check "… and leaves the owner's" wait_for 5 sh -c "[ \$(stat -c %a '$MNT/sealed') = 600 ]"
chmod 604 "$MNT/sealed"
mkdir "$MNT/recursive"
echo 1 >"$MNT/recursive/x"
"$NOTEPACKCTL" seal "$MNT/recursive"
echo 2 >>"$MNT/recursive/x"
"$NOTEPACKCTL" seal "$MNT/recursive"
check "chmod -R finds objects, of several parts, too" chmod -R 700 "$MNT/recursive"
check "… and sets their file's mode" [ "$(stat -c %a "$MNT/recursive/x")" = 700 ]
# Named bug: chmod of a file that had a tail left what was sealed of it readable, for ever.
echo secret >"$MNT/growing"
"$NOTEPACKCTL" seal "$MNT/growing"
exec 8>>"$MNT/growing"
echo more >&8
chmod 600 "$MNT/growing"
chown 11:22 "$MNT/growing"
objects_are() {
	[ "$(stat -c '%a %u %g' "$MNT"/growing*.notepack.gz | sort -u)" = "$1" ]
}
check "who may not read a growing file may not read its objects" wait_for 5 objects_are "400 11 22"
chmod 440 "$MNT/growing.notepack.gz"
check "an object takes changes for its growing file" wait_for 5 objects_are "440 11 22"
growing_follows() {
	[ "$(stat -c '%a %u %g' "$MNT/growing")" = "640 11 22" ]
}
check "… which follows" wait_for 5 growing_follows
exec 8>&-
"$NOTEPACKCTL" seal "$MNT/growing"
check "… when it is sealed, too" objects_are "440 11 22"
check "… as it says itself" growing_follows
mv "$MNT/excluded.tmp" "$MNT/excluded"
"$NOTEPACKCTL" seal "$MNT"
for state in "${STATES[@]}"; do
	check "sealing keeps mode, owner and times ($state)" \
		[ "$(attributes "$MNT/$state")" = "$(cat "$WORK/$state")" ]
done
chmod 640 "$MNT/parts"
touch -c -d '1969-12-31 23:59:58.5Z' "$MNT/tail"
attributes "$MNT/parts" >"$WORK/parts"
attributes "$MNT/tail" >"$WORK/tail"
stop
start grace=1h,allow_other
for state in "${STATES[@]}"; do
	check "a remount keeps mode, owner and times ($state)" \
		[ "$(attributes "$MNT/$state")" = "$(cat "$WORK/$state")" ]
done

# ---- times of what is written ----

mkdir "$MNT/times"
cp -p "$WORK/parts" "$MNT/times/copied"
touch -d '2010-01-01 00:00:00.987654321Z' "$WORK/dated"
cp -p "$WORK/dated" "$MNT/times/empty"
echo dated >"$WORK/dated"
touch -d '2010-01-01 00:00:00.987654321Z' "$WORK/dated"
cp -p "$WORK/dated" "$MNT/times/dated"
touch -d '2011-01-01 00:00:00Z' "$MNT/times"
"$NOTEPACKCTL" seal "$MNT/times"
check "sealing keeps a copied file's time to the nanosecond" \
	[ "$(stat -c %y "$MNT/times/dated")" = "$(stat -c %y "$WORK/dated")" ]
check "its object has the same time" \
	[ "$(stat -c %y "$MNT/times/dated.notepack.gz")" = "$(stat -c %y "$WORK/dated")" ]
check "publication leaves the directory's time alone" \
	[ "$(stat -c %Y "$MNT/times")" = "$(date -d '2011-01-01 00:00:00Z' +%s)" ]
raw_gone() {
	[ ! -e "$STORE/times/dated" ]
}
check "the raw file goes" wait_for 10 raw_gone
check "the store's directory has its time, too" \
	wait_for 5 [ "$(stat -c %Y "$STORE/times")" = "$(date -d '2011-01-01 00:00:00Z' +%s)" ]
check "a new name changes the directory's time" sh -c \
	"touch '$MNT/times/new' && [ \$(stat -c %Y '$MNT/times') -gt 1400000000 ]"
stop
start grace=1h,allow_other
check "a remount keeps a copied file's time" \
	[ "$(stat -c %y "$MNT/times/dated")" = "$(stat -c %y "$WORK/dated")" ]
stop
finish
