#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The process: what it keeps of root's privileges, what it inherits, which paths it gives to the
# kernel. And that everything works with what is left.
# shellcheck disable=SC2317 # functions that check and wait_for call
. "$(dirname "$0")/lib.sh"

[ "$(id -u)" = 0 ] || { skip "all of it" "only root has privileges to give up"; finish; }

HERE=$(cd "$(dirname "$0")" && pwd)
USER_ID=61000
chmod 755 "$WORK"

as_user() {
	setpriv --reuid=$USER_ID --regid=$USER_ID --clear-groups "$@"
}

# field PID NAME: of /proc/PID/status, of all of its threads; more than one line if they differ
field() {
	awk -v name="$2:" '$1 == name { print $2 }' /proc/"$1"/task/*/status | sort -u
}

# The same, of its first thread.
main_field() {
	awk -v name="$2:" '$1 == name { print $2 }' /proc/"$1"/status
}

mounter_of() {
	pgrep -P "$1" -x notepackfs-mnt
}

has_signal() {
	(((16#$(field "$1" "$2") >> ($(kill -l "$3") - 1)) & 1))
}

# ---- what is kept ----

exec 9<"$WORK"
ulimit -c unlimited 2>/dev/null || ulimit -c "$(ulimit -Hc)"
umask 077
start allow_other,grace=0.1
umask 022
exec 9<&-
# CHOWN 0, DAC_OVERRIDE 1, FOWNER 3, FSETID 4, LEASE 28
KEPT=000000001000001b
for set in CapPrm CapEff CapBnd; do
	check "the daemon keeps five capabilities, in every thread ($set)" [ "$(field "$DAEMON" $set)" = $KEPT ]
done
for set in CapInh CapAmb; do
	check "… and none ($set)" [ "$(field "$DAEMON" $set)" = 0000000000000000 ]
done
check "no exec gives any back" [ "$(field "$DAEMON" NoNewPrivs)" = 1 ]
check "it has several threads" [ "$(find "/proc/$DAEMON/task" -mindepth 1 -maxdepth 1 | wc -l)" -gt 3 ]
mounter=$(mounter_of "$DAEMON")
check "one process beside it mounts and detaches" [ -n "$mounter" ]
# DAC_READ_SEARCH 2, SYS_ADMIN 21
for set in CapPrm CapEff CapBnd; do
	check "… which keeps two ($set)" [ "$(main_field "$mounter" $set)" = 0000000000200004 ]
done
if nm -D "$NOTEPACKFS" | grep -q __tsan_init; then
	skip "… and is one thread" "ThreadSanitizer has a thread of its own in each process"
else
	check "… and is one thread" [ "$(find "/proc/$mounter/task" -mindepth 1 -maxdepth 1 | wc -l)" -eq 1 ]
fi
check "… and has nothing open but its end of the pipe" \
	[ "$(readlink /proc/"$mounter"/fd/* | grep -cv '^/dev/null$\|^socket:')" = 0 ]
check "… nor keeps a filesystem busy" [ "$(readlink "/proc/$mounter/cwd")" = / ]
check "inherited descriptors are closed" [ "$(readlink /proc/"$DAEMON"/fd/* | grep -cxF "$WORK")" = 0 ]
# Named bug: loaded by the first pthread_cancel(3) only, it could not be without descriptors: abort(3).
check "what ends its threads is loaded from the start" grep -q /libgcc_s "/proc/$DAEMON/maps"
check "umask is 0" [ "$(field "$DAEMON" Umask)" = 0000 ]
check "there are no core dumps" grep -q '^Max core file size *0 *0 ' "/proc/$DAEMON/limits"
check "SIGXFSZ is ignored" has_signal "$DAEMON" SigIgn XFSZ
check "SIGPIPE is ignored" has_signal "$DAEMON" SigIgn PIPE
for flag in nosuid nodev default_permissions allow_other; do
	check "the mount has $flag" grep -q " $MNT .*[ ,]$flag\\([ ,]\\|\$\\)" /proc/self/mountinfo
done

# ---- everything works with that ----

chmod 1777 "$MNT"
as_user sh -c "umask 077; echo theirs >'$MNT/theirs'; mkdir '$MNT/dir'; echo deep >'$MNT/dir/deep'; chmod 000 '$MNT/dir/deep'"
echo given >"$MNT/given"
chown $USER_ID:$USER_ID "$MNT/given"
chmod 6755 "$MNT/given"
check "another user's file has its owner" [ "$(stat -c %u "$MNT/theirs")" = $USER_ID ]
check "a file is given away, with set-ID bits that root sets" [ "$(stat -c '%u %a' "$MNT/given")" = "$USER_ID 6755" ]
"$NOTEPACKCTL" seal "$MNT"
check "files of others, of any mode, are sealed" [ -e "$STORE/dir/deep.notepack.gz" -a -e "$STORE/given.notepack.gz" ]
check "… and stay theirs" [ "$(stat -c %u "$STORE/theirs.notepack.gz" "$STORE/dir/deep.notepack.gz" | sort -u)" = $USER_ID ]
check "… without set-ID bits in the store" [ "$(stat -c %a "$STORE/given.notepack.gz")" = 555 ]
check "they append" as_user sh -c "echo more >>'$MNT/theirs'"
check "they change times and modes" as_user sh -c "touch -d @1000 '$MNT/theirs'; chmod 640 '$MNT/theirs'"
check "they rename" as_user mv "$MNT/theirs" "$MNT/dir/moved"
check "they remove" as_user "$NOTEPACKCTL" rm "$MNT/dir/deep"
check "an unmount flushes" "$NOTEPACKCTL" umount "$MNT"
check "… with exit 0" daemon_status
check "… and ends the mounter, too" wait_for 5 has_ended "$mounter"

start allow_other,grace=1h
mounter=$(mounter_of "$DAEMON")
as_user sh -c "echo term >'$MNT/dir/term'"
kill -TERM "$DAEMON" "$mounter"
kill -INT "$mounter"
check "SIGTERM to both detaches the mount" wait_for 10 sh -c "! grep -qF ' $MNT ' /proc/self/mountinfo"
check "… and flushes" daemon_status
check "… everything" [ -e "$STORE/dir/term.notepack.gz" ]

start allow_other,grace=1h,stop_wait=0.5
as_user sh -c "echo alone >'$MNT/dir/alone'"
mounter=$(mounter_of "$DAEMON")
kill -KILL "$mounter"
wait_for 5 has_ended "$mounter"
kill -TERM "$DAEMON"
check "without its mounter the daemon flushes all the same" daemon_status
check "… everything" [ -e "$STORE/dir/alone.notepack.gz" ]
check "… and says what is left to do" grep -q "cannot detach the mount: .*umount -l clears it" "$LOG"
umount -l "$MNT"

start allow_other,grace=1h
mounter=$(mounter_of "$DAEMON")
as_user sh -c "echo crashed >'$MNT/dir/crashed'"
crash
check "the mounter ends with a daemon that is killed" wait_for 5 has_ended "$mounter"

# A program that outlives the daemon, and writes into a file of another user's than the daemon.
exec 8>>"$STORE/dir/crashed"
start allow_other,grace=0
check "a living writer into another user's raw file is seen (CAP_LEASE)" \
	wait_for 20 sh -c "'$NOTEPACKCTL' status --json '$MNT' | jq -e '.pending[] | select(.state == \"kept\")'"
check "… and the raw file is kept" [ "$(cat "$STORE/dir/crashed")" = crashed ]
crash
setpriv --bounding-set -lease --inh-caps -lease "$NOTEPACKFS" "$STORE" "$MNT" -f -o allow_other,grace=0 >>"$LOG" 2>&1 &
DAEMON=$!
wait_for 20 mounted
check "without CAP_LEASE it is kept, too" wait_for 20 grep -q "crashed: whether .* CAP_LEASE" "$LOG"
exec 8>&-
check "… whoever writes" [ "$(cat "$STORE/dir/crashed")" = crashed ]
crash
start allow_other,grace=0
gone() { [ ! -e "$1" ]; }
check "it goes when the writer has gone" wait_for 20 gone "$STORE/dir/crashed"
stop "with capabilities again"

# ---- a limit on the size of files does not kill ----

(ulimit -f 1024 && exec "$NOTEPACKFS" "$STORE" "$MNT" -f -o grace=1h) >>"$LOG" 2>&1 &
DAEMON=$!
wait_for 20 mounted
check_refused "beyond RLIMIT_FSIZE a write is refused" "File too large" dd if=/dev/zero of="$MNT/large" bs=1M count=4
check "… and the daemon lives" mountpoint -q "$MNT"
"$NOTEPACKCTL" rm "$MNT/large"
stop "with RLIMIT_FSIZE"

# ---- paths ----

# All that the store's paths are used for: the second mount follows a crash.
use_everything() {
	mkdir "$MNT/$1" "$MNT/$1/sub"
	seq 5000 >"$MNT/$1/sub/file"
	ln -s file "$MNT/$1/sub/link"
	readlink "$MNT/$1/sub/link" >/dev/null
	"$NOTEPACKCTL" seal "$MNT/$1"
	echo more >>"$MNT/$1/sub/file"
	chmod 640 "$MNT/$1/sub/file"
	chown -h $USER_ID "$MNT/$1/sub/link" "$MNT/$1/sub/file"
	touch -h -d @1 "$MNT/$1/sub/link"
	mv "$MNT/$1/sub/file" "$MNT/$1/moved"
	mv "$MNT/$1/sub" "$MNT/$1/sub2"
	gzip -c /etc/passwd >"$MNT/$1/imported.notepack.gz"
	"$NOTEPACKCTL" wait "$MNT"
	cat "$MNT/$1/imported" "$MNT/$1/moved" >/dev/null
	echo temporary >"$MNT/$1/x.tmp"
	mv "$MNT/$1/x.tmp" "$MNT/$1/x"
	rm "$MNT/$1/sub2/link"
	rmdir "$MNT/$1/sub2"
	"$NOTEPACKCTL" rm "$MNT/$1/imported"
	echo left >"$MNT/$1/left"
}

traced() {
	# A sanitizer that looks for leaks cannot do so under strace, and makes a file of its own.
	ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0 strace -f -qq -s 300 -e trace=%file -o "$WORK/trace.$1" "$NOTEPACKFS" "$STORE" "$MNT" -f -o grace=1h >>"$LOG" 2>&1 &
	tracer=$!
	wait_for 20 mounted
	DAEMON=$(jq .pid "$MNT/.notepackfs/status")
	use_everything "$1"
}

if strace -qq -e trace=none true 2>/dev/null; then
	traced first
	kill -KILL "$DAEMON"
	wait "$tracer" 2>/dev/null
	umount -l "$MNT"
	echo stray >"$STORE/.notepackfs/tmp/stray"
	traced second
	"$NOTEPACKCTL" umount "$MNT" 2>/dev/null
	wait "$tracer"
	DAEMON=
	for run in first second; do
		python3 "$HERE/security_paths.py" "$WORK/trace.$run" "$STORE" >"$WORK/paths" || touch "$WORK/bad"
		sed 's/^/# /' "$WORK/paths" | tail -n 20
		check "every path in the store is resolved by openat2, or is one name ($run)" [ ! -e "$WORK/bad" ]
	done
else
	skip "every path in the store is resolved by openat2, or is one name" "strace cannot trace here"
fi

# ---- without openat2 ----

"$BUILD/tests/mount/hide_openat2" true
if [ $? = 77 ]; then
	skip "without openat2 all works" "no filter of system calls can be set"
else
	"$BUILD/tests/mount/hide_openat2" "$NOTEPACKFS" "$STORE" "$MNT" -f -o grace=1h >>"$LOG" 2>&1 &
	DAEMON=$!
	wait_for 20 mounted
	use_everything third
	stop "without openat2"
	check "without openat2 all works" [ "$(zcat "$STORE/third/left.notepack.gz")" = left ]
	check "… by and for others" quietly "$NOTEPACKCTL" check --deep "$STORE"
fi
finish
