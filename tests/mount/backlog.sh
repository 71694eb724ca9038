#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# More raw bytes wait to be sealed than the option backlog allows: writers are slowed down, never
# refused; nobody else is; and the end of the mount does not wait for them. That sealing is behind is
# sure here: the name of an object is taken in the store, by something else.
. "$(dirname "$0")/lib.sh"

WRITER=

cleanup_more() {
	[ -n "$WRITER" ] && kill "$WRITER" 2>/dev/null
}

slowed() {
	grep -q '"slowed_writers":[1-9]' "$MNT/.notepackfs/status"
}

waiting() {
	grep -q '"waiting_bytes":200000,' "$MNT/.notepackfs/status"
}

# A mount with 200,000 bytes that cannot be sealed, and a backlog of 64 KiB.
start_behind() {
	start grace=0.01,backlog=64K
	head -c 200000 /dev/zero >"$MNT/blocked"
	wait_for 10 waiting
}

start
stop "an empty store"
echo "not an object" >"$STORE/blocked.notepack.gz"
check "sealing is behind" start_behind
head -c 20000000 /dev/urandom >"$WORK/data"
dd if="$WORK/data" of="$MNT/data" bs=100K 2>/dev/null &
WRITER=$!
check "a writer is slowed down" wait_for 10 slowed
check "others are not: a name is made" mkdir "$MNT/dir"
check "and read" quietly stat "$MNT/data"
check "and the file that is written" quietly head -c 1 "$MNT/data"
check "the writer gets to its end" wait "$WRITER"
WRITER=
check "and all is there" cmp "$WORK/data" "$MNT/data"

# Without the obstacle there is no backlog, and no one waits.
rm "$STORE/blocked.notepack.gz"
check "the obstacle gone, all is sealed" wait_for 60 quietly "$NOTEPACKCTL" wait "$MNT"
dd if="$WORK/data" of="$MNT/more" bs=100K 2>/dev/null &
check "no one is slowed down any more" wait $!
check "the status says so" grep -q '"slowed_writers":0' "$MNT/.notepackfs/status"
stop "after a backlog"

# ---- the mount ends while a writer waits ----

rm -rf "$STORE"
mkdir "$STORE"
start
stop "another empty store"
echo "not an object" >"$STORE/blocked.notepack.gz"
check "sealing is behind again" start_behind
dd if=/dev/zero of="$MNT/endless" bs=100K 2>"$WORK/dd" &
WRITER=$!
check "an endless writer is slowed down" wait_for 10 slowed
umount -l "$MNT"
kill -TERM "$DAEMON"
daemon=0
daemon_status || daemon=$?
check "the daemon ends while it writes, and says that something is left" [ "$daemon" -eq 5 ]
wait "$WRITER"
check "the writer is told" grep -q "endless" "$WORK/dd"
WRITER=
rm -f "$STORE"/blocked.notepack.gz*
start grace=0.01
check "the next mount seals it" wait_for 60 quietly "$NOTEPACKCTL" wait "$MNT"
check "what was blocked is there" cmp -n 200000 "$MNT/blocked" /dev/zero
stop "after the end"
finish
