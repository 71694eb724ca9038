#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The removal policy: refused by default, by option, by glob, by notepackctl rm; while sealing.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/states.sh"

gone() {
	! listed "$1" && [ ! -e "$1" ] && [ ! -e "$(object_of "$1")" ]
}

is_sealing() {
	grep -q '"path":"'"$1"'"[^}]*"state":"sealing"' "$MNT/.notepackfs/status"
}

# ---- by default ----

start grace=1h
for state in "${STATES[@]}"; do
	name=$(name_of "$state")
	make_state "$state" "$MNT/$name"
	if has_sealed_bytes "$state"; then
		check_refused "sealed bytes are not removed ($state)" "Operation not permitted" \
			rm "$MNT/$name"
		check_refused "… nor by the name of the object ($state)" "Operation not permitted" \
			rm "$MNT/$(object_of "$name")"
		check "… and are all there ($state)" has_content "$state" "$MNT/$name"
	else
		check "a file without sealed bytes is removed ($state)" rm "$MNT/$name"
		check "… and is gone ($state)" gone "$MNT/$name"
	fi
	close_states
done
check "the log names the remedy" logged "sealed.* removing .*refused.* notepackctl rm .* allow_delete=GLOB"
mkdir "$MNT/below"
echo x >"$MNT/below/x"
echo y >"$MNT/below/y"
"$NOTEPACKCTL" wait "$MNT"
check_refused "a sealed file in a directory is not removed" "not permitted" rm "$MNT/below/x"
# Named bug: the log had the last component only.
check "… and the log has its whole path" logged " below/x: removing a sealed file is refused"
check_refused "… nor renamed over" "not permitted" mv -f "$MNT/below/y" "$MNT/below/x"
check "… with both paths in the log" logged " below/y: renaming it to below/x is refused"
check_refused "a directory with sealed files is not removed by rmdir" "Directory not empty" \
	sh -c "mkdir '$MNT/d' && echo x >'$MNT/d/x' && '$NOTEPACKCTL' seal '$MNT/d' && rmdir '$MNT/d'"

# ---- notepackctl rm ----

stat "$MNT/sealed" "$MNT/sealed.notepack.gz" >/dev/null # the kernel remembers both names
check "notepackctl rm removes a sealed file" "$NOTEPACKCTL" rm "$MNT/sealed"
# Named bug: the kernel was not told, and opened the removed file under its old name.
check "… and it is gone for everyone at once" gone "$MNT/sealed"
check "… its name is free at once" sh -c "echo again >'$MNT/sealed' && grep -q again '$MNT/sealed'"
check "… from the manifest, too" sh -c "! grep -q '\"plain\":\"sealed\"' '$MNT/.notepackfs/manifest'"
check "notepackctl rm removes a file by its object" "$NOTEPACKCTL" rm "$MNT/d/x.notepack.gz"
check "… and its plain name is gone" gone "$MNT/d/x"
# Named bug: a file that had lost its last part gave its number out again, and nothing was committed
# from then on; one that had lost another had the wrong size.
whole=$(cat "$MNT/parts")
check_refused "notepackctl rm does not remove the last part of several" "not permitted" \
	"$NOTEPACKCTL" rm "$MNT/parts.p000000002.notepack.gz"
check "… and the content is whole" [ "$(cat "$MNT/parts")" = "$whole" ]
check "… and the log names the remedy" logged "parts.* removing one of its parts is refused.* plain name"
check "notepackctl rm removes all parts" "$NOTEPACKCTL" rm "$MNT/parts"
check "… and all are gone" [ -z "$(find "$MNT" -name 'parts*')" ]
exec 8<"$MNT/tail"
# Named bug: the removal waited for itself to open the object once more.
check "notepackctl rm removes a file that is open" "$NOTEPACKCTL" rm "$MNT/tail"
check "… which its reader goes on reading" [ "$(cat <&8)" = "$(content_of tail)" ]
exec 8<&-
check_refused "notepackctl rm removes no directory" "is a directory" "$NOTEPACKCTL" rm "$MNT/d"
check_refused "notepackctl rm says what is not there" "No such file" "$NOTEPACKCTL" rm "$MNT/none"
check "each removal is in the log, as one JSON line" \
	[ "$(grep -c '"event":"remove"' "$MNT/.notepackfs/log")" = 4 ]

# A file of which nothing is compressed yet, and one in the middle of it.
base64 /dev/urandom | head -c 48M >"$MNT/big"
"$NOTEPACKCTL" seal "$MNT/big" 2>"$WORK/seal.err" &
sealer=$!
check "a large file is being sealed" wait_for 20 is_sealing big
check_refused "bytes that are cut are not removed" "Operation not permitted" rm "$MNT/big"
check "notepackctl rm removes a file while it is sealed" "$NOTEPACKCTL" rm "$MNT/big"
check "… it is gone at once" gone "$MNT/big"
check "… and that is in the log, with what it had" grep -q \
	'"event":"remove".*"path":"big".*"parts":0,"unsealed":50331648' "$MNT/.notepackfs/log"
check "… who waits for its sealing is answered" wait_for 20 sh -c "! kill -0 $sealer"
wait "$sealer"
echo small >"$MNT/big"
check "… a new file of its name is sealed" "$NOTEPACKCTL" seal "$MNT/big"
check "… with its own content" [ "$(zcat "$MNT/big.notepack.gz")" = small ]
stop
check_clean_store
start grace=1h
check "what was removed stays away after a remount" sh -c \
	"[ ! -e '$MNT/parts' ] && [ ! -e '$MNT/tail' ] && [ ! -e '$MNT/d/x' ]"
check "appending after a removal starts a new file" [ "$(cat "$MNT/sealed")" = again ]
stop "after the removals"

# ---- allow_delete ----

start grace=1h,allow_delete
for state in "${STATES[@]}"; do
	name=$(name_of "$state")
	make_state "$state" "$MNT/free-$name"
	stat "$MNT/free-$name" "$MNT/free-$name.notepack.gz" >/dev/null 2>&1
	check "allow_delete removes ($state)" rm "$MNT/free-$name"
	check "… all of it ($state)" wait_for 5 gone "$MNT/free-$name"
	close_states
	check "a new file follows ($state)" sh -c "echo new >>'$MNT/free-$name'"
	"$NOTEPACKCTL" seal "$MNT/free-$name"
	check "… with part 1 and its own content ($state)" [ "$(cat "$MNT/free-$name")" = new ]
done
make_state sealed "$MNT/by-object"
stat "$MNT/by-object" >/dev/null
check "allow_delete removes a file by its object" rm "$MNT/by-object.notepack.gz"
check "… a new file of the plain name is a new one" sh -c \
	"echo new >'$MNT/by-object' && [ \"\$(cat '$MNT/by-object')\" = new ]"
make_state parts "$MNT/replaced"
echo new >"$MNT/replacing"
stat "$MNT/replaced.notepack.gz" >/dev/null
exec 8<"$MNT/replaced"
check "allow_delete replaces a sealed file that is open" mv "$MNT/replacing" "$MNT/replaced"
check "… which its reader goes on reading" [ "$(cat <&8)" = "$(content_of parts)" ]
exec 8<&-
check "… as a whole" wait_for 5 sh -c \
	"[ \"\$(cat '$MNT/replaced')\" = new ] && [ ! -e '$MNT/replaced.notepack.gz' ]"
"$NOTEPACKCTL" seal "$MNT"
check "… with a part 1 of its own" [ "$(zcat "$MNT/replaced.notepack.gz")" = new ]
check "rm -r removes an archive" rm -r "$MNT/d"
check "the store is sound" quietly "$NOTEPACKCTL" check --deep "$MNT"
stop "with allow_delete"

start "grace=1h,allow_delete=*.log.[0-9]:*.old"
for name in app.log.1 app.log x.old x.older; do
	make_state sealed "$MNT/$name"
done
check "a glob of allow_delete removes what it names" rm "$MNT/app.log.1" "$MNT/x.old"
check_refused "a glob of allow_delete removes nothing else" "Operation not permitted" \
	rm "$MNT/app.log"
check_refused "a glob of allow_delete matches whole names" "Operation not permitted" \
	rm "$MNT/x.older"
stop "with globs"

# ---- the first of several parts ----

start "grace=1h,allow_delete"
mkdir "$MNT/p"
for n in 1 2 3; do
	"$BUILD/tests/mount/makedata" file text 300000 $n >"$WORK/part$n"
	cat "$WORK/part$n" >>"$MNT/p/x"
	"$NOTEPACKCTL" seal "$MNT/p/x"
done
cat "$WORK/part2" "$WORK/part3" >"$WORK/later"
cmp "$MNT/p/x" <(cat "$WORK/part1" "$WORK/later") # the kernel has all its pages
exec 8<"$MNT/p/x"
check_refused "the first part of a file that is open stays" "Device or resource busy" \
	rm -f "$MNT/p/x.notepack.gz"
exec 8<&-
check_refused "the second of three stays" "Operation not permitted" rm -f "$MNT/p/x.p000000002.notepack.gz"
can_be_removed() {
	rm -f "$MNT/p/x.notepack.gz"
}
# The RELEASE of the reader above comes when it comes.
check "the first is removed" wait_for 5 can_be_removed
check "… and the content begins with the second" cmp "$MNT/p/x" "$WORK/later"
check "… with its length" [ "$(stat -c %s "$MNT/p/x")" = 600000 ]
check "… and is listed so" [ "$(find "$MNT/p" -type f -printf '%f\n' | sort | tr '\n' ' ')" = \
	"x.p000000002.notepack.gz x.p000000003.notepack.gz " ]
check "… the log says so" logged "x.notepack.gz: removed; its file begins at offset 300000 now"
echo tail >>"$MNT/p/x"
check "it is appended to" cmp "$MNT/p/x" <(cat "$WORK/later"; echo tail)
check_refused "writing before its beginning is refused, at the new offsets" "Operation not permitted" \
	dd if=/dev/zero of="$MNT/p/x" bs=1 seek=599999 count=1 conv=notrunc
check "the first part goes from a file with a tail" wait_for 5 rm "$MNT/p/x.p000000002.notepack.gz"
check "… whose content is right" cmp "$MNT/p/x" <(cat "$WORK/part3"; echo tail)
crash
start "grace=1h,allow_delete"
check "a crash brings nothing back" cmp "$MNT/p/x" <(cat "$WORK/part3"; echo tail)
"$NOTEPACKCTL" seal "$MNT/p/x"
check "the tail becomes the next part" [ "$(zcat "$MNT/p/x.p000000004.notepack.gz")" = tail ]
check "check --deep is content" quietly "$NOTEPACKCTL" check --deep "$MNT"
check "rm -r removes a tree with files of several parts" rm -r "$MNT/p"
check "… in the store, too" [ ! -e "$STORE/p" ]
stop "without the first parts"

# ---- replacing, killed in the middle ----

# killed_while_replacing AT SYSCALL: the daemon dies when it comes to SYSCALL
killed_while_replacing() {
	start "grace=1h,allow_delete"
	rm -f "$MNT/.new"
	[ -e "$MNT/k" ] || echo old >"$MNT/k"
	"$NOTEPACKCTL" seal "$MNT/k"
	echo new >"$MNT/.new"
	strace -f -qq -p "$DAEMON" -o "$WORK/trace" -e trace="$2" -e inject="$2:error=EINTR:signal=KILL" 2>"$WORK/strace" &
	local tracer=$!
	wait_for 10 grep -q TracerPid:.[1-9] "/proc/$DAEMON/status"
	check_refused "the daemon is killed while it replaces a sealed file ($1)" "" mv -f "$MNT/.new" "$MNT/k"
	wait "$DAEMON" 2>/dev/null
	wait "$tracer"
	DAEMON=
	umount "$MNT" || umount -l "$MNT"
	start "grace=1h,allow_delete"
}

killed_while_replacing "before the manifest forgets it" fsync
check "the old content is under the name" [ "$(cat "$MNT/k")" = old ]
check "… and the new one is not lost" grep -rqx new "$MNT"
"$NOTEPACKCTL" wait "$MNT"
rm "$MNT"/k.recovered-*
stop "after the first kill"
killed_while_replacing "before its object goes" unlinkat
check "the new content is under the name" [ "$(cat "$MNT/k")" = new ]
check "… and the old one is gone" [ "$(find "$MNT" -name 'k*' | wc -l)" = 1 ]
stop "after the second kill"
check "check --deep is content with it" quietly "$NOTEPACKCTL" check --deep "$STORE"
finish
