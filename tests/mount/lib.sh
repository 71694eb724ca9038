# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# lib.sh: what every mount test needs. Source it; it makes a directory of the test's own, and
# leaves nothing mounted and no process behind, whatever happens.
#
#	start [OPTIONS]		mount $STORE on $MNT in the foreground, options for -o; waits until usable
#	stop			notepackctl umount; checks exit 0 of both it and the daemon
#	has_codec CODEC		is it in this build?
#	status_says REGEX	has the mount's status a line with it?
#	noise BYTES SEED	what does not compress, the same for the same seed
#	freeze, thaw		the daemon stands still, every thread of it; and goes on
#	start_daemon, crash	as it says: crash is SIGKILL and the removal of the dead mount
#	ok NAME / fail NAME	one TAP line each;  check NAME COMMAND… does either
#	quietly COMMAND…	without its output
#	skip NAME REASON	printed and counted by TAP
#	rsync_has_nothing ARGUMENT…	rsync -i… with these succeeds and transfers nothing
#	wait_for SECONDS COMMAND…	until the command succeeds: a condition, never a plain sleep
#	sealed PATH		the object of a plain name is listed (PATH as the writer wrote it)
#	finish			the plan, and the status; the last line of a test
#
# BUILD is the build directory. Under a sanitizer its reports go to $WORK/report.* and any report fails.

set -u
# Of the environment what tests see: messages, times, modes. su(1) without - leaves root the PATH of a user.
unset LANGUAGE
export LC_ALL=C.UTF-8 TZ=UTC PATH=$PATH:/usr/sbin:/sbin
umask 022
: "${BUILD:?the build directory}"
NOTEPACKFS=$BUILD/mount/notepackfs
NOTEPACKCTL=$BUILD/mount/notepackctl
TEST_NAME=$(basename "$0" .sh)
WORK=$(mktemp -d "${TMPDIR:-/tmp}/notepackfs-$TEST_NAME.XXXXXX")
STORE=$WORK/store
MNT=$WORK/mnt
LOG=$WORK/daemon.log
DAEMON=
TESTS=0
FAILED=0
mkdir "$STORE" "$MNT"
export ASAN_OPTIONS="log_path=$WORK/report:detect_leaks=1:${ASAN_OPTIONS:-}"
export UBSAN_OPTIONS="log_path=$WORK/report:print_stacktrace=1:${UBSAN_OPTIONS:-}"
export TSAN_OPTIONS="log_path=$WORK/report:${TSAN_OPTIONS:-}"

cleanup() {
	local status=$?
	trap - EXIT INT TERM
	if mountpoint -q "$MNT" 2>/dev/null || [ -n "$(dead_mount)" ]; then
		umount -l "$MNT" 2>/dev/null
	fi
	if [ -n "$DAEMON" ] && kill -0 "$DAEMON" 2>/dev/null; then
		kill -KILL "$DAEMON"
		wait "$DAEMON" 2>/dev/null
	fi
	if declare -F cleanup_more >/dev/null; then
		cleanup_more
	fi
	if [ "$status" -eq 0 ] && [ "${KEEP:-0}" = 0 ]; then
		rm -rf "$WORK"
	else
		echo "# left for inspection: $WORK"
	fi
	exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

dead_mount() {
	grep -F " $MNT " /proc/self/mountinfo
}

ok() {
	TESTS=$((TESTS + 1))
	echo "ok $TESTS - $*"
}

fail() {
	TESTS=$((TESTS + 1))
	FAILED=$((FAILED + 1))
	echo "not ok $TESTS - $*"
}

skip() {
	TESTS=$((TESTS + 1))
	echo "ok $TESTS - $1 # SKIP $2"
}

check() {
	local name=$1
	shift
	if "$@"; then
		ok "$name"
	else
		echo "# failed: $*"
		fail "$name"
	fi
}

# For check, whose own line a redirection would swallow.
quietly() {
	"$@" >"$WORK/quiet" 2>&1
}

# Fail unless the command is refused with this errno name (as strerror(3) says it).
check_refused() {
	local name=$1 message=$2 output
	shift 2
	if output=$("$@" 2>&1); then
		echo "# was not refused: $*"
		fail "$name"
	elif [[ $output == *"$message"* ]]; then
		ok "$name"
	else
		echo "# said: $output"
		fail "$name"
	fi
}

# rsync succeeds, and has nothing to say: it transfers nothing.
rsync_has_nothing() {
	local out
	out=$(rsync "$@") && [ -z "$out" ]
}

# A pipe that no one writes to. (One for each pause would be a process for each: where their numbers come
# round soon, bash 5.2 takes a new child for an old one, and waits for ever.)
exec {PAUSE}<> <(:)

pause() {
	read -r -t "$1" -u "$PAUSE" || :
}

wait_for() {
	local deadline=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		if [ "$SECONDS" -gt "$deadline" ]; then
			echo "# waited in vain for: $*"
			return 1
		fi
		pause 0.02
	done
}

mounted() {
	grep -F " $MNT " /proc/self/mountinfo | grep -q fuse.notepackfs && [ -e "$MNT/.notepackfs/status" ]
}

# start [OPTIONS]: OPTIONS is the argument of -o
start() {
	local options=()
	[ $# -gt 0 ] && [ -n "$1" ] && options=(-o "$1")
	"$NOTEPACKFS" "$STORE" "$MNT" -f "${options[@]}" >>"$LOG" 2>&1 &
	DAEMON=$!
	if ! wait_for 20 mounted; then
		echo "# the mount did not come up:"
		sed 's/^/# /' "$LOG"
		exit 1
	fi
}

# The exit status of the daemon, once it has ended.
daemon_status() {
	local status=0
	wait "$DAEMON" || status=$?
	DAEMON=
	return "$status"
}

stop() {
	local ctl=0 daemon=0
	"$NOTEPACKCTL" umount "$MNT" >>"$LOG" 2>&1 || ctl=$?
	daemon_status || daemon=$?
	check "unmounts and flushes with exit 0 (${1:-stop})" [ "$ctl $daemon" = "0 0" ]
}

# No process, or a zombie with no thread left.
has_ended() {
	local threads
	threads=$(find "/proc/$1/task" -mindepth 1 -maxdepth 1 2>/dev/null | wc -l)
	[ "$threads" -eq 0 ] || { [ "$threads" -eq 1 ] && grep -q '^State:.Z' "/proc/$1/status"; }
}

# Only builtins: a process that ends would close what it has open, and that may wait for the daemon.
stands_still() {
	local task line
	for task in "/proc/$DAEMON/task"/*; do
		read -r line 2>"$WORK/gone" <"$task/stat" || return 1
		[[ $line == *") T "* ]] || return 1
	done
}

freeze() {
	kill -STOP "$DAEMON"
	wait_for 20 stands_still
}

thaw() {
	kill -CONT "$DAEMON"
}

crash() {
	kill -KILL "$DAEMON"
	# A thread that was telling the kernel of a name may wait for a request that no one will
	# answer: the kernel then lets go of the process only when the connection is aborted.
	wait_for 5 has_ended "$DAEMON" || umount -f "$MNT"
	wait "$DAEMON" 2>/dev/null
	DAEMON=
	umount "$MNT" 2>/dev/null || umount -l "$MNT"
}

status_says() {
	grep -q "$1" "$MNT/.notepackfs/status"
}

# noise BYTES SEED: does not compress
noise() {
	openssl enc -aes-128-ctr -nosalt -K "$(printf %032x "$2")" -iv 0 -in /dev/zero 2>/dev/null |
		head -c "$1"
}

has_codec() {
	"$NOTEPACKFS" --version | grep -qE "codecs( [a-z]+)* $1[ )]"
}

# The name of the first object of a plain path.
object_of() {
	local path=$1
	echo "${path%.notepack}.notepack.gz"
}

# The objects of a plain path that are listed, in the order of their parts.
parts_of() {
	local stem=${1%.notepack}
	find "$(dirname "$1")" -mindepth 1 -maxdepth 1 \( -path "$stem.notepack.gz" -o \
		-path "$stem.p?????????.notepack.gz" \) | LC_ALL=C sort
}

count_parts() {
	parts_of "$1" | wc -l
}

# parts_give PATH FILE: all parts, in order, are the bytes of the file.
parts_give() {
	parts_of "$1" | xargs zcat | cmp - "$2"
}

# parts_are_whole PATH lines|frames: no part has a torn one.
parts_are_whole() {
	local part
	for part in $(parts_of "$1"); do
		zcat "$part" | "$BUILD/tests/mount/fsyncwriter" whole "$2" || return 1
	done
}

listed() {
	find "$(dirname "$1")" -mindepth 1 -maxdepth 1 -printf '%f\n' | grep -qxF "$(basename "$1")"
}

sealed() {
	listed "$(object_of "$1")"
}

plain_gone() {
	! listed "$1"
}

# Nothing of the store's private machinery is left over, and there is no raw file in it.
check_clean_store() {
	local left
	left=$(find "$STORE/.notepackfs/tmp" -type f; find "$STORE/.notepackfs" -name '*.new.*')
	check "no temporary is left in the store" [ -z "$left" ]
	left=$(find "$STORE" -path "$STORE/.notepackfs" -prune -o -type f ! -name '*.notepack.gz' -size +0 -print)
	check "no raw file is left in the store" [ -z "$left" ]
}

finish() {
	local reports
	# LeakSanitizer says so of a thread that ends while it looks: that is no finding.
	reports=$(find "$WORK" -maxdepth 1 -name 'report.*' -exec cat {} + |
		grep -vE '^==[0-9]+==Unable to get registers from thread [0-9]+\.$')
	if [ -n "$reports" ]; then
		head -n 100 <<<"$reports" | sed 's/^/# /'
		fail "no sanitizer report"
	fi
	echo "1..$TESTS"
	if [ "$FAILED" -gt 0 ]; then
		echo "# the daemon's log:"
		tail -n 40 "$LOG" 2>/dev/null | sed 's/^/# /'
		exit 1
	fi
	exit 0
}
