#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Mounts of users: one without privileges mounts a store of its own by fusermount3, and shares it if
# the administrator lets it; several users write to a mount of root's. In namespaces of the test's
# own, with users of its own.
# shellcheck disable=SC2317 # functions that check and wait_for call
. "$(dirname "$0")/namespaces.sh"
. "$(dirname "$0")/lib.sh"

HELPERS=$(cd "$(dirname "$0")/../../contrib" && pwd)
USERS=(alice bob carol)

as() {
	local user=$1
	shift
	setpriv --reuid="$user" --regid="$user" --init-groups env HOME="$WORK/$user" "$@"
}

pid_of() {
	as alice jq .pid "$MNT/.notepackfs/status"
}

mount_gone() {
	[ -z "$(dead_mount)" ]
}

# Programs and directories that users can get at; the machine's device may be for root only.
chmod 1777 "$WORK"
mkdir -m 755 "$WORK/bin"
install "$NOTEPACKFS" "$NOTEPACKCTL" "$HELPERS"/{,u}mount.fuse.notepackfs "$WORK/bin"
NOTEPACKFS=$WORK/bin/notepackfs
NOTEPACKCTL=$WORK/bin/notepackctl
own_etc
for i in 0 1 2; do
	echo "${USERS[i]}:x:$((61000 + i)):$((61000 + i))::/nonexistent:/bin/sh" >>/etc/passwd
	echo "${USERS[i]}:x:$((61000 + i)):" >>/etc/group
	mkdir "$WORK/${USERS[i]}"
	chown "${USERS[i]}:${USERS[i]}" "$WORK/${USERS[i]}"
done
echo >/etc/fuse.conf
mknod "$WORK/fuse" c 10 229
chmod 666 "$WORK/fuse"
mount --bind "$WORK/fuse" /dev/fuse
rmdir "$STORE" "$MNT"
STORE=$WORK/alice/store
MNT=$WORK/alice/mnt
as alice mkdir "$STORE" "$MNT"

# ---- a user's own store ----

check "a user mounts a store of its own" as alice "$NOTEPACKFS" "$STORE" "$MNT" -o grace=1h
pid=$(pid_of)
check "… by a daemon of the user's" [ "$(stat -c %U "/proc/$pid")" = alice ]
check_refused "root does not enter it" "Permission denied" ls "$MNT"
check_refused "another user does not enter it" "Permission denied" as bob ls "$MNT"
for mode in 644 444 400 000 600; do
	as alice sh -c "umask 077; echo $mode >'$MNT/$mode'; chmod $mode '$MNT/$mode'"
done
as alice sh -c "umask 027; echo umask >'$MNT/umask'; mkdir '$MNT/d'; cp -r /usr/share/common-licenses '$MNT/'"
check "umask counts" [ "$(as alice stat -c %a "$MNT/umask" "$MNT/d" | tr '\n' ' ')" = "640 750 " ]
check "files of any mode are sealed" as alice "$NOTEPACKCTL" seal "$MNT"
check "… and keep it" [ "$(as alice stat -c '%a %U' "$MNT/644" "$MNT/444" "$MNT/400" "$MNT/000" "$MNT/600" |
	tr '\n' ' ')" = "644 alice 444 alice 400 alice 0 alice 600 alice " ]
check "… and are read if they may be" [ "$(as alice cat "$MNT/444" "$MNT/400")" = "$(printf '444\n400')" ]
check_refused "… and are not if not" "Permission denied" as alice cat "$MNT/000"
check_refused "… nor written" "ermission denied" as alice sh -c "echo x >>'$MNT/400'"
as alice chmod 600 "$MNT/000" "$MNT/400"
check "a file whose mode allows it again is read" [ "$(as alice cat "$MNT/000")" = 000 ]
check "… and appended to" as alice sh -c "echo more >>'$MNT/400'"
check "mv works" as alice mv "$MNT/400" "$MNT/d/renamed"
check "notepackctl rm works" as alice "$NOTEPACKCTL" rm "$MNT/644"
check "a user unmounts, and all is flushed" as alice "$NOTEPACKCTL" umount "$MNT" 2>"$WORK/err"
check "… with everything sealed" [ -z "$(find "$STORE" -path "$STORE/.notepackfs" -prune -o -type f ! -name '*.gz' -print)" ]
check "… and the user's" [ -z "$(find "$STORE" ! -user alice)" ]
check "the store is sound" quietly as alice "$NOTEPACKCTL" check --deep "$STORE"

# ---- however it ends ----

as alice "$NOTEPACKFS" "$STORE" "$MNT"
pid=$(pid_of)
as alice sh -c "echo one >'$MNT/one'"
check "fusermount3 -u unmounts" as alice fusermount3 -u "$MNT"
check "… which flushes first" wait_for 20 has_ended "$pid"
check "… everything" [ "$(zcat "$STORE/one.notepack.gz")" = one ]
as alice "$NOTEPACKFS" "$STORE" "$MNT" -o grace=1h
pid=$(pid_of)
as alice sh -c "echo two >'$MNT/two'"
kill -TERM "$pid"
check "SIGTERM ends it" wait_for 20 has_ended "$pid"
check "… and the mount" mount_gone
check "… with everything sealed" [ "$(zcat "$STORE/two.notepack.gz")" = two ]
as alice "$NOTEPACKFS" "$STORE" "$MNT" -o grace=1h
pid=$(pid_of)
as alice sh -c "echo three >'$MNT/three'"
kill -KILL "$pid"
wait_for 10 has_ended "$pid"
check_refused "a crash leaves a dead mount" "not connected" as alice cat "$MNT/three"
check_refused "which is not mounted over" "umount -l $MNT" as alice "$NOTEPACKFS" "$STORE" "$MNT"
as alice "$NOTEPACKCTL" umount "$MNT" 2>"$WORK/err"
check "its user clears it" mount_gone
check "and mounts again" as alice "$NOTEPACKFS" "$STORE" "$MNT" -o grace=1h
check "with all that was written" [ "$(as alice cat "$MNT/three")" = three ]
as alice "$NOTEPACKCTL" umount "$MNT" 2>"$WORK/err"

# ---- what is refused ----

check_refused "a mountpoint of another's" "cannot mount" as bob "$NOTEPACKFS" "$WORK/bob" "$WORK/bin"
check_refused "a store of another's" "Permission denied" \
	sh -c "install -d -o bob '$WORK/bob/mnt'; setpriv --reuid=bob --regid=bob --clear-groups '$NOTEPACKFS' '$STORE' '$WORK/bob/mnt'"
check_refused "allow_other, which the administrator has not allowed" "user_allow_other" \
	as alice "$NOTEPACKFS" "$STORE" "$MNT" -o allow_other
check "… leaves nothing mounted" mount_gone
check "… and the store free" as alice flock -n "$STORE/.notepackfs/lock" true

# ---- shared ----

echo user_allow_other >/etc/fuse.conf
check "allow_other, when the administrator has" as alice "$NOTEPACKFS" "$STORE" "$MNT" -o allow_other,grace=1h
check "others enter, and read what they may" [ "$(as bob cat "$MNT/444")" = 444 ]
check_refused "… and nothing else" "Permission denied" as bob cat "$MNT/600"
check_refused "… and write nothing that is not theirs" "ermission denied" as bob sh -c "echo x >>'$MNT/444'"
check_refused "… not even in its directory" "Permission denied" as bob touch "$MNT/bobs"
check_refused "… nor remove" "not permitted" as bob "$NOTEPACKCTL" rm "$MNT/444"
check "root enters, too" quietly ls "$MNT"
as alice "$NOTEPACKCTL" umount "$MNT" 2>"$WORK/err"
check "allow_root lets root in" as alice "$NOTEPACKFS" "$STORE" "$MNT" -o allow_root,grace=1h
check "… who reads" [ "$(cat "$MNT/600")" = 600 ]
check_refused "… and no one else" "Permission denied" as bob ls "$MNT"
as alice "$NOTEPACKCTL" umount "$MNT" 2>"$WORK/err"

# ---- several users, in a mount of root's ----

STORE=$WORK/shared
MNT=$WORK/all
mkdir "$STORE" "$MNT"
start allow_other,grace=0.1
chmod 1777 "$MNT"
writers=()
for user in "${USERS[@]}"; do
	as "$user" sh -c "umask 077; for i in \$(seq 50); do echo $user \$i >'$MNT/$user-'\$i &&
		chmod 400 '$MNT/$user-'\$i && echo $user >>'$MNT/$user' || exit 1; done" &
	writers+=($!)
done
for writer in "${writers[@]}"; do check "users write at the same time" wait "$writer"; done
"$NOTEPACKCTL" wait "$MNT"
for user in "${USERS[@]}"; do
	check "each has its own files ($user)" [ "$(find "$MNT" -name "$user-*.gz" -user "$user" -group "$user" -perm 400 -printf x | wc -c)" = 50 ]
	check "… which it reads ($user)" [ "$(as "$user" sh -c "cat '$MNT/$user-'*.gz" | zcat | sort)" = "$(seq 50 | sed "s/^/$user /" | sort)" ]
	check "… every line of what it appended to ($user)" [ "$(as "$user" cat "$MNT/$user" | grep -cx "$user")" = 50 ]
done
check_refused "no one reads another's" "Permission denied" as bob cat "$MNT/alice-1"
check_refused "… nor by the name of its object" "Permission denied" as bob cat "$MNT/alice-1.notepack.gz"
check_refused "… nor renames it: the directory is sticky" "not permitted" as bob mv "$MNT/alice-1" "$MNT/x"
check_refused "… nor removes it by notepackctl" "not permitted" as bob "$NOTEPACKCTL" rm "$MNT/alice-1"
check "its owner does" as alice "$NOTEPACKCTL" rm "$MNT/alice-1"
stop "several users"
check "the archive is theirs without the mount, too" \
	[ "$(find "$STORE" -maxdepth 1 -name 'bob-*.gz' -user bob -perm 400 -printf x | wc -c)" = 50 ]

# ---- a user's line in fstab ----

own_sbin "$WORK"/bin/*
STORE=$WORK/alice/store
MNT=$WORK/alice/mnt
echo "$STORE $MNT fuse.notepackfs noauto,user,grace=1h 0 0" >/etc/fstab
check "a user mounts by a line with user" as alice mount "$MNT"
check "… as itself" [ "$(stat -c %U "/proc/$(pid_of)")" = alice ]
as alice sh -c "echo fstab >'$MNT/fstab'"
check "… and unmounts" quietly as alice umount "$MNT"
check "… flushed" [ "$(zcat "$STORE/fstab.notepack.gz")" = fstab ]
finish
