#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Mounting: what is refused, with which status and words; read-only; as a daemon; by mount(8) and
# fstab; behind a holder that is still draining.
. "$(dirname "$0")/lib.sh"

HELPERS=$(cd "$(dirname "$0")/../../contrib" && pwd)

# refused STATUS WORDS ARGUMENTS…: notepackfs ends with this status and one line with these words
refused() {
	local name=$1 status=$2 words=$3 got=0 said
	shift 3
	said=$(timeout 30 "$NOTEPACKFS" "$@" 2>&1 >/dev/null </dev/null) || got=$?
	if [ "$got" = "$status" ] && [[ $said == *"$words"* ]] && [ "$(wc -l <<<"$said")" = 1 ]; then
		ok "$name"
	else
		echo "# exit $got: $said"
		fail "$name"
	fi
}


# The store as it is, private directory and all; without times of access.
fingerprint() {
	(cd "$STORE" && find . -printf '%p %y %m %U %G %s %T@ %C@ %i\n' | sort &&
		find . -type f -exec sha256sum {} + | sort)
}

# ---- what is refused ----

refused "an unknown option is named, exit 2" 2 '"frobnicate=1"' "$STORE" "$MNT" -o frobnicate=1
refused "a flag that does not exist is named, exit 2" 2 '"-Z"' "$STORE" "$MNT" -Z
refused "a level that no codec has is exit 2" 2 level=13 "$STORE" "$MNT" -o level=13
refused "a level beyond the codec's range is exit 2, with the range" 2 "the codec zlib has 1 to 9" \
	"$STORE" "$MNT" -o level=10,codec=zlib
refused "a codec that there is not is exit 2, with those that there are" 2 "or zlib (what this build has)" \
	"$STORE" "$MNT" -o codec=lzma
refused "a malformed duration is exit 2" 2 grace=soon "$STORE" "$MNT" -o grace=soon
refused "a value that is missing is exit 2" 2 '"cut_size" needs a value' "$STORE" "$MNT" -o cut_size
refused "a mountpoint that is not given is exit 2" 2 "mountpoint is missing" "$STORE"
refused "a third path is exit 2" 2 "more than a store and a mountpoint" "$STORE" "$MNT" "$WORK"
mkdir -p "$STORE/inside" "$WORK/around/store"
refused "a mountpoint inside the store is refused" 2 "inside the store" "$STORE" "$STORE/inside"
refused "a mountpoint around the store is refused" 2 "inside the mountpoint" \
	"$WORK/around/store" "$WORK/around"
refused "the store as its own mountpoint is refused" 2 "same directory" "$STORE" "$STORE"
ln -s store "$WORK/alias"
refused "… also by another name" 2 "same directory" "$STORE" "$WORK/alias"
rmdir "$STORE/inside"
touch "$WORK/file"
refused "a store that is a file is refused" 1 "not a directory" "$WORK/file" "$MNT"
refused "a store that is missing is refused" 1 "does not exist" "$WORK/none" "$MNT"
refused "a mountpoint that is missing is refused" 1 "does not exist" "$STORE" "$WORK/none"
refused "a mountpoint that is a file is refused" 1 "not a directory" "$STORE" "$WORK/file"
mkdir "$WORK/full"
echo mine >"$WORK/full/letter"
refused "a directory with other things is no store" 1 "init --adopt" "$WORK/full" "$MNT"
check "… and is left as it was" [ "$(ls -A "$WORK/full")" = letter ]

mkdir "$STORE/lost+found"
start
check "lost+found does not keep a directory from being a store" [ -e "$MNT/.notepackfs/status" ]
mkdir "$WORK/second" "$MNT/nested" "$MNT/nested/store"
refused "a store inside a mount is refused" 2 "inside a notepackfs mount" "$MNT/nested/store" "$WORK/second"
rm -r "$MNT/nested"
refused "a second mount of a store is exit 3" 3 "in use" "$STORE" "$WORK/second" -o lockwait=0
refused "… at once, whatever lockwait is: its holder does not drain" 3 "in use" "$STORE" "$WORK/second"
check "asserts nosuid and nodev" grep -q " $MNT [^ ]*nosuid[^ ]*nodev" /proc/self/mountinfo
kill -KILL "$DAEMON"
wait "$DAEMON" 2>/dev/null
DAEMON=
# Named bug: the kernel remembered the attributes of the dead mount, and it was mounted over.
refused "a dead mountpoint is named, with its remedy" 1 "umount" "$STORE" "$MNT"
check "notepackctl umount clears a dead mountpoint" \
	sh -c "'$NOTEPACKCTL' umount '$MNT' 2>'$WORK/cleared'; ! mountpoint -q '$MNT'"
check "… and says what had happened" grep -q "mount .* again to recover" "$WORK/cleared"
rmdir "$STORE/lost+found" 2>/dev/null

# ---- as a daemon ----

check "returns when the mount is usable" sh -c \
	"'$NOTEPACKFS' '$STORE' '$MNT' && [ -e '$MNT/.notepackfs/status' ] && echo x >'$MNT/x'"
DAEMON=$(jq .pid "$MNT/.notepackfs/status")
check "the daemon has let go of the terminal" [ "$(readlink "/proc/$DAEMON/fd/2")" = /dev/null ]
check "the daemon's directory is the root" [ "$(readlink "/proc/$DAEMON/cwd")" = / ]
check "notepackctl umount returns when it has flushed" "$NOTEPACKCTL" umount "$MNT"
check "… then the daemon is gone" wait_for 10 [ ! -e "/proc/$DAEMON/exe" ]
check "… and all is sealed" [ "$(zcat "$STORE/x.notepack.gz")" = x ]
DAEMON=

# ---- read-only ----

mkdir "$STORE/d"
start grace=1h
echo more >>"$MNT/x"
echo grace >"$MNT/d/grace"
crash # leaves work for a recovery, which ro must not do
fingerprint >"$WORK/before"
start ro
check "a read-only mount reads sealed bytes" [ "$(zcat "$MNT/x.notepack.gz")" = x ]
for op in "touch $MNT/new" "mkdir $MNT/new" "rm $MNT/x" "rmdir $MNT/d" "mv $MNT/x $MNT/y" \
	"ln -s a $MNT/link" "chmod 600 $MNT/x" "touch -c -d yesterday $MNT/x"; do
	# shellcheck disable=SC2086 # words on purpose
	check_refused "read-only: ${op//"$MNT"/MNT}" "Read-only file system" $op
done
check_refused "read-only: append" "Read-only file system" sh -c "echo y >>'$MNT/x'"
check "notepackctl rm is refused" sh -c "! '$NOTEPACKCTL' rm '$MNT/x' 2>/dev/null"
sync "$MNT"
cat "$MNT/x" "$MNT/d/grace" "$MNT/.notepackfs/manifest" >/dev/null 2>&1
"$NOTEPACKFS" "$STORE" "$WORK/second" -o ro
check "a second read-only mount is allowed" mountpoint -q "$WORK/second"
check "… and its unmount does not wait for the first" timeout 30 "$NOTEPACKCTL" umount "$WORK/second"
# Named bug: it returned before the daemon had let go of the store, whose disk could not be unmounted then.
cat >"$WORK/slow" <<EOF
#!/bin/sh
# LeakSanitizer ends in an error where it is traced.
export ASAN_OPTIONS="\$ASAN_OPTIONS:detect_leaks=0"
exec strace -f -qq -o '$WORK/trace' -e trace=dup3 -e inject=dup3:delay_enter=700000 '$NOTEPACKFS' "\$@"
EOF
chmod +x "$WORK/slow"
mkdir "$WORK/disk"
mount -t tmpfs tmpfs "$WORK/disk"
"$NOTEPACKFS" "$WORK/disk" "$WORK/second" && "$NOTEPACKCTL" umount "$WORK/second"
"$WORK/slow" "$WORK/disk" "$WORK/second" -o ro -f >>"$LOG" 2>&1 &
slow=$!
wait_for 20 [ -e "$WORK/second/.notepackfs/status" ]
reader=$(jq .pid "$WORK/second/.notepackfs/status")
check "notepackctl umount of a read-only mount" "$NOTEPACKCTL" umount "$WORK/second"
check "… waits for the daemon's end" [ ! -e "/proc/$reader/exe" ]
check "… and the store's disk can be unmounted" umount "$WORK/disk"
wait "$slow"
! mountpoint -q "$WORK/disk" || umount "$WORK/disk"
check "… which took its time" grep -q 'dup3.*(DELAYED)' "$WORK/trace"
stop "read-only"
fingerprint >"$WORK/after"
check "a read-only mount changes nothing in the store" cmp "$WORK/before" "$WORK/after"

# ---- behind one that drains ----

start grace=1h
base64 /dev/urandom | head -c 24M >"$MNT/slow"
check "umount --no-wait returns" "$NOTEPACKCTL" umount --no-wait "$MNT"
first=$DAEMON
"$NOTEPACKFS" "$STORE" "$WORK/second" 2>"$WORK/waited"
status=$?
check "a mount waits for a holder that drains" [ "$status" = 0 ]
check "… until it is gone" [ ! -e "/proc/$first/exe" ]
check "… with exit 0" daemon_status
check "… and finds everything sealed" [ -e "$WORK/second/slow.notepack.gz" ]
"$NOTEPACKCTL" umount "$WORK/second"

# Named bug: a mount right behind an unmount was refused, when the daemon had not seen yet that it is to
# drain.
start grace=1h
kill -STOP "$DAEMON"
# umount(8) asks the daemon first.
python3 -c 'import ctypes, sys; sys.exit(ctypes.CDLL(None).umount2(sys.argv[1].encode(), 0) != 0)' "$MNT"
"$NOTEPACKFS" "$STORE" "$WORK/second" 2>"$WORK/waited" &
second=$!
check "a mount waits for a holder that has not seen its unmount yet" \
	sh -c "! timeout 1 tail --pid=$second -f /dev/null"
kill -CONT "$DAEMON"
check "… until it is gone" wait "$second"
check "… with exit 0 (2)" daemon_status
check "… and mounts" mountpoint -q "$WORK/second"
"$NOTEPACKCTL" umount "$WORK/second"

# ---- mount(8), umount(8), fstab: in a mount namespace with files of our own over the machine's ----

cat >"$WORK/namespace" <<'EOF'
set -eu
mount --make-rprivate /
# What the installation puts there, and an fstab of our own.
sbin=$(readlink -f /sbin)
for dir in "$sbin" /etc; do
	layer=$WORK/layer.$(basename "$dir")
	mkdir "$layer"
	mount -t tmpfs tmpfs "$layer"
	mkdir "$layer/upper" "$layer/work"
	mount -t overlay overlay -o "lowerdir=$dir,upperdir=$layer/upper,workdir=$layer/work" "$dir"
done
cp "$HELPERS/mount.fuse.notepackfs" "$HELPERS/umount.fuse.notepackfs" "$sbin/"
cp "$NOTEPACKFS" "$NOTEPACKCTL" "$sbin/"
echo "$STORE $MNT fuse.notepackfs noauto,nofail,_netdev,x-systemd.automount,grace=1h 0 0" >/etc/fstab
PATH=$sbin:$PATH
say() { if eval "$2"; then echo "ok $1"; else echo "failed $1"; fi; }

say "mount -t fuse.notepackfs mounts" "mount -t fuse.notepackfs '$STORE' '$MNT' -o grace=2h,noatime"
say "… with its options" "jq -e '.options.grace == 7200' '$MNT/.notepackfs/status' >/dev/null"
base64 /dev/urandom | head -c 8M >"$MNT/by-mount"
cd "$(dirname "$MNT")"
say "umount of a relative path unmounts through the helper" "umount ./'$(basename "$MNT")'"
say "… and returns when all is flushed" "flock -n '$STORE/.notepackfs/lock' true"
say "… with everything sealed" "[ -e '$STORE/by-mount.notepack.gz' ]"
say "an fstab line mounts" "mount '$MNT'"
say "… with its options" "jq -e '.options.grace == 3600' '$MNT/.notepackfs/status' >/dev/null"
echo x >"$MNT/by-fstab"
say "umount -c unmounts through the helper" "umount -c '$MNT'"
say "… and returns when all is flushed" "flock -n '$STORE/.notepackfs/lock' true"
say "mount -o ro is a read-only mount" "mount -t fuse.notepackfs -o ro '$STORE' '$MNT'"
say "… that refuses to write" "! touch '$MNT/new' 2>/dev/null"
umount ./"$(basename "$MNT")"
say "mount says what is wrong" "! mount -t fuse.notepackfs '$STORE' '$MNT' -o frobnicate 2>'$WORK/wrong' && grep -q frobnicate '$WORK/wrong'"
EOF
export WORK HELPERS NOTEPACKFS NOTEPACKCTL STORE MNT
unshare -m bash "$WORK/namespace" >"$WORK/results" 2>"$WORK/namespace.err"
status=$?
while read -r result name; do
	check "$name" [ "$result" = ok ]
done <"$WORK/results"
sed 's/^/# /' "$WORK/namespace.err"
check "all of mount(8) was tried" [ "$status $(wc -l <"$WORK/results")" = "0 12" ]
finish
