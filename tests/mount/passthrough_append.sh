#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Who appends to a file writes it himself: at once, without the daemon. All that the daemon has to know of it, it
# knows when it is asked; no other handle is an error; and what was written survives whatever ends.
#
#	NOTEPACKFS_LONG=1	the file is opened in all orders, instead of a third of them
# shellcheck disable=SC2317 # functions that check and wait_for call
. "$(dirname "$0")/lib.sh"

TOOL=$BUILD/tests/mount/fsyncwriter

log_count() {
	[ "$(grep -c "$1" "$LOG")" = "$2" ]
}

has_lines() {
	local lines
	mapfile -t lines <"$1"
	[ "${#lines[@]}" = "$2" ]
}

# Is what goes to descriptor 7, open on $1, written while the daemon stands still? (With the first write the
# kernel asks it for an attribute.) Meanwhile no process may end: it would close the descriptor, and that waits
# for the daemon.
write_alone() {
	local status=0 pid
	echo first >&7
	freeze
	echo alone >&7 &
	pid=$!
	wait_for 2 has_lines "$STORE/$1" 2 >"$WORK/waited" || status=1
	thaw
	wait "$pid"
	return "$status"
}

size_is() {
	[ "$(stat -c %s "$1")" = "$2" ]
}

says_kept() {
	"$NOTEPACKCTL" status --json "$MNT" | grep -q "\"path\":\"$1\".*\"state\":\"kept\""
}

# Files of another process: descriptors for the way there and back.
keep_map() {
	coproc MAPPED {
		exec 7>&-
		"$BUILD/tests/mount/keepmap" "$1" "$2"
	}
	MAPPED_PID=$!
	read -r -u "${MAPPED[0]}" REPLY && [ "$REPLY" = mapped ]
}

tell_map() {
	echo "$1" >&"${MAPPED[1]}"
	read -r -u "${MAPPED[0]}" REPLY && [ "$REPLY" = "done" ]
}

drop_map() {
	local fd=${MAPPED[1]}
	exec {fd}>&-
	wait "$MAPPED_PID"
}

no_such_file() {
	[ ! -e "$1" ]
}

# ---- is it so here? ----

start grace=1h
exec 7>>"$MNT/probe"
if ! write_alone probe; then
	check "without passthrough the log says so, and why" \
		grep -qE "through this process, and not directly: |goes through this process: the kernel" "$LOG"
	exec 7>&-
	skip "who appends writes while the daemon stands still" "$(grep -m 1 -o 'through this process.*' "$LOG")"
	"$NOTEPACKCTL" umount "$MNT" >>"$LOG" 2>&1
	daemon_status
	finish
fi
ok "who appends writes while the daemon stands still"
exec 7>&-

# ---- every order ----

orders=()
[ "${NOTEPACKFS_LONG:-0}" = 0 ] || orders=(all)
check "a file is opened in every way, in these orders" "$BUILD/tests/mount/passmodes" "$MNT" "${orders[@]}"
mkdir "$WORK/native"
check "… as a native one is" "$BUILD/tests/mount/passmodes" "$WORK/native" "${orders[@]}"
[ ${#orders[@]} -gt 0 ] || skip "… in the other orders" "NOTEPACKFS_LONG=1 is not set"

# ---- it is known when it is asked for ----

exec 7>>"$MNT/log"
sum=0
wrong=0
for i in $(seq 200); do
	printf '%*d\n' $((i % 7 + 1)) "$i" >&7
	[ "$i" -gt 9 ] || sum=$((sum + i % 7 + 2))
	[ "$i" -ne 9 ] || size_is "$MNT/log" "$sum" || wrong=1
done
check "stat says how long it is after each write" [ "$wrong" = 0 ]
check "a reader has all of it" cmp "$MNT/log" "$STORE/log"
check "wc counts it" [ "$(wc -l <"$MNT/log")" = 200 ]
echo more >&7
check "the attribute knows it" \
	[ "$(getfattr --absolute-names --only-values -n user.notepack.raw_size "$MNT/log")" = "$(stat -c %s "$STORE/log")" ]
echo more >&7
check "the status knows it" \
	status_says "\"path\":\"log\",\"id\":[0-9]*,\"bytes\":$(stat -c %s "$STORE/log"),"
tail -c +1 -f "$MNT/log" >"$WORK/tailed" 7>&- &
tail_pid=$!
for i in $(seq 50); do echo "tail $i" >&7; done
check "tail -f has it" wait_for 20 cmp "$WORK/tailed" "$STORE/log"
kill "$tail_pid"
wait "$tail_pid" 2>/dev/null
printf torn >&7
check "a seal, when it is asked for, takes it as it is" "$NOTEPACKCTL" seal "$MNT/log"
check "… to the last line" [ "$(zcat "$MNT/log.notepack.gz" | tail -n 1)" = "tail 50" ]
check "… and leaves the rest" listed "$MNT/log"
echo " line" >&7
check "the next seal has the rest" "$NOTEPACKCTL" seal "$MNT/log"
check "… and no more" [ "$(zcat "$MNT/log.p000000002.notepack.gz")" = "torn line" ]
check "… now the plain name is not listed" plain_gone "$MNT/log"
echo again >&7
check "… but with the next byte it is" listed "$MNT/log"
check "a truncation below what is sealed is refused" \
	sh -c "! truncate -s 10 '$MNT/log' 2>/dev/null"
truncate -s +100 "$MNT/log"
echo behind >&7
check "one that makes it longer is appended to" quietly sh -c "tail -n 1 '$MNT/log' | grep -aq 'behind$'"
exec 8<>"$MNT/log"
check_refused "another cannot change what is sealed" "Operation not permitted" "$TOOL" pwrite 8 0 ONE
exec 8>&-
cp "$MNT/log" "$WORK/log"
exec 7>&-
check "closed, it is sealed to the end" "$NOTEPACKCTL" wait "$MNT"
check "… and every byte is there" cmp "$MNT/log" "$WORK/log"

exec 7>>"$MNT/moved"
echo one >&7
mv "$MNT/moved" "$MNT/.moved"
echo two >&7
mv "$MNT/.moved" "$MNT/there"
echo three >&7
exec 7>&-
"$NOTEPACKCTL" wait "$MNT"
check "it is renamed meanwhile" [ "$(zcat "$MNT/there.notepack.gz" | paste -sd' ')" = "one two three" ]
exec 7>>"$MNT/removed"
exec 6<"$MNT/removed"
echo one >&7
rm "$MNT/removed"
echo two >&7
check "it is removed meanwhile, and read" [ "$(paste -sd' ' <&6)" = "one two" ]
exec 7>&- 6<&-
exec 7>>"$MNT/log"
echo "next part" >&7
check "what is sealed is appended to as ever" [ "$(tail -n 1 "$MNT/log")" = "next part" ]
keep_map read "$MNT/log"
tell_map "$WORK/mapped"
check "… and mapped as a whole, without a hole" cmp "$WORK/mapped" "$MNT/log"
drop_map
exec 7>&-
stop "appended"
check_clean_store

# ---- fsync; no hole for who has mapped it ----

start grace=0,cut_size=0
exec 7>>"$MNT/synced"
"$BUILD/tests/mount/makedata" file text 3000000 1 >&7
echo >&7
keep_map read "$MNT/synced"
cp "$STORE/synced" "$WORK/synced"
printf torn >&7
"$TOOL" fsync 7
check "fsync has it sealed while it is open" wait_for 60 sealed "$MNT/synced"
check "… to the last line" cmp <(zcat "$MNT/synced.notepack.gz") "$WORK/synced"
tell_map "$WORK/mapped"
check "who has mapped it reads no hole" cmp "$WORK/mapped" "$WORK/synced"
exec 7>&-
"$NOTEPACKCTL" wait "$MNT"
check "closed, the raw file goes" wait_for 20 no_such_file "$STORE/synced"
tell_map "$WORK/mapped"
check "… and who has mapped it reads on" cmp "$WORK/mapped" "$WORK/synced"
drop_map

# ---- who could change it through a mapping is waited for, and what he changed is kept ----

exec 7>>"$MNT/changed"
echo "hello, changed" >&7
keep_map write "$MNT/changed"
exec 7>&-
check "a file that someone else has mapped to write is sealed" "$NOTEPACKCTL" seal "$MNT/changed"
check "… and kept" wait_for 20 says_kept changed
tell_map HELLO
check "what is sealed is read" [ "$(cat "$MNT/changed")" = "hello, changed" ]
drop_map
status=0
"$NOTEPACKCTL" umount "$MNT" >>"$LOG" 2>&1 || status=$?
check "an unmount says that not all is flushed" [ "$status" = 5 ]
daemon_status
start grace=0
"$NOTEPACKCTL" wait "$MNT"
check "the next mount has what was sealed" [ "$(zcat "$MNT/changed.notepack.gz")" = "hello, changed" ]
check "… and what became of it, in another file" \
	sh -c "zcat '$MNT'/changed.recovered-*.gz | grep -qx 'HELLO, changed'"
stop "changed"
check_clean_store

# ---- who reads stays when the appender has gone, and the next one comes ----

# Named bug: what the next one appended went to the raw file that had been removed, and with it.
start grace=0,cut_size=0
exec 7>>"$MNT/followed"
echo one >&7
exec 6<"$MNT/followed"
exec 7>&-
check "a file that someone else reads is sealed" "$NOTEPACKCTL" wait "$MNT"
check "… and kept for him" wait_for 20 says_kept followed
check "… listed as sealed" sealed "$MNT/followed"
check "… and status says what is held" [ "$("$NOTEPACKCTL" status --json "$MNT" | jq .held_bytes)" = 4 ]
check "… in words, too" sh -c "'$NOTEPACKCTL' status '$MNT' | grep -q '^held  *4 B are sealed'"
exec 7>>"$MNT/followed"
echo two >&7
"$TOOL" fsync 7
exec 7>&-
check "what is appended then is there" [ "$(paste -sd' ' "$MNT/followed")" = "one two" ]
check "… for him, too" [ "$(paste -sd' ' <&6)" = "one two" ]
"$NOTEPACKCTL" wait "$MNT"
check "… and in the objects" [ "$(zcat "$MNT"/followed*.gz | paste -sd' ')" = "one two" ]
exec 6<&-
check "… and when he has closed it, the raw file goes" wait_for 20 no_such_file "$STORE/followed"

# Named bug: behind the hole in what was sealed, who mapped the file read zeroes.
check "who maps it while a writer is left from then reads no hole" python3 -c '
import mmap, os, subprocess, sys
path, ctl = sys.argv[1:]
data = bytes(range(1, 255)) * 9000 + b"\n"
appender = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
writer = os.open(path, os.O_WRONLY)
os.write(appender, data)
os.close(appender)
subprocess.run([ctl, "seal", path], check=True)
os.pwrite(writer, b"behind\n", len(data))
subprocess.run([ctl, "seal", path], check=True)
reader = os.open(path, os.O_RDONLY)
sys.exit(mmap.mmap(reader, len(data), mmap.MAP_SHARED, mmap.PROT_READ)[:] != data)
' "$MNT/holed" "$NOTEPACKCTL"

# Named bug: it was taken for one that outlived its mount, for which there is no shared mapping.
check "who opens it O_RDWR and O_APPEND, when a writer has opened it beside the appender, can map it" python3 -c '
import mmap, os, sys
for i in range(20):
    path = sys.argv[1] + str(i)
    appender = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(appender, b"x" * 10000)
    os.close(os.open(path, os.O_RDWR))
    os.close(appender)
    fd = os.open(path, os.O_RDWR | os.O_APPEND)
    mmap.mmap(fd, 0).close()
    os.close(fd)
' "$MNT/beside"

exec 7>>"$MNT/last"
echo last >&7
exec 6<"$MNT/last"
exec 7>&-
"$NOTEPACKCTL" wait "$MNT"
umount -i -l "$MNT"
exec 6<&-
check "he is the last, behind umount -l: the daemon ends with exit 0" daemon_status
check_clean_store

# ---- the daemon is killed ----

start grace=0
exec 7>>"$MNT/survivor"
echo before >&7
crash
echo behind >&7
start grace=0
check "killed: what was written before and behind it is there" \
	[ "$(paste -sd' ' "$MNT/survivor")" = "before behind" ]
echo "and on" >&7
check "… what is written on, too" [ "$(tail -n 1 "$MNT/survivor")" = "and on" ]
check "… the file is kept for who still writes it" wait_for 30 says_kept survivor
echo late >&7
status=0
"$NOTEPACKCTL" umount "$MNT" >>"$LOG" 2>&1 || status=$?
check "an unmount that meets him says 5" [ "$status" = 5 ]
daemon_status
echo "and later" >&7
exec 7>&-
start grace=0
"$NOTEPACKCTL" wait "$MNT"
check "when he has ended all is sealed" \
	[ "$(cat "$MNT"/survivor*.gz | zcat | paste -sd' ')" = "before behind and on late and later" ]
stop "killed"
check_clean_store

# ---- stopped while it is open ----

start grace=0,stop_wait=1
exec 7>>"$MNT/stopped" 6>>"$MNT/closed"
echo before >&7
echo closed >&6
exec 6>&-
kill -TERM "$DAEMON"
status=0
daemon_status || status=$?
check "a stop that meets who appends says 5" [ "$status" = 5 ]
echo behind >&7
check "… what he writes on is in the store" [ "$(tail -n 1 "$STORE/stopped")" = behind ]
check "… and it waits for no one else" [ "$(zcat "$STORE/closed.notepack.gz")" = closed ]
exec 7>&-
start grace=0
"$NOTEPACKCTL" wait "$MNT"
check "… and the next mount seals it" [ "$(cat "$MNT"/stopped*.gz | zcat | paste -sd' ')" = "before behind" ]

exec 7>>"$MNT/lazy"
echo before >&7
umount -l "$MNT"
echo behind >&7
exec 7>&-
check "a lazy unmount is served to the last close" daemon_status
start grace=0
check "… and has all of it" [ "$(zcat "$MNT/lazy.notepack.gz" | paste -sd' ')" = "before behind" ]
stop "stopped"
check_clean_store

# ---- where it is not passed through ----

: >"$LOG"
start grace=1h,rotate_size=1G
exec 7>>"$MNT/rotated"
if write_alone rotated; then
	fail "with rotation, which makes holes, it is written as ever"
else
	ok "with rotation, which makes holes, it is written as ever"
fi
exec 7>&-
"$NOTEPACKCTL" wait "$MNT"
check "… to the end" wait_for 20 sh -c "zcat '$MNT/rotated.notepack.gz' | grep -qx alone"
stop "rotation"
start grace=1h,passthrough=off
exec 7>>"$MNT/off"
if write_alone off; then
	fail "passthrough=off: as ever"
else
	ok "passthrough=off: as ever"
fi
exec 7>&-
stop "passthrough=off"
start grace=1h
exec 7>>"$MNT/orphaned"
pid=$(pgrep -P "$DAEMON" -x notepackfs-mnt)
kill -KILL "$pid"
wait_for 5 has_ended "$pid"
echo one >&7
echo two >>"$MNT/orphaned"
echo three >>"$MNT/other"
exec 7>&-
check "without the one who tells the kernel: as ever" \
	[ "$(paste -sd' ' "$MNT/orphaned" "$MNT/other" | tr -s '\n' ' ')" = "one two three " ]
check "… the log says it once" log_count "through this process, and not directly: " 1
kill -TERM "$DAEMON"
umount -l "$MNT"
check "… the daemon ends" daemon_status
check_clean_store
finish
