#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Where a mount is made: paths of every kind, mounts in one another, a read-only filesystem, fstab
# lines and mount -a, a dead mount, mount namespaces. All in namespaces of the test's own, with files of
# its own over the machine's; its processes end with them.
# shellcheck disable=SC2317 # functions that check and wait_for call
. "$(dirname "$0")/namespaces.sh"
. "$(dirname "$0")/lib.sh"

HELPERS=$(cd "$(dirname "$0")/../../contrib" && pwd)
WORK=$(realpath "$WORK")

# What has been written is in the store, sealed, and no one holds its lock.
all_flushed() {
	flock -n "$1/.notepackfs/lock" true && [ "$(zcat "$1/$2.notepack.gz")" = "$2" ]
}

pid_of() {
	jq .pid "$1/.notepackfs/status"
}

# a_mount NAME STORE MNT: by these paths a store is mounted, used and unmounted
a_mount() {
	local name=$1 store=$2 mnt=$3
	check "mounts: $name" "$NOTEPACKFS" "$store" "$mnt" -o grace=1h
	check "… where it should" [ -e "$mnt/.notepackfs/status" ]
	echo x >"$mnt/x"
	check "… notepackctl finds the file's mount: $name" "$NOTEPACKCTL" seal "$mnt/x"
	check "… and status the mount" quietly "$NOTEPACKCTL" status "$mnt"
	echo y >"$mnt/y"
	check "… umount waits for the store: $name" quietly "$NOTEPACKCTL" umount "$mnt"
	check "… and all is flushed" all_flushed "$store" y
	check "… nothing is mounted: $name" [ ! -e "$mnt/.notepackfs" ]
	find "$store/" -mindepth 1 -delete
}

# ---- paths ----

cd "$WORK" || exit
for word in "two words" $'new\nline' 'back\slash' 'a,comma' 'o=ption' '\040' '"quotes'"'" 'ümläut' '%s%n' \
	'-dash' '#hash'; do
	mkdir "./$word" "./$word/store" "./$word/mnt"
	a_mount "a path with $(printf %q "$word")" "$WORK/$word/store" "$WORK/$word/mnt"
done
a_mount "relative paths" store mnt
a_mount "paths with dots and slashes" ./mnt/..//store/ "$WORK//mnt/../mnt/"
ln -s store store-link
ln -s . here
ln -s here/mnt mnt-link
a_mount "symbolic links" store-link/ mnt-link
a_mount "links within a path" here/store here/here/mnt
name=$(printf 'n%.0s' $(seq 250))
mkdir -p "$name/$name/$name/store" "$name/$name/$name/mnt"
a_mount "a long path" "$WORK/$name/$name/$name/store" "$WORK/$name/$name/$name/mnt"

# ---- mounts in and on one another ----

start grace=1h
mkdir "$MNT/inner" "$MNT/tmpfs" "$WORK/inner"
"$NOTEPACKFS" "$WORK/inner" "$MNT/inner" -o grace=1h
check "a store is mounted on a directory of another's mount" [ -e "$MNT/inner/.notepackfs/status" ]
echo inner >"$MNT/inner/inner"
echo outer >"$MNT/outer"
mount -t tmpfs tmpfs "$MNT/tmpfs"
check_refused "the outer one is in use then" "is in use" "$NOTEPACKCTL" umount "$MNT"
check "notepackctl takes the innermost" "$NOTEPACKCTL" umount "$MNT/inner"
check "… and flushes it" all_flushed "$WORK/inner" inner
check_refused "a path on what is mounted there is in no mount of ours" "in no notepackfs mount" \
	"$NOTEPACKCTL" seal "$MNT/tmpfs"
umount "$MNT/tmpfs"
mkdir "$WORK/bound"
mount --bind "$MNT" "$WORK/bound"
echo bound >"$WORK/bound/bound"
check "notepackctl umount of one of two mounts leaves the other" quietly "$NOTEPACKCTL" umount "$MNT"
check "… which works" [ "$(cat "$WORK/bound/bound" "$WORK/bound/outer")" = "$(printf 'bound\nouter')" ]
check "notepackctl umount of the last flushes" quietly "$NOTEPACKCTL" umount "$WORK/bound"
check "… with exit 0 of the daemon" daemon_status
check "… everything" all_flushed "$STORE" bound
mount -t tmpfs tmpfs "$WORK/inner"
"$NOTEPACKFS" "$STORE" "$WORK/inner"
check "mounts over a mount" [ "$(cat "$WORK/inner/outer")" = outer ]
"$NOTEPACKCTL" umount "$WORK/inner"
umount "$WORK/inner"

# ---- a read-only filesystem ----

mkdir "$WORK/frozen"
mount --bind "$STORE" "$WORK/frozen"
mount -o remount,bind,ro "$WORK/frozen"
check_refused "a store on a read-only filesystem says so" "Read-only file system" \
	"$NOTEPACKFS" "$WORK/frozen" "$MNT"
check "… and names ro" sh -c "'$NOTEPACKFS' '$WORK/frozen' '$MNT' 2>&1 | grep -q '; ro mounts it for reading'"
check "ro mounts it" "$NOTEPACKFS" "$WORK/frozen" "$MNT" -o ro
pid=$(pid_of "$MNT")
check "… and reads it" [ "$(cat "$MNT/outer"; zcat "$MNT/bound.notepack.gz")" = "$(printf 'outer\nbound')" ]
check_refused "… and refuses to write" "Read-only file system" touch "$MNT/new"
check "… and unmounts it" quietly "$NOTEPACKCTL" umount "$MNT"
wait_for 10 has_ended "$pid"
umount "$WORK/frozen"

# ---- fstab ----

own_sbin "$HELPERS/mount.fuse.notepackfs" "$HELPERS/umount.fuse.notepackfs" "$NOTEPACKFS" "$NOTEPACKCTL"
mkdir -p "$WORK"/{one,"two words",three}/{store,mnt}
ONE=$WORK/one TWO="$WORK/two words" THREE=$WORK/three
own_etc
cat >/etc/fstab <<END
# Every word that fstab(5), systemd.mount(5) and mount(8) add.
$ONE/store $ONE/mnt fuse.notepackfs defaults,_netdev,nofail,grace=1h 0 0
$WORK/two\\040words/store $WORK/two\\040words/mnt fuse.notepackfs rw,auto,nouser,relatime,x-systemd.requires=network-online.target,x-systemd.mount-timeout=30,comment=archive,grace=1h 0 2
$THREE/store $THREE/mnt fuse.notepackfs noauto,user,x-systemd.automount,x-gvfs-hide,grace=1h,exclude=*.tmp:*.raw 0 0
END

notepackfs_mounts() {
	findmnt -rn -t fuse.notepackfs -o TARGET | wc -l
}

check "mount -a mounts what is not noauto" mount -a -t fuse.notepackfs
check "… these two" [ "$(notepackfs_mounts)" = 2 ]
check "… with their options" quietly jq -e '.options.grace == 3600' "$TWO/mnt/.notepackfs/status"
check "mount -a again does nothing" mount -a -t fuse.notepackfs
check "… and mounts nothing twice" [ "$(notepackfs_mounts)" = 2 ]
check "mount MNT mounts a line with noauto" mount "$THREE/mnt"
check "… with its options" quietly jq -e '.options.exclude == "*.tmp:*.raw"' "$THREE/mnt/.notepackfs/status"
check "mount -o adds to an fstab line" sh -c "umount -c '$THREE/mnt' 2>'$WORK/err' && mount -o grace=2h '$THREE/mnt' &&
	jq -e '.options.grace == 7200' '$THREE/mnt/.notepackfs/status' >'$WORK/out'"
check_refused "what is mounted is not mounted again" "mount" mount "$THREE/mnt"
for place in "$ONE" "$TWO" "$THREE"; do echo first >"$place/mnt/first"; done

# root's umount of an absolute path runs no helper, and may return before the daemon has flushed.
umount "$ONE/mnt"
check "after a plain umount the daemon flushes" wait_for 20 all_flushed "$ONE/store" first
check "umount -a flushes, and ends with the last daemon" sh -c "cd / && umount -a -t fuse.notepackfs 2>'$WORK/err'"
check "… so that nothing is mounted" [ "$(notepackfs_mounts)" = 0 ]
check "… and all is flushed (2)" wait_for 20 all_flushed "$TWO/store" first
check "… and all is flushed (3)" wait_for 20 all_flushed "$THREE/store" first

# ---- after a crash, by mount(8) alone ----

mount "$ONE/mnt"
echo second >"$ONE/mnt/second"
pid=$(pid_of "$ONE/mnt")
kill -KILL "$pid"
wait_for 10 has_ended "$pid"
check_refused "a dead mount is an error" "not connected" stat "$ONE/mnt/second"
check_refused "mount over a dead mount names the remedy" "umount -l $ONE/mnt" mount "$ONE/mnt"
# Named bug: it was cleared, and the exit status said that it was not.
check "umount clears a dead mount" umount "$ONE/mnt" 2>"$WORK/cleared"
check "… and says what had happened" grep -q "mount .* again to recover" "$WORK/cleared"
check "mount mounts again" mount "$ONE/mnt"
check "… and all is there" [ "$(cat "$ONE/mnt/first" "$ONE/mnt/second")" = "$(printf 'first\nsecond')" ]
check "umount -c flushes" quietly umount -c "$ONE/mnt"
check "… everything" all_flushed "$ONE/store" second

# ---- mount namespaces ----

# Holds a mount namespace, a copy of ours as it is now, until the pipe is closed.
hold_namespace() {
	mkfifo "$WORK/hold"
	unshare --mount sh -c "exec 8<'$WORK/hold'; : >'$WORK/held'; read -r line <&8; echo copy >>'$MNT/copied'" &
	HOLDER=$!
	exec 8>"$WORK/hold"
	wait_for 10 [ -e "$WORK/held" ]
}

start grace=1h
echo x >"$MNT/here"
hold_namespace
"$NOTEPACKCTL" umount "$MNT" 2>"$WORK/waits" &
waits=$!
check "umount says that another namespace has the mount" \
	wait_for 30 grep -q "in another mount namespace" "$WORK/waits"
check "… which is gone here" [ ! -e "$MNT/here" ]
check "… and served there" [ ! -e "$STORE/here.notepack.gz" ]
echo go >&8
exec 8>&-
wait "$HOLDER"
wait "$waits"
check "umount waits for its end, and for the flushing" [ $? = 0 ]
check "its end ends the daemon, with exit 0" daemon_status
check "… and what was written there is flushed, too" \
	[ "$(zcat "$STORE/copied.notepack.gz" "$STORE/here.notepack.gz")" = "$(printf 'copy\nx')" ]

# A mount that is made in a namespace belongs to it. The daemon is a process of it, and keeps it.
unshare --mount sh -c "'$NOTEPACKFS' '$STORE' '$MNT' -o grace=1h && echo in >'$MNT/inside' &&
	jq .pid '$MNT/.notepackfs/status' >'$WORK/pid'"
pid=$(cat "$WORK/pid")
check "a mount in a private namespace is not seen outside" [ ! -e "$MNT/inside" ]
check "… and is served on when whoever made it has gone" [ "$(cat "/proc/$pid/root$MNT/inside")" = in ]
check "… and its store is in use" sh -c "'$NOTEPACKFS' '$STORE' '$MNT' -o lockwait=0 2>'$WORK/err'; [ \$? = 3 ]"
kill -TERM "$pid"
check "SIGTERM ends it" wait_for 20 has_ended "$pid"
check "… and flushes" [ "$(zcat "$STORE/inside.notepack.gz")" = in ]
check "… with exit 0" quietly jq -e '.exit == 0' "$STORE/.notepackfs/last_stop"

# A PID namespace that ends kills it, as a container's does.
unshare --mount --pid --fork --kill-child --mount-proc sh -c "'$NOTEPACKFS' '$STORE' '$MNT' -o grace=1h &&
	echo killed >'$MNT/killed' && exec 7>'$MNT/open' && echo open >&7"
check "the end of a container leaves the bytes" [ "$(cat "$STORE/killed" "$STORE/open")" = "$(printf 'killed\nopen')" ]
start grace=0
check "… and the next mount seals them" wait_for 20 sealed "$MNT/open"
check "… all of them" wait_for 20 sealed "$MNT/killed"
stop "after the container"

# ---- overlayfs ----

# Named bug: a file that is copied up has another birth time, and its raw file was not its own any more.
LOWER=$WORK/lower
mkdir "$LOWER" "$WORK/upper" "$WORK/overlay.work" "$WORK/overlay"
"$NOTEPACKFS" "$LOWER" "$MNT" -o grace=0.1
echo draft >"$MNT/x.tmp"
echo sealed >"$MNT/sealed"
"$NOTEPACKCTL" umount "$MNT" 2>"$WORK/err"
mount -t overlay overlay -o "lowerdir=$LOWER,upperdir=$WORK/upper,workdir=$WORK/overlay.work" "$WORK/overlay"
"$NOTEPACKFS" "$WORK/overlay" "$MNT" -o grace=0.1
check "on overlayfs, a file of the lower layer reads" [ "$(cat "$MNT/x.tmp")" = draft ]
echo more >>"$MNT/x.tmp"
check "… can be written" [ "$(cat "$MNT/x.tmp")" = "$(printf 'draft\nmore')" ]
mv "$MNT/x.tmp" "$MNT/x"
check "… and is sealed" wait_for 20 sealed "$MNT/x"
check "… the unmount flushes" "$NOTEPACKCTL" umount "$MNT" 2>"$WORK/err"
check "… all of it" [ "$(zcat "$WORK/overlay/x.notepack.gz" "$WORK/overlay/sealed.notepack.gz")" = "$(printf 'draft\nmore\nsealed')" ]
umount "$WORK/overlay"

# A user namespace: root there is no one here, and may mount FUSE.
mknod "$WORK/fuse" c 10 229
chmod 666 "$WORK/fuse"
mount --bind "$WORK/fuse" /dev/fuse
unshare --user --map-root-user --mount sh -ec "'$NOTEPACKFS' '$STORE' '$MNT' -o grace=1h
	echo user >'$MNT/user'
	chmod 400 '$MNT/user'
	cat '$MNT/inside'
	'$NOTEPACKCTL' umount '$MNT'" >"$WORK/out" 2>&1
check "mounts and unmounts in a user namespace" [ $? = 0 ]
check "… reads there" grep -qx in "$WORK/out"
check "… and flushes" [ "$(zcat "$STORE/user.notepack.gz")" = user ]
check "the store is sound" quietly "$NOTEPACKCTL" check --deep "$STORE"
finish
finish
