#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# L27: every option has a test that proves its effect. Those of allow_delete are in remove.sh, of ro
# in mounting.sh.
#
# That something is not sealed is shown without waiting: a file that is closed after it has a later
# deadline, and is sealed.
. "$(dirname "$0")/lib.sh"

part2() {
	listed "$1.p000000002.notepack.gz"
}

# The size of an object that a mount with these options makes of the sample.
sealed_size() {
	start "$2"
	cp "$WORK/sample" "$MNT/$1"
	"$NOTEPACKCTL" seal "$MNT/$1"
	stat -c %s "$MNT/$1.notepack.gz" >"$WORK/size.$1"
	grep "\"plain\":\"$1\"" "$MNT/.notepackfs/manifest" >"$WORK/record.$1"
	stop "$2"
}

tasks() {
	find "/proc/$DAEMON/task" -mindepth 1 -maxdepth 1 | wc -l
}

# Wait until a file that was closed just now is sealed.
overtaken() {
	echo later >"$MNT/later-$1"
	wait_for 20 sealed "$MNT/later-$1"
}

# ---- level, threads ----

seq 200000 >"$WORK/sample"
sealed_size fast level=1
sealed_size small level=9
check "level: 9 is smaller than 1" [ "$(cat "$WORK/size.small")" -lt "$(cat "$WORK/size.fast")" ]
check "level: the manifest has it" grep -q '"level":9' "$WORK/record.small"
start threads=1
one=$(tasks)
stop "threads=1"
start threads=40 # the others, which serve requests, come and go: four at most
check "threads: there are as many" [ "$(tasks)" -gt $((one + 34)) ]
check "threads: the status has it" quietly jq -e '.threads == 40' "$MNT/.notepackfs/status"
stop "threads=40"

# ---- grace ----

start grace=0
echo x >"$MNT/zero"
check "grace: 0 seals at once" wait_for 20 sealed "$MNT/zero"
stop "grace=0"
start grace=1h
echo x >"$MNT/hour"
check "grace: 1h does not" quietly jq -e '.pending == [] or .pending[0].state == "grace" or .pending[0].state == "open"' \
	"$MNT/.notepackfs/status"
"$NOTEPACKCTL" seal "$MNT/zero"
check "grace: the file stays as it is" listed "$MNT/hour"
sync "$MNT"
check "grace: sync of the mount ends it" wait_for 20 sealed "$MNT/hour"
stop "grace=1h"

# ---- exclude ----

start "grace=0.2,exclude=*.raw:skip*"
for name in a.raw skipped b.tmp; do echo x >"$MNT/$name"; done
check "exclude: replaces the default" wait_for 20 sealed "$MNT/b.tmp"
"$NOTEPACKCTL" seal "$MNT"
check "exclude: what it names is not sealed" sh -c "[ -f '$STORE/a.raw' ] && [ -f '$STORE/skipped' ]"
mkdir "$MNT/skip-dir"
echo x >"$MNT/skip-dir/file"
overtaken exclude # its own deadline has passed by then
mv "$MNT/skip-dir" "$MNT/dir"
mv "$MNT/a.raw" "$MNT/a"
check "exclude: a file that is renamed to another name is sealed" wait_for 20 sealed "$MNT/a"
check "exclude: a file in a directory that is, too" wait_for 20 sealed "$MNT/dir/file"
stop "exclude"
rm "$STORE/skipped"

# ---- fsync, cut_size, cut_age: a file that stays open ----

start grace=0.3
exec 7>"$MNT/seal"
echo one >&7
sync "$MNT/seal"
check "fsync=seal: an fsync leads to sealing while the file is open" wait_for 20 sealed "$MNT/seal"
echo two >&7
sync "$MNT/seal"
overtaken seal
check "cut_size and cut_age: by default a few bytes more are no part" listed "$MNT/seal"
head -c 1M /dev/zero | tr '\0' '\n' >&7
sync "$MNT/seal"
check "cut_size: 1 MiB more is a part" wait_for 20 part2 "$MNT/seal"
exec 7>&-
stop "fsync=seal"

start grace=0.3,fsync=sync
exec 7>"$MNT/sync"
echo one >&7
sync "$MNT/sync"
overtaken sync
check "fsync=sync: an fsync does not lead to sealing" sh -c "[ ! -e '$MNT/sync.notepack.gz' ]"
exec 7>&-
check "fsync=sync: the close does" wait_for 20 sealed "$MNT/sync"
stop "fsync=sync"

start grace=0.1,cut_size=0
exec 7>"$MNT/size"
for i in 1 2; do
	echo "$i" >&7
	sync "$MNT/size"
	check "cut_size=0: every fsync leads to a part ($i)" \
		wait_for 20 sh -c "[ \$(ls '$MNT' | grep -c '^size.*gz') = $i ]"
done
exec 7>&-
stop "cut_size=0"

start grace=0.1,cut_size=1G,cut_age=0.5
exec 7>"$MNT/age"
for i in 1 2; do
	echo "$i" >&7
	sync "$MNT/age"
	check "cut_age: time leads to a part, too ($i)" \
		wait_for 20 sh -c "[ \$(ls '$MNT' | grep -c '^age.*gz') = $i ]"
done
exec 7>&-
stop "cut_age=0.5"

# ---- stop_wait ----

start stop_wait=1h
exec 7>"$MNT/wait"
echo before >&7
kill -TERM "$DAEMON"
check "stop_wait: the mount is detached at SIGTERM" wait_for 20 sh -c "! mountpoint -q '$MNT'"
check "stop_wait: an open file is served on" sh -c "echo after >&7"
check "stop_wait: by a daemon that lives" kill -0 "$DAEMON"
exec 7>&-
check "stop_wait: the last close ends it, with exit 0" daemon_status
check "stop_wait: and all of it is sealed" \
	[ "$(zcat "$STORE/wait.notepack.gz")" = "$(printf 'before\nafter')" ]
if nm -D "$NOTEPACKFS" | grep -qE "__(a|t)san_init"; then
	skip "stop_wait: with a request on its way at the last close it is exit 0 as well" \
		"the sanitizer's own library must be the first that is preloaded"
else
	LD_PRELOAD=$BUILD/tests/mount/libabortedread.so start stop_wait=1h
	exec 7>"$MNT/wait2"
	kill -TERM "$DAEMON"
	exec 7>&-
	check "stop_wait: with a request on its way at the last close it is exit 0 as well" daemon_status
	check "stop_wait: (there was one)" grep -q "connection abort" "$LOG"
fi
start stop_wait=0.2
exec 7>"$MNT/nowait"
echo before >&7
kill -TERM "$DAEMON"
check "stop_wait: when it has passed the daemon ends, with exit 0" daemon_status
check "stop_wait: and all that was written is sealed" [ "$(zcat "$STORE/nowait.notepack.gz")" = before ]
check "stop_wait: who has the file open gets an error" sh -c "! echo after >&7" 2>"$WORK/err"
exec 7>&-
umount -l "$MNT" 2>/dev/null

# ---- lockwait ----

drains() {
	grep -q draining "$STORE/.notepackfs/lock"
}
start grace=1h
base64 /dev/urandom | head -c 32M >"$MNT/slow"
"$NOTEPACKCTL" umount --no-wait "$MNT"
check "the daemon drains" wait_for 20 drains
kill -STOP "$DAEMON"
"$NOTEPACKFS" "$STORE" "$MNT" -o lockwait=0.3 2>"$WORK/err"
check "lockwait: when it has passed the store is in use, exit 3" [ $? = 3 ]
kill -CONT "$DAEMON"
"$NOTEPACKFS" "$STORE" "$MNT" -o lockwait=10m
check "lockwait: until then a draining holder is waited for" mounted
daemon_status
check "the mount that waited unmounts" "$NOTEPACKCTL" umount "$MNT"

# ---- suffix: a store of its own ----

rm -rf "$STORE"
mkdir "$STORE"
start grace=0.1,suffix=.np
echo x >"$MNT/a"
echo y >"$MNT/b.np"
check "suffix: names of objects have it" wait_for 20 listed "$MNT/a.np.gz"
check "suffix: it is no part of a stem" wait_for 20 listed "$MNT/b.np.gz"
stop "suffix=.np"
"$NOTEPACKFS" "$STORE" "$MNT" -o suffix=.notepack 2>"$WORK/err"
check "suffix: another one is refused later" [ $? = 2 ]
check "suffix: the refusal names the store's" grep -qF '.np' "$WORK/err"
start grace=0.1
echo z >"$MNT/c"
check "suffix: without the option it stays" wait_for 20 listed "$MNT/c.np.gz"
stop "the suffix of the store"
finish
