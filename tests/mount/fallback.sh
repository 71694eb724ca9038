#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# A store on a filesystem without RENAME_NOREPLACE (bindfs answers EINVAL, as NFS does): names are
# given by link and unlink.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/states.sh"

cleanup_more() {
	if mountpoint -q "$STORE"; then
		umount "$STORE" || umount -l "$STORE"
	fi
}

# traced REGEXP: a call that the daemon made
traced() {
	grep -qE -- "$1" "$WORK/trace"
}

mkdir "$WORK/backing"
check "bindfs gives the store another filesystem" bindfs "$WORK/backing" "$STORE"
touch "$STORE/probe"
check_refused "which has no RENAME_NOREPLACE" "Invalid argument" \
	"$TOOL" rename "$STORE/probe" "$STORE/probe2" noreplace
rm "$STORE/probe"

cat >"$WORK/traced" <<EOF
#!/bin/sh
# LeakSanitizer ends in an error where it is traced.
export ASAN_OPTIONS="\$ASAN_OPTIONS:detect_leaks=0"
exec strace -f -qq -e signal=none -e trace=renameat2,linkat,unlinkat -A -o '$WORK/trace' '$NOTEPACKFS' "\$@"
EOF
chmod +x "$WORK/traced"
NOTEPACKFS=$WORK/traced

start grace=1h
check "what is missing is noted once" \
	[ "$(grep -c 'no RENAME_NOREPLACE: names are given by link and unlink' "$LOG")" = 1 ]
mkdir -p "$MNT/d/e"
echo hello >"$MNT/a.txt"
cp /bin/bash "$MNT/d/program"
for i in $(seq 40); do echo "$i" >"$MNT/d/e/$i"; done
check "files are sealed" timeout 60 "$NOTEPACKCTL" seal "$MNT"
check "their objects are listed" [ "$(find "$MNT" -name '*.notepack.gz' | wc -l)" = 42 ]
check "renameat2 was tried, and refused" traced 'renameat2\(.*a\.txt\.notepack\.gz.*RENAME_NOREPLACE\) = -1 EINVAL'
check "linkat gave the name" traced 'linkat\(.*"a\.txt\.notepack\.gz", 0\) += 0'
check "nothing was renamed with the flag" sh -c "! grep -q 'RENAME_NOREPLACE) *= 0' '$WORK/trace'"
check "an object has one name in the store" [ "$(stat -c %h "$WORK/backing/a.txt.notepack.gz")" = 1 ]
echo more >>"$MNT/a.txt"
check "a second part is sealed" "$NOTEPACKCTL" seal "$MNT/a.txt"
check "a sealed file is renamed" mv "$MNT/a.txt" "$MNT/d/b.txt"
check "… with all its parts" [ "$(zcat "$MNT"/d/b.txt*.gz)" = "$(printf 'hello\nmore')" ]
check "… by linkat" traced 'linkat\(.*"b\.txt\.p000000002\.notepack\.gz", 0\) += 0'
check "a directory is renamed" mv "$MNT/d" "$MNT/moved"
echo taken >"$MNT/taken"
"$NOTEPACKCTL" seal "$MNT/taken"
check_refused "a sealed name is not replaced" "Operation not permitted" \
	mv "$MNT/moved/e/1" "$MNT/taken"
check "a file is removed" "$NOTEPACKCTL" rm "$MNT/moved/e/2"
stop
check_clean_store
start grace=1h
check "after a remount the parts are there" \
	[ "$(cat "$MNT/moved/b.txt")" = "$(printf 'hello\nmore')" ]
check "after a remount the program is there" cmp /bin/bash "$MNT/moved/program"
check "sha256sums verifies" sh -c "cd '$MNT' && sha256sum --quiet -c .notepackfs/sha256sums"
check "the store is sound" quietly "$NOTEPACKCTL" check --deep "$MNT"
stop "after a remount"

# Named bug: a daemon that was killed between link and unlink left both names, and two files of one id.
# killed_while_renaming FILE NAME: at the unlink of NAME, its name in the store
killed_while_renaming() {
	cat >"$WORK/killed" <<EOF
#!/bin/sh
export ASAN_OPTIONS="\$ASAN_OPTIONS:detect_leaks=0"
exec strace -f -qq -o '$WORK/trace' -P '$2' -e trace=unlinkat \\
	-e inject=unlinkat:error=EINTR:signal=KILL '$BUILD/mount/notepackfs' "\$@"
EOF
	chmod +x "$WORK/killed"
	NOTEPACKFS=$WORK/killed
	start grace=1h
	check_refused "the daemon is killed while it renames $1" "" mv "$MNT/$1" "$MNT/moved/$1-new"
	wait "$DAEMON"
	DAEMON=
	umount "$MNT" || umount -l "$MNT"
	check "… between link and unlink" [ "$(stat -c %h "$WORK/backing/$2")" = 2 ]
	NOTEPACKFS=$BUILD/mount/notepackfs
	start grace=1h
	check "its renaming is completed" [ "$(cat "$MNT/moved/$1-new")" = "$1" ]
	check "… and its old name is gone" sh -c "[ ! -e '$MNT/$1' ] && [ ! -e '$WORK/backing/$2' ]"
	stop "after the kill while renaming $1"
	check "the store is sound" quietly "$NOTEPACKCTL" check --deep "$STORE"
}
NOTEPACKFS=$BUILD/mount/notepackfs
start grace=1h
echo sealed >"$MNT/sealed"
"$NOTEPACKCTL" seal "$MNT/sealed"
echo excluded.tmp >"$MNT/excluded.tmp"
stop "with one sealed and one excluded"
killed_while_renaming sealed sealed.notepack.gz
killed_while_renaming excluded.tmp excluded.tmp

check "no mount is left in the store" umount "$STORE"
finish
