#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# kill -9 of the daemon while it writes, seals, commits and drains, at random instants: the next
# mount has every byte that write() accepted (FAULTS: I1, I2, I6; L7, L20, L21).
#
# The instants are counted in what the writer or the daemon has got done, and drawn from SEED.
. "$(dirname "$0")/../mount/lib.sh"

SEED=${SEED:-$(($(date +%s) % 100000))}
ROUNDS=${ROUNDS:-36}
RANDOM=$SEED
WRITER=$BUILD/tests/crash/crashwriter
RECORD=$WORK/record
OPTIONS=grace=0.02,cut_size=0
PID=
KILLS=0
STUCK=0
BROKEN=0
: >"$RECORD"
echo "# SEED=$SEED ROUNDS=$ROUNDS"

cleanup_more() {
	[ -n "$PID" ] && kill "$PID" 2>/dev/null
}

lines() {
	wc -l <"$RECORD"
}

has_lines() {
	[ "$(lines)" -ge "$1" ] || ! kill -0 "$PID"
}

objects() {
	find "$STORE" -path "$STORE/.notepackfs" -prune -o -name '*.notepack.gz' -print | wc -l
}

# The store has changed behind this mark: objects, manifest, log or temporaries.
moved_on() {
	[ "$(objects)" -ge "$1" ] || ! kill -0 "$DAEMON"
}

draining() {
	[ -e "$STORE/.notepackfs/drain" ] || ! kill -0 "$DAEMON"
}

start_writer() {
	"$WRITER" write "$MNT" "$RECORD" "$SEED" "$1" &
	PID=$!
}

end_writer() {
	local status=0
	wait "$PID" || status=$?
	PID=
	[ "$status" -eq 0 ] || BROKEN=$((BROKEN + 1))
}

stop_writer() {
	kill -TERM "$PID" 2>/dev/null
	end_writer
}

# All its threads are gone.
ended() {
	[ ! -e "/proc/$DAEMON/task" ] || [ "$(cat /proc/"$DAEMON"/task/*/stat | grep -vc ') Z ')" = 0 ]
}

# A thread that tells the kernel of a name waits in it for the directory's lock; whoever has that
# may be waiting for the daemon: killed now, the daemon cannot end before the connection is
# aborted (umount -f, or /sys/fs/fuse/connections/N/abort). It happens about once in 30 kills.
# Counts only if the daemon was still there to be killed.
kill_daemon() {
	local status=0
	kill -KILL "$DAEMON" 2>/dev/null
	if ! wait_for 1 ended >/dev/null; then
		STUCK=$((STUCK + 1))
		"$WRITER" abort "$MNT"
	fi
	wait "$DAEMON" 2>/dev/null || status=$?
	[ "$status" -eq 137 ] && KILLS=$((KILLS + 1))
	DAEMON=
}

clear_mount() {
	if [ -n "$(dead_mount)" ]; then
		umount "$MNT" 2>/dev/null || umount -l "$MNT"
	fi
}

die_while_writing() {
	wait_for 60 has_lines $(($(lines) + RANDOM % 300)) || BROKEN=$((BROKEN + 1))
	kill_daemon
	end_writer
}

die_while_sealing() {
	local have
	wait_for 60 has_lines $(($(lines) + 100 + RANDOM % 200)) || BROKEN=$((BROKEN + 1))
	stop_writer
	have=$(objects)
	wait_for 2 moved_on $((have + RANDOM % 10)) >/dev/null
	kill_daemon
}

die_while_draining() {
	wait_for 60 has_lines $(($(lines) + 100 + RANDOM % 300)) || BROKEN=$((BROKEN + 1))
	stop_writer
	kill -TERM "$DAEMON"
	wait_for 20 draining
	for ((i = RANDOM % 3; i > 0; i--)); do
		read -r -t 0.0"$((RANDOM % 10))" <> <(:) || :
	done
	kill_daemon
}

# Killed while it recovers from the kill before.
die_while_recovering() {
	die_while_writing
	clear_mount
	"$NOTEPACKFS" "$STORE" "$MNT" -f -o "$OPTIONS" >>"$LOG" 2>&1 &
	DAEMON=$!
	read -r -t 0.0"$((RANDOM % 6))" <> <(:) || :
	kill_daemon
}

verify() {
	"$NOTEPACKCTL" wait "$MNT" >>"$LOG" 2>&1 || return 1
	"$WRITER" verify "$MNT" "$RECORD" >"$WORK/verdict" || {
		sed "s/^/# round $1: /" "$WORK/verdict"
		return 1
	}
}

round=0
while [ "$round" -lt "$ROUNDS" ]; do
	round=$((round + 1))
	start "$OPTIONS"
	start_writer "$round"
	case $((round % 4)) in
	0 | 2) die_while_writing ;;
	1) die_while_sealing ;;
	3) if [ $((round % 8)) -eq 3 ]; then die_while_draining; else die_while_recovering; fi ;;
	esac
	clear_mount
	start "$OPTIONS"
	verify "$round" || BROKEN=$((BROKEN + 1))
	[ "$BROKEN" -eq 0 ] || break
	if [ $((round % 2)) -eq 0 ]; then
		stop "round $round"
	else
		kill_daemon
		clear_mount
	fi
done
tail -n 1 "$WORK/verdict"
echo "# $KILLS kills; after $STUCK of them the connection had to be aborted"
check "every byte that write() accepted is there after each of $ROUNDS rounds" [ "$BROKEN" -eq 0 ]
check "the daemon was killed at least 30 times" [ "$KILLS" -ge $((ROUNDS < 30 ? 1 : 30)) ]

[ -n "$DAEMON" ] || start "$OPTIONS"
check "all is sealed at the end" "$NOTEPACKCTL" wait "$MNT"
check "all names verify in the mount" sh -c \
	"cd '$MNT' && sha256sum --quiet -c .notepackfs/sha256sums"
check "nothing had to be quarantined" [ -z "$(ls "$STORE/.notepackfs/quarantine")" ]
check "nothing had to be given another name" [ -z "$(find "$MNT" -name '*.recovered-*')" ]
stop "at the end"
check "each object is whole gzip" sh -c \
	"find '$STORE' -name '*.notepack.gz' -print0 | xargs -0 gzip -t"
check "notepackctl check --deep finds no problem" sh -c \
	"'$NOTEPACKCTL' check --deep '$STORE' >'$WORK/check' || { sed 's/^/# /' '$WORK/check'; exit 1; }"
check "no temporary is left in the store" [ -z "$(find "$STORE/.notepackfs/tmp" -type f)" ]
# A file that was just being created is empty, and one that was about to be renamed is excluded.
check "no raw file is left in the store, but for empty and excluded ones" [ -z "$(find "$STORE" \
	-path "$STORE/.notepackfs" -prune -o -type f ! -name '*.notepack.gz' ! -name '*.tmp' -size +0 \
	-print)" ]
start "$OPTIONS"
check "and a clean start has it all, too" verify last
stop "after a clean start"
finish
