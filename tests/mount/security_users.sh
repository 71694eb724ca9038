#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# What other users may not do in a mount of root's that they share: see each other's names, freeze or
# remove each other's files by requests that the kernel does not check, run a program with someone
# else's rights, get at the names that are notepackfs's own.
# shellcheck disable=SC2317 # functions that check and wait_for call
. "$(dirname "$0")/lib.sh"

[ "$(id -u)" = 0 ] || { skip "all of it" "only root is several users"; finish; }

ALICE=61000
BOB=61001
SHARED=61005
chmod 755 "$WORK"
mkdir -m 755 "$WORK/bin"
PATH=/usr/bin:$PATH # programs that others may run
install "$NOTEPACKCTL" "$WORK/bin"
NOTEPACKCTL=$WORK/bin/notepackctl

as() {
	local uid=$1
	shift
	setpriv --reuid="$uid" --regid="$uid" --clear-groups "$@"
}

bob_in_group() {
	setpriv --reuid="$BOB" --regid="$BOB" --groups="$SHARED" "$@"
}

start allow_other,grace=1h
CONTROL=$MNT/.notepackfs
chmod 1777 "$MNT"
mkdir "$MNT/roots"
as $ALICE mkdir -m 700 "$MNT/private"
as $ALICE sh -c "umask 077; echo secret >'$MNT/private/secret-name'; echo sealed >'$MNT/private/sealed'; echo mine >'$MNT/mine'"
as $ALICE sh -c "echo group >'$MNT/group'; chgrp $ALICE '$MNT/group'; chmod 660 '$MNT/group'"
chgrp $SHARED "$MNT/group"
"$NOTEPACKCTL" seal "$MNT/private/sealed"

# ---- names ----

for file in manifest sha256sums log; do
	check_refused "another user does not read $file" "Permission denied" as $BOB cat "$CONTROL/$file"
	check "… root does" quietly grep -a sealed "$CONTROL/$file"
done
check "the status has names for root" grep -q secret-name "$CONTROL/status"
check "… and none for another user" [ "$(as $BOB grep -c 'secret-name\|mine' "$CONTROL/status")" = 0 ]
check "… who sees how much there is" [ "$(as $BOB jq .pending_files "$CONTROL/status")" = 3 ]
check "… and has a table of it" quietly as $BOB "$NOTEPACKCTL" status "$MNT"
check "… and a list of a directory that they may read" quietly as $BOB "$NOTEPACKCTL" ls "$MNT"
check_refused "… and of no other" "ermission denied" as $BOB "$NOTEPACKCTL" ls "$MNT/private"
check_refused "no attributes of what another may not read" "Permission denied" \
	as $BOB getfattr -n user.notepack.raw_size "$MNT/mine"
check_refused "no control file is written" "ermi" sh -c "echo x >'$CONTROL/status'"

# ---- requests ----

writable() {
	as "$ALICE" python3 -c 'import os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
os.pwrite(fd, b"S", 0)' "$1"
}

check_refused "another user does not seal a file that they cannot write" "not permitted" \
	as $BOB "$NOTEPACKCTL" seal "$MNT/mine"
check_refused "… nor wait for it to be sealed" "not permitted" as $BOB "$NOTEPACKCTL" wait "$MNT/mine"
check "… which would keep its owner from changing it" writable "$MNT/mine"
check "another user seals what is theirs" as $BOB sh -c "echo bob >'$MNT/bobs' && '$NOTEPACKCTL' seal '$MNT'"
check "… and does" sealed "$MNT/bobs"
check "… and nothing else" writable "$MNT/mine"
check "waiting for all freezes nothing, either" as $BOB timeout 20 "$NOTEPACKCTL" wait "$MNT"
check "… of another's" writable "$MNT/mine"
check_refused "the group's file is not every user's to seal" "not permitted" as $BOB "$NOTEPACKCTL" seal "$MNT/group"
check "a member of its group may" bob_in_group "$NOTEPACKCTL" seal "$MNT/group"
check "… and it is sealed" sealed "$MNT/group"
for name in secret-name sealed no-such-name; do
	for command in seal wait rm; do
		check_refused "behind a closed directory nothing is told apart ($command $name)" "not permitted" \
			as $BOB "$NOTEPACKCTL" $command "$MNT/private/$name"
	done
done
check_refused "another's file is not removed" "not permitted" as $BOB "$NOTEPACKCTL" rm "$MNT/mine"
check_refused "… nor one of the group's, by a member" "not permitted" bob_in_group "$NOTEPACKCTL" rm "$MNT/group"
echo theirs >"$MNT/roots/theirs"
chown $BOB "$MNT/roots/theirs"
"$NOTEPACKCTL" seal "$MNT/roots/theirs"
check_refused "… nor one's own, from a directory that one may not write" "not permitted" \
	as $BOB "$NOTEPACKCTL" rm "$MNT/roots/theirs"
check "it is there" [ "$(cat "$MNT/roots/theirs")" = theirs ]
check "one's own is removed" as $BOB "$NOTEPACKCTL" rm "$MNT/bobs"
check_refused "another user does not unmount" "" as $BOB "$NOTEPACKCTL" umount "$MNT"
check "… so that it is there" mountpoint -q "$MNT"

# request OP ZERO PATH: the ioctl of lib/proto.h, by bob; prints errno's name
request() {
	as $BOB python3 -c 'import errno, fcntl, os, struct, sys
op, zero, path = int(sys.argv[2]), int(sys.argv[3]), os.fsencode(sys.argv[4])
size = 8 + 4096
fd = os.open(sys.argv[1], os.O_RDONLY)
try:
    fcntl.ioctl(fd, 1 << 30 | size << 16 | ord("N") << 8 | 1, bytearray(struct.pack("II4096s", op, zero, path)), True)
    print("OK")
except OSError as e:
    print(errno.errorcode[e.errno])' "$CONTROL/status" "$@" 2>&1
}

long=$(printf 'x%.0s' {1..300})
unterminated=$(printf 'x/%.0s' {1..2048})
while read -r op zero path want; do
	[ "$path" = - ] && path=
	[ "$path" = unterminated ] && path=$unterminated
	check "a request of $op $zero '${path:0:30}' is answered with $want" [ "$(request "$op" "$zero" "$path")" = "$want" ]
done <<-END
	0 0 mine EINVAL
	4 0 mine EINVAL
	99 0 mine EINVAL
	3 7 mine EINVAL
	3 0 .. EINVAL
	3 0 ../mine EINVAL
	3 0 roots/../mine EINVAL
	2 0 ./mine EINVAL
	3 0 /etc/passwd ENOENT
	2 0 .notepackfs/manifest ENOENT
	3 0 .notepackfs ENOENT
	3 0 $long ENAMETOOLONG
	3 0 unterminated ENAMETOOLONG
	3 0 - EISDIR
	3 0 roots EISDIR
	3 0 mine/deeper ENOTDIR
	3 0 private/x EACCES
END

# ---- set-ID bits, devices ----

# strips NAME COMMAND…: bob changes alice's set-ID file, and then it has none of these bits
strips() {
	local name=$1 mode
	shift
	as $ALICE cp /usr/bin/id "$MNT/setid"
	chmod 6777 "$MNT/setid"
	check "a set-ID file can be ($name)" [ "$(stat -c %a "$MNT/setid")" = 6777 ]
	as $BOB "$@"
	mode=$(stat -c %a "$MNT/setid")
	check "set-ID bits go by $name" [ "$mode" = 777 ]
	rm -f "$MNT/setid"
}

strips writing sh -c "echo x 1<>'$MNT/setid'"
strips appending sh -c "echo x >>'$MNT/setid'"
strips truncating truncate -s 10 "$MNT/setid"
strips O_TRUNC sh -c ": >'$MNT/setid'"
strips mapping python3 -c 'import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
with mmap.mmap(fd, 0) as m:
    m[0:4] = b"#!/b"
os.fsync(fd)
os.pwrite(fd, b"#", 0)' "$MNT/setid"
strips fallocate fallocate -o 0 -l 1048576 "$MNT/setid"

cp /usr/bin/id "$MNT/setid"
chmod 6755 "$MNT/setid"
check "a set-user-ID program of root's gives no rights (nosuid)" [ "$(as $BOB "$MNT/setid" -u)" = $BOB ]
"$NOTEPACKCTL" seal "$MNT/setid"
check "… sealed, neither" [ "$(as $BOB "$MNT/setid" -u)" = $BOB ]
check "… and its object has no such bit in the store" [ "$(stat -c %a "$STORE/setid.notepack.gz")" = 555 ]
for kind in "c 1 3" "b 7 0" p; do
	# shellcheck disable=SC2086 # the words
	check_refused "no node is made ($kind)" "not permitted" mknod "$MNT/node" $kind
done

# ---- names that are reserved, in every operation that takes one ----

while read -r command; do
	check_refused "reserved: $command" "" sh -c "cd '$MNT' && $command"
done <<-'END'
	: >.notepackfs
	mkdir .notepackfs
	ln -s x .notepackfs
	ln mine .notepackfs
	mknod .notepackfs p
	mv -T mine .notepackfs
	mv -T roots .notepackfs
	mv -T .notepackfs away
	rmdir .notepackfs
	rm -rf .notepackfs
	chmod 777 .notepackfs
	chown 61001 .notepackfs
	: >.notepackfs/new
	mkdir .notepackfs/new
	ln -s x .notepackfs/new
	ln mine .notepackfs/new
	mv mine .notepackfs/new
	mv .notepackfs/manifest stolen
	mv -f mine .notepackfs/manifest
	ln .notepackfs/manifest stolen
	rm -f .notepackfs/manifest
	truncate -s 0 .notepackfs/manifest
	chmod 777 .notepackfs/manifest
	touch -d @1 .notepackfs/log
	setfattr -n user.x -v y .notepackfs/log
	cat .notepackfs/lock
	cat .notepackfs/tmp
	python3 -c 'import ctypes; import sys; sys.exit(ctypes.CDLL(None).renameat2(-100, b"roots", -100, b".notepackfs", 2) != 0)'
	mkdir roots/x.notepack.gz
	ln -s x roots/x.notepack.gz
	: >roots/x.p000000002
	mv -T mine roots/y.p000000002
	echo x >roots/theirs.notepack.gz
	ln mine roots/z.notepack.gz
END
check "nothing of that was done" [ "$(find "$MNT" -maxdepth 1 -name 'stolen' -o -maxdepth 1 -name away | wc -l)" = 0 ]
check "… and what was there is" [ -e "$CONTROL/manifest" -a -e "$MNT/mine" -a -d "$MNT/roots" ]
stop "users"
finish
