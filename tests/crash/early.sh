#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# A system call of the daemon fails once while it compresses a file that is still being written (the shim,
# loaded with LD_PRELOAD), or it is killed then: what the writer has written is there, in the mount, in the
# next one, and to gzip. Nobody is told of a fault that only what was made early has met: that is dropped.
#
# 18 faults, drawn from SEED; POINTS says how many.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/../mount/lib.sh"

# Here someone waits for the threads of low priority, and beside other tests that would be long.
renice -n -15 -p $$ >/dev/null 2>&1 || echo "# without the right to renice: this takes longer"

SEED=${SEED:-$(($(date +%s) % 100000))}
POINTS=${POINTS:-18}
RANDOM=$SEED
BYTES=$((66 << 20))
SHIM=$BUILD/tests/crash/libshim.so
MODES=(EIO lost ENOSPC short EMFILE kill)
declare -A TOTALS
INJECTED=0
VIOLATIONS=0
TRIED=0
PRELOAD=$(ldd "$NOTEPACKFS" | awk '/lib[at]san/ { print $3 ":" }')$SHIM
echo "# SEED=$SEED"

violation() {
	VIOLATIONS=$((VIOLATIONS + 1))
	echo "# violation: $POINT: $*"
	sed 's/^/#   /' "$LOG" | tail -n 20
}

mount_with() {
	env LD_PRELOAD="$PRELOAD" FI_MODE="$1" FI_AT="$2" FI_LOG="$WORK/shim.log" \
		"$NOTEPACKFS" "$STORE" "$MNT" -f -o grace=0.05,level=1,threads=2 >>"$LOG" 2>&1 &
	DAEMON=$!
	wait_for 20 mounted_or_ended
}

mounted_or_ended() {
	mounted || has_ended "$DAEMON"
}

# The job is near the end of what is written, or has come to its own.
job_is_through() {
	local bytes
	bytes=$(sed -E 's/.*"early":\{"files":([0-9]+),"bytes":([0-9]+).*/\1 \2/' "$MNT/.notepackfs/status") || return 0
	[ "${bytes% *}" -eq 0 ] || [ "${bytes#* }" -ge $((BYTES - (6 << 20))) ]
}

# The writer may be told of an error: then nothing is promised.
write_file() {
	{ cat "$WORK/data" && wait_for 20 job_is_through; } >"$MNT/a" 2>>"$LOG"
}

end_daemon() {
	mounted && { timeout 60 "$NOTEPACKCTL" umount "$MNT" >>"$LOG" 2>&1 || :; }
	if ! has_ended "$DAEMON"; then
		mounted || wait_for 20 has_ended "$DAEMON" || kill -KILL "$DAEMON"
	fi
	if ! has_ended "$DAEMON"; then
		kill -TERM "$DAEMON"
		wait_for 60 has_ended "$DAEMON" || violation "it does not end"
	fi
	daemon_status || :
	[ -z "$(dead_mount)" ] || umount -l "$MNT"
}

point() {
	local written=
	POINT="$1 at call $2"
	TRIED=$((TRIED + 1))
	rm -rf "$STORE"
	mkdir "$STORE"
	: >"$WORK/shim.log"
	mount_with "$1" "$2"
	if mounted && write_file; then
		written=1
		[ "$1" = kill ] || "$NOTEPACKCTL" wait "$MNT" >>"$LOG" 2>&1 || :
	fi
	end_daemon
	! grep -q '^injected' "$WORK/shim.log" || INJECTED=$((INJECTED + 1))
	[ -n "$written" ] || return 0
	"$NOTEPACKFS" "$STORE" "$MNT" -f -o grace=0.05,level=1,threads=2 >>"$LOG" 2>&1 &
	DAEMON=$!
	wait_for 20 mounted || { violation "the next mount does not start"; return; }
	"$NOTEPACKCTL" wait "$MNT" >>"$LOG" 2>&1 || violation "the next mount cannot seal it"
	cmp -s "$WORK/data" "$MNT/a" || violation "its bytes are not there"
	zcat "$MNT/a.notepack.gz" 2>/dev/null | cmp -s - "$WORK/data" || violation "nor in the object"
	end_daemon
	"$NOTEPACKCTL" check --deep "$STORE" >>"$LOG" 2>&1 || violation "the store is not sound"
	[ -z "$(find "$STORE/.notepackfs/tmp" -type f)" ] || violation "a temporary is left"
}

# How many calls there are, once for each mode.
measure() {
	[ -z "${TOTALS[$1]:-}" ] || return
	point "$1" 0
	TOTALS[$1]=$(sed -n 's/^total //p' "$WORK/shim.log" | sort -n | tail -n 1)
	[ "${TOTALS[$1]:-0}" -gt 50 ] || violation "the shim counts ${TOTALS[$1]:-no} calls"
}

# Not of the first 30, before the mount: those are faulty.sh's.
point_of_shim() {
	local mode=${MODES[$((INJECTED % ${#MODES[@]}))]}
	measure "$mode"
	point "$mode" $((30 + (RANDOM * 32768 + RANDOM) % (TOTALS[$mode] - 30)))
}

# The same lines again and again: quick to compress.
yes "$(seq 2000)" | head -c "$BYTES" >"$WORK/data"
while [ "$INJECTED" -lt "$POINTS" ] && [ "$TRIED" -lt $((POINTS * 2)) ] && [ "$VIOLATIONS" -lt 3 ]; do
	point_of_shim
done
echo "# injected: $INJECTED"
echo "# violations: $VIOLATIONS"
check "at least $POINTS faults were met, of $TRIED" [ "$INJECTED" -ge "$POINTS" ]
check "… and no promise was broken" [ "$VIOLATIONS" -eq 0 ]
finish
