#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# kill -9 of the daemon while it writes, seals, commits and drains, at random instants: the next
# mount has every byte that write() accepted (FAULTS: I1, I2, I6; L7, L20, L21).
#
# Daemons are killed several times in a row, in each of their states, before anyone looks. In every
# other round a program that has a raw file open outlives them, and goes on writing while the next
# ones start, recover, seal, drain and are killed (DESIGN 7).
#
# The instants are counted in what the writer or the daemon has got done, and drawn from SEED. 100
# kills; 1,000 with --long, or NOTEPACKFS_LONG; POINTS says how many.
. "$(dirname "$0")/../mount/lib.sh"

[ "${1:-}" = --long ] && NOTEPACKFS_LONG=1
SEED=${SEED:-$(($(date +%s) % 100000))}
POINTS=${POINTS:-$([ -n "${NOTEPACKFS_LONG:-}" ] && echo 1000 || echo 100)}
STORE_KILLS=100 # then a new store: all that was promised is read each time
RANDOM=$SEED
WRITER=$BUILD/tests/crash/crashwriter
RECORD=$WORK/record
OPTIONS=grace=0.02,cut_size=0
PID=
OUTLIVES=
KILLS=0
OUTLIVED=0
STUCK=0
BROKEN=0
ROUND=0
WRITERS=0
: >"$RECORD"
echo "# SEED=$SEED"

cleanup_more() {
	[ -z "$PID" ] || kill "$PID" 2>/dev/null
	[ -z "$OUTLIVES" ] || kill "$OUTLIVES" 2>/dev/null
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
	WRITERS=$((WRITERS + 1))
	"$WRITER" write "$MNT" "$RECORD" "$SEED" "$WRITERS" &
	PID=$!
}

has_begun() {
	grep -q "^size $1 " "$RECORD" || ! kill -0 "$OUTLIVES"
}

start_outliving() {
	"$WRITER" outlive "$MNT" "$STORE" "$RECORD" $((100 + ROUND)) &
	OUTLIVES=$!
	wait_for 20 has_begun $((100 + ROUND)) || BROKEN=$((BROKEN + 1))
}

# It must still be there, and have had no error.
end_outliving() {
	local status=0
	[ -n "$OUTLIVES" ] || return
	kill -TERM "$OUTLIVES" || BROKEN=$((BROKEN + 1))
	wait "$OUTLIVES" || status=$?
	OUTLIVES=
	[ "$status" -eq 0 ] || BROKEN=$((BROKEN + 1))
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
	if [ "$status" -eq 137 ]; then
		KILLS=$((KILLS + 1))
		[ -z "$OUTLIVES" ] || OUTLIVED=$((OUTLIVED + 1))
	fi
	DAEMON=
}

# The process that mounts for the daemon outlives it, and may mount yet.
mounter_gone() {
	local cmdline
	while read -r cmdline; do
		! [ "${cmdline%cmdline}exe" -ef "$NOTEPACKFS" ] || return 1
	done < <(grep -lzxF -- "$STORE" /proc/[0-9]*/cmdline 2>/dev/null)
}

clear_mount() {
	wait_for 20 mounter_gone || BROKEN=$((BROKEN + 1))
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
		pause 0.0"$((RANDOM % 10))"
	done
	kill_daemon
}

# Killed while it recovers from the kill before.
die_while_recovering() {
	"$NOTEPACKFS" "$STORE" "$MNT" -f -o "$OPTIONS" >>"$LOG" 2>&1 &
	DAEMON=$!
	pause 0.0"$((RANDOM % 6))"
	kill_daemon
}

verify() {
	"$NOTEPACKCTL" wait "$MNT" >>"$LOG" 2>&1 || {
		echo "# round $1: not all can be sealed"
		return 1
	}
	"$WRITER" verify "$MNT" "$RECORD" >"$WORK/verdict" || {
		sed "s/^/# round $1: /" "$WORK/verdict"
		return 1
	}
}

# A daemon that a writer uses, killed at this moment.
run() {
	start "$OPTIONS"
	start_writer
	"$@"
	clear_mount
}

# Two with a program that outlives them, two without.
play_round() {
	ROUND=$((ROUND + 1))
	start "$OPTIONS"
	[ $((ROUND % 2)) -eq 0 ] || start_outliving
	start_writer
	die_while_writing
	clear_mount
	die_while_recovering
	clear_mount
	case $((ROUND % 4)) in
	0 | 1)
		run die_while_sealing
		run die_while_writing
		;;
	2 | 3)
		run die_while_draining
		die_while_recovering
		clear_mount
		;;
	esac
	end_outliving
}

# look NAME [ARGUMENT…]: mount once more; has it all? Stopped, or killed, too.
look() {
	start "$OPTIONS"
	verify "$ROUND" || BROKEN=$((BROKEN + 1))
	if [ "$BROKEN" -gt 0 ] || [ $((ROUND % 3)) -eq 0 ]; then
		stop "round $ROUND"
	else
		kill_daemon
		clear_mount
	fi
}

# What is asked of a store at the end of its life.
end_store() {
	start "$OPTIONS"
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
}

want=0
while [ "$KILLS" -lt "$POINTS" ] && [ $((BROKEN + FAILED)) -eq 0 ]; do
	rm -rf "$STORE"
	mkdir "$STORE"
	: >"$RECORD"
	want=$((want + STORE_KILLS < POINTS ? want + STORE_KILLS : POINTS))
	while [ "$KILLS" -lt "$want" ] && [ "$BROKEN" -eq 0 ]; do
		play_round
		look
	done
	tail -n 1 "$WORK/verdict"
	end_store
done
echo "# $KILLS kills; $OUTLIVED of them were outlived by a writer; after $STUCK the connection had to be aborted"
echo "# injected: $KILLS"
echo "# violations: $((BROKEN + FAILED))"
check "every byte that write() accepted is there after each of $ROUND rounds" [ "$BROKEN" -eq 0 ]
check "the daemon was killed at least $POINTS times" [ "$KILLS" -ge "$POINTS" ]
check "a third of the kills were outlived by a writer" [ $((OUTLIVED * 3)) -ge "$KILLS" ]
finish
