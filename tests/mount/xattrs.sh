#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Extended attributes: what they say of a file in every state; and set-ID bits, which the kernel
# leaves to us so that it need not ask for security.capability before each write.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"

refused() {
	! "$@" >"$WORK/quiet" 2>&1
}

# value NAME PATH
value() {
	getfattr --absolute-names --only-values -n "user.notepack.$1" "$2" 2>/dev/null
}

names() {
	getfattr --absolute-names -d "$1" 2>/dev/null | sed -n 's/^user\.notepack\.\([^=]*\)=.*/\1/p' | tr '\n' ' '
}

start grace=60

printf 'active bytes' >"$MNT/x"
check "an active file says so, and its length" \
	[ "$(value state "$MNT/x") $(value raw_size "$MNT/x")" = "active 12" ]
check "getfattr -d shows what is known of it" [ "$(names "$MNT/x")" = "raw_size state " ]
check "a checksum that is not known is absent" \
	refused getfattr -n user.notepack.sha256 "$MNT/x"
"$NOTEPACKCTL" seal "$MNT/x"
check "sealed, it says so" [ "$(value state "$MNT/x")" = sealed ]
check "sha256 is the object's" \
	[ "$(value sha256 "$MNT/x")" = "$(sha256sum <"$MNT/x.notepack.gz" | cut -d' ' -f1)" ]
check "raw_sha256 is the plain bytes'" \
	[ "$(value raw_sha256 "$MNT/x")" = "$(sha256sum <"$MNT/x" | cut -d' ' -f1)" ]
check "the object says the same" \
	[ "$(getfattr --absolute-names -d "$MNT/x" | tail -n +2)" = "$(getfattr --absolute-names -d "$MNT/x.notepack.gz" | tail -n +2)" ]
echo more >>"$MNT/x"
check "a part and an active tail: active, no checksums" \
	[ "$(value state "$MNT/x") $(names "$MNT/x")" = "active raw_size state " ]
"$NOTEPACKCTL" seal "$MNT/x"
check "two parts: their lengths together" [ "$(value raw_size "$MNT/x")" = 17 ]
check "the second object has its own checksum" \
	[ "$(value sha256 "$MNT/x.p000000002.notepack.gz")" = "$(sha256sum <"$MNT/x.p000000002.notepack.gz" | cut -d' ' -f1)" ]
check "attributes cannot be set" refused setfattr -n user.notepack.state -v active "$MNT/x"
check "nor others" refused setfattr -n user.mine -v 1 "$MNT/x"
check "nor others removed" refused setfattr -x user.other "$MNT/x"
check "removing one of ours is without effect" setfattr -x user.notepack.state "$MNT/x"
check "… it is still there" [ -n "$(getfattr --only-values -n user.notepack.state "$MNT/x")" ]
mkdir "$WORK/tree"
seq 1000 >"$WORK/tree/plain"
check "rsync -aAXH reports no failure" quietly rsync -aAXH "$WORK/tree/" "$MNT/tree/"
check "it is sealed" quietly "$NOTEPACKCTL" wait "$MNT"
check "nor does its second run" quietly rsync -aAXH "$WORK/tree/" "$MNT/tree/"
mkdir "$MNT/dir"
check "a directory has none" [ -z "$(getfattr --absolute-names -d "$MNT/dir")" ]
check "a control file has none" [ -z "$(getfattr --absolute-names -d "$MNT/.notepackfs/status")" ]

# Three frames of a real event, with its length in front.
event=01f1e7bc2a9756453fcc0e80ecf62183fa95b9a1278a01281dbc310b6777320e807fe437db5884ee013f701a75f8
event+=d1a84ecb434e997f2a31411685551ffff1b84175507f84d78211a68f2f964221f5587aa957a66c1941d01125caa0
event+=7b9aabdf5a98c3e63d1fe1e307cbf01b74b0a1b95ffe636eb6746c00167e0d48e5b11032d596c9a9c40601026869
event+=00
for _ in 1 2 3; do
	perl -e 'print pack("H*", shift)' "8b000000$event"
done >"$MNT/notes.notepack"
"$NOTEPACKCTL" seal "$MNT/notes.notepack"
check "records of a notepack are counted" [ "$(value records "$MNT/notes.notepack")" = 3 ]

# ---- set-ID bits ----

# by_other COMMAND: as a user who is not root; the mount is root's, so in its own store there
# is nothing for others: the mount is made anew for them.
stop
start grace=60,allow_other
chmod 1777 "$MNT"
chmod 711 "$WORK"

by_other() {
	setpriv --reuid=65534 --regid=65534 --clear-groups sh -c "$1" sh "$MNT/setid"
}

# mode_after NAME COMMAND EXPECTED [FROM]: the mode of a set-ID file after a command of its own
mode_after() {
	rm -f "$MNT/setid"
	: >"$MNT/setid"
	echo bytes >"$MNT/setid"
	chown 65534:65534 "$MNT/setid"
	chmod "${4:-6777}" "$MNT/setid"
	by_other "$2"
	check "$1" [ "$(stat -c %a "$MNT/setid") $(stat -c %a "$STORE/setid")" = "$3 $3" ]
}

# shellcheck disable=SC2016 # $1 is the inner shell's
{
	mode_after "a write takes set-ID bits off" 'echo more >>"$1"' 777
	mode_after "so does a truncation" 'truncate -s 2 "$1"' 777
	mode_after "and O_TRUNC" ': >"$1"' 777
	mode_after "and an allocation" 'fallocate -l 100 "$1"' 777
	mode_after "and a change of owner" 'chgrp 65534 "$1"' 777
	# Of who appends the kernel takes it off, as natively, where it writes the raw file itself.
	mode_after "set-group-ID without the group's x is no set-ID bit" 'echo more 1<>"$1"' 2767 2767
}
: >"$MNT/setid"
chmod 6777 "$MNT/setid"
echo root >>"$MNT/setid"
check "root's write leaves them" [ "$(stat -c %a "$MNT/setid")" = 6777 ]
stop
start allow_other,grace=60
by_other "echo more >>\"\$1\""
check "they are taken off after a remount, too" [ "$(stat -c %a "$MNT/setid")" = 777 ]
stop
finish
