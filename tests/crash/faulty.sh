#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The daemon as it is, mounted, with one thing wrong: a system call of its fails once (the shim, loaded with
# LD_PRELOAD), it may open few descriptors (RLIMIT_NOFILE), or write no large file (RLIMIT_FSIZE: SIGXFSZ
# must not kill it). It lives, and ends when it is told to; who writes is told of errors; and the next
# mount, without the fault, has every byte that write() accepted (FAULTS: I1, I2, I5, I7, I9).
#
# 20 faults; 200 with --long, or NOTEPACKFS_LONG; POINTS says how many. Drawn from SEED. A fault counts if
# it was met: if the shim says so, or the daemon or the writer was refused for the limit.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/../mount/lib.sh"

[ "${1:-}" = --long ] && NOTEPACKFS_LONG=1
SEED=${SEED:-$(($(date +%s) % 100000))}
POINTS=${POINTS:-$([ -n "${NOTEPACKFS_LONG:-}" ] && echo 200 || echo 20)}
RANDOM=$SEED
WRITER=$BUILD/tests/crash/crashwriter
RECORD=$WORK/record
OPTIONS=grace=0.02,cut_size=0
SHIM=$BUILD/tests/crash/libshim.so
MODES=(EIO lost ENOSPC EINTR short EMFILE)
declare -A TOTALS
INJECTED=0
VIOLATIONS=0
TRIED=0
PID=
# A sanitizer's runtime wants to be the first.
PRELOAD=$(ldd "$NOTEPACKFS" | awk '/lib[at]san/ { print $3 ":" }')$SHIM
echo "# SEED=$SEED"

cleanup_more() {
	[ -z "$PID" ] || kill "$PID" 2>/dev/null
}

violation() {
	VIOLATIONS=$((VIOLATIONS + 1))
	echo "# violation: $POINT: $*"
	sed 's/^/#   /' "$WORK/point.log" | tail -n 20
}

# launch COMMAND…: the daemon under this, until it is usable, or has ended. Its log goes through a pipe,
# since a limit of files is one of the log, too.
launch() {
	"$@" "$NOTEPACKFS" "$STORE" "$MNT" -f -o "$OPTIONS" > >(cat >>"$WORK/point.log") 2>&1 &
	DAEMON=$!
	wait_for 30 mounted_or_ended || violation "neither mounted nor ended"
}

ended() {
	has_ended "$DAEMON" 2>/dev/null
}

mounted_or_ended() {
	mounted || ended
}

lines() {
	wc -l <"$RECORD"
}

has_lines() {
	[ "$(lines)" -ge "$1" ] || ! kill -0 "$PID"
}

# try_writing ROUND: until it is told of an error, or has written enough
try_writing() {
	local status=0
	"$WRITER" try "$MNT" "$RECORD" "$SEED" "$1" >>"$WORK/point.log" &
	PID=$!
	wait_for 30 has_lines $(($(lines) + 150)) || violation "the writer does not get on"
	kill -TERM "$PID" 2>/dev/null
	wait "$PID" || status=$?
	PID=
	[ "$status" -eq 0 ] || violation "the writer ended with $status"
}

# By itself, in time, with a status of its own.
end_daemon() {
	local ctl=0 status=0
	mounted && { timeout 60 "$NOTEPACKCTL" umount "$MNT" >>"$WORK/point.log" 2>&1 || ctl=$?; }
	[ "$ctl" -ne 124 ] || violation "the unmount hangs"
	ended || mounted || wait_for 20 ended || violation "it does not end"
	if mounted; then # it was not told: the fault was the unmount's
		kill -TERM "$DAEMON"
		wait_for 60 ended || { violation "it does not end"; kill -KILL "$DAEMON"; }
	fi
	daemon_status || status=$?
	[ -z "$(dead_mount)" ] || umount -l "$MNT"
	case $status in
	0 | 1 | 4 | 5) ;;
	*) violation "the daemon ended with $status" ;;
	esac
	STATUS=$status
}

# What it has left, without the fault.
look() {
	if [ "$STATUS" -eq 0 ] && [ -e "$STORE/.notepackfs" ]; then
		"$NOTEPACKCTL" check --deep "$STORE" >>"$WORK/point.log" 2>&1 ||
			violation "it ended with 0, and the store is not sound"
	fi
	launch env
	mounted || { violation "the next mount does not start"; return; }
	"$NOTEPACKCTL" wait "$MNT" >>"$WORK/point.log" 2>&1 || violation "the next mount cannot seal it"
	check_promises
	end_daemon
	[ "$STATUS" -eq 0 ] || violation "the next mount ends with $STATUS"
	"$NOTEPACKCTL" check --deep "$STORE" >>"$WORK/point.log" 2>&1 || violation "the store is not sound"
}

# Where nothing could be written there is none.
check_promises() {
	local said
	[ -s "$RECORD" ] || return 0
	said=$("$WRITER" verify "$MNT" "$RECORD")
	echo "$said" >>"$WORK/point.log"
	grep -q ' 0 promises broken$' <<<"$said" || violation "promises broken"
}

was_met() {
	grep -qE "$1" "$WORK/point.log" "$WORK/shim.log"
}

# point NAME SIGN COMMAND…: what shows that the fault was met; what the daemon is started by
point() {
	local sign=$2
	POINT=$1
	shift 2
	TRIED=$((TRIED + 1))
	rm -rf "$STORE"
	mkdir "$STORE"
	: >"$RECORD"
	: >"$WORK/shim.log"
	: >"$WORK/point.log"
	launch "$@"
	if mounted; then
		try_writing 1
		try_writing 2
	fi
	end_daemon
	! was_met "$sign" || INJECTED=$((INJECTED + 1))
	look
}

shimmed() {
	echo env "LD_PRELOAD=$PRELOAD" "FI_MODE=$1" "FI_AT=$2" "FI_LOG=$WORK/shim.log"
}

# How many calls there are, once for each mode.
measure() {
	local mode=$1
	[ -z "${TOTALS[$mode]:-}" ] || return
	# shellcheck disable=SC2046 # words
	point "$mode, counted" never $(shimmed "$mode" 0)
	TOTALS[$mode]=$(sed -n 's/^total //p' "$WORK/shim.log" | sort -n | tail -n 1)
	[ "${TOTALS[$mode]:-0}" -gt 50 ] || violation "the shim counts ${TOTALS[$mode]:-no} calls"
}

point_of_shim() {
	local mode=${MODES[$((RANDOM % ${#MODES[@]}))]} at
	measure "$mode"
	at=$((1 + (RANDOM * 32768 + RANDOM) % (TOTALS[$mode] + 1)))
	# shellcheck disable=SC2046 # words
	point "$mode at call $at" '^injected' $(shimmed "$mode" "$at")
}

# A daemon with two threads needs some 20 descriptors for itself.
point_of_descriptors() {
	local n=$((8 + RANDOM % 22))
	point "$n descriptors" 'Too many open files' prlimit "--nofile=$n:$n"
}

point_of_sizes() {
	local bytes=$((1024 << RANDOM % 6))
	point "files of $bytes bytes" 'File too large' prlimit "--fsize=$bytes:$bytes"
}

while [ "$INJECTED" -lt "$POINTS" ] && [ "$TRIED" -lt $((POINTS * 2 + 20)) ] && [ "$VIOLATIONS" -lt 5 ]; do
	case $((TRIED % 5)) in
	0) point_of_descriptors ;;
	1) point_of_sizes ;;
	*) point_of_shim ;;
	esac
done
echo "# injected: $INJECTED"
echo "# violations: $VIOLATIONS"
check "at least $POINTS faults were met by a mounted daemon, of $TRIED" [ "$INJECTED" -ge "$POINTS" ]
check "… and no promise was broken" [ "$VIOLATIONS" -eq 0 ]
finish
