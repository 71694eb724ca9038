#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Someone who may write to the store puts links, FIFOs, sockets, devices and other files where
# directories, objects, raw files and the private files should be: while it is mounted, and before the
# start after a crash; or exchanges the two again and again while it is used. Nothing outside the store is
# touched (I10), nothing hangs, nothing crashes (I9).
#
# security.sh [--long]: all of it, in an order drawn from SEED; POINTS ends it sooner. With --long, or
# NOTEPACKFS_LONG, 500 attacks, most of them exchanges.
# shellcheck disable=SC2317 # functions that check and wait_for call
. "$(dirname "$0")/lib.sh"

[ "$(id -u)" = 0 ] || { skip "all of it" "only root makes devices and gives files away"; finish; }

[ "${1:-}" = --long ] && NOTEPACKFS_LONG=1
SEED=${SEED:-$(($(date +%s) % 100000))}
USER_ID=61000
OUTSIDE=$WORK/outside
TEMPLATE=$WORK/template
INJECTED=0
EXCHANGER=
echo "# SEED=$SEED"
chmod 755 "$WORK"
# Where the user can read it, wherever the sources are.
install -m 644 "$(dirname "$0")/security_use.py" "$WORK/use.py"

as_user() {
	setpriv --reuid=$USER_ID --regid=$USER_ID --clear-groups "$@"
}

# What lies outside, with all that could be done to it.
fingerprint() {
	find "$OUTSIDE" -printf '%P %y %m %U %G %s %T@ %l\n' | sort
	find "$OUTSIDE" -type f -exec sha256sum {} + | sort
	getfattr -R -d -m - --absolute-names "$OUTSIDE" 2>/dev/null
}

# A store that a crash has left: sealed and active files, in the root and in a directory, the user's.
make_template() {
	start allow_other,grace=1h
	mkdir "$MNT/d"
	chown $USER_ID:$USER_ID "$MNT/d" "$MNT"
	as_user sh -c "seq 2000 >'$MNT/d/obj'; echo top >'$MNT/obj'"
	"$BUILD/tests/mount/makedata" file text $((4 << 20)) 1 | gzip -c >"$WORK/import.gz"
	as_user sh -c "cat >'$MNT/d/imported.notepack.gz'" <"$WORK/import.gz"
	"$NOTEPACKCTL" seal "$MNT"
	tail -c 1000 "$MNT/d/imported" >/dev/null
	as_user sh -c "seq 100 >'$MNT/d/raw'; echo raw >'$MNT/raw'; ln -s raw '$MNT/d/link'"
	crash
	rm -rf "$TEMPLATE"
	cp -a "$STORE" "$TEMPLATE"
}

make_outside() {
	rm -rf "$OUTSIDE"
	mkdir -p "$OUTSIDE/dir/tmp" "$OUTSIDE/dir/chunks"
	echo secret >"$OUTSIDE/file"
	chmod 600 "$OUTSIDE/file"
	for name in raw obj obj.notepack.gz manifest probe log; do
		echo "other $name" >"$OUTSIDE/dir/$name"
	done
	cp "$TEMPLATE/d/obj.notepack.gz" "$OUTSIDE/dir/object"
	chown -R root:root "$OUTSIDE"
	chmod 600 "$OUTSIDE/dir/object"
}

# replace PATH KIND: what lies there goes aside, and something of this kind comes into its place
replace() {
	local path=$STORE/$1
	rm -rf "$WORK/aside"
	mv "$path" "$WORK/aside"
	case $2 in
	link-to-file) ln -s "$OUTSIDE/file" "$path" ;;
	link-to-dir) ln -s "$OUTSIDE/dir" "$path" ;;
	link-up) ln -s "$(realpath --relative-to="$(dirname "$path")" "$OUTSIDE")/dir" "$path" ;;
	link-to-root) ln -s / "$path" ;;
	link-to-itself) ln -s "$(basename "$path")" "$path" ;;
	fifo) mkfifo -m 666 "$path" ;;
	socket) python3 -c 'import os, socket, sys
os.chdir(os.path.dirname(sys.argv[1]))
socket.socket(socket.AF_UNIX).bind(os.path.basename(sys.argv[1]))' "$path" ;;
	device) mknod -m 666 "$path" c 1 5 ;;
	hard-link) ln "$OUTSIDE/file" "$path" ;;
	hard-link-to-object) ln "$OUTSIDE/dir/object" "$path" ;;
	directory) mkdir -m 777 "$path" ;;
	esac
	INJECTED=$((INJECTED + 1))
}

# In the place of $STORE/$1 are, by turns, what replace has put there and what it has put aside.
start_exchanging() {
	python3 -c 'import ctypes, sys, time
libc = ctypes.CDLL(None, use_errno=True)
a, b = (p.encode() for p in sys.argv[1:])
done = 0
while True:
    if libc.renameat2(-100, a, -100, b, 2) != 0 and done == 0:
        sys.exit("renameat2: errno %d" % ctypes.get_errno())
    done += 1
    time.sleep(0.00002) # a lock of the directory is not to be had otherwise
    if done == 1000:
        print("exchanging", flush=True)' "$STORE/$1" "$WORK/aside" >"$WORK/exchanging" &
	EXCHANGER=$!
}

stop_exchanging() {
	kill "$EXCHANGER"
	wait "$EXCHANGER" 2>/dev/null
	EXCHANGER=
}

cleanup_more() {
	[ -z "$EXCHANGER" ] || kill "$EXCHANGER"
}

# use SECONDS: everything a user can do with the names (security_use.py). The system's python3: that
# of root may be where the user cannot look.
use() {
	as_user /usr/bin/python3 "$WORK/use.py" "$MNT" "$NOTEPACKCTL" "$1"
}

up_or_ended() {
	mounted || has_ended "$DAEMON"
}

begin() {
	rm -rf "$STORE"
	cp -a "$TEMPLATE" "$STORE"
	make_outside
	fingerprint >"$WORK/before"
}

launch() {
	"$NOTEPACKFS" "$STORE" "$MNT" -f -o allow_other,grace=1h,threads=2 >>"$LOG" 2>&1 &
	DAEMON=$!
	wait_for 20 up_or_ended
}

# The end of an attack: the daemon stops in time, of its own accord, and nothing else has changed.
judge() {
	local name=$1 hangs=$2 status=0
	mounted && { timeout 30 "$NOTEPACKCTL" umount "$MNT" >>"$LOG" 2>&1 || kill -TERM "$DAEMON" 2>/dev/null; }
	wait_for 30 has_ended "$DAEMON" || hangs=1
	has_ended "$DAEMON" || kill -KILL "$DAEMON"
	daemon_status || status=$?
	dead_mount >/dev/null && umount -l "$MNT"
	fingerprint >"$WORK/after"
	if ! cmp -s "$WORK/before" "$WORK/after"; then
		diff "$WORK/before" "$WORK/after" | sed 's/^/# /'
		fail "$name: nothing outside is touched"
	elif [ "$hangs" != 0 ] || [ "$status" -ge 6 ]; then
		fail "$name: nothing hangs (security_use.py: $hangs), nothing crashes (status $status)"
	else
		ok "$name: status $status"
	fi
}

# In the store while it is mounted and in use …
live_attack() {
	begin
	launch
	ls -lR "$MNT" >/dev/null
	replace "$1" "$2"
	local hangs=0
	use 0.3 || hangs=$?
	judge "mounted: $1 becomes a $2" "$hangs"
}

# … and before a start.
offline_attack() {
	begin
	replace "$1" "$2"
	launch
	local hangs=0
	if mounted; then use 0.3 || hangs=$?; fi
	judge "before the start: $1 becomes a $2" "$hangs"
}

# Both, whichever a system call meets.
exchange_attack() {
	begin
	launch
	ls -lR "$MNT" >/dev/null
	replace "$1" "$2"
	start_exchanging "$1"
	wait_for 20 grep -q exchanging "$WORK/exchanging" || fail "$1 and a $2 are exchanged"
	local hangs=0
	use 0.2 || hangs=$?
	stop_exchanging
	judge "mounted and in use: $1 is a $2, and is not, again and again" "$hangs"
}

add_attacks() {
	local attack=$1 kind dir file index
	for kind in link-to-dir link-up link-to-root link-to-itself fifo; do
		echo "$attack" d $kind
	done
	for kind in link-to-file link-up link-to-itself fifo socket device hard-link hard-link-to-object directory; do
		echo "$attack" d/obj.notepack.gz $kind
	done
	for kind in link-to-file link-to-dir fifo socket device hard-link directory; do
		echo "$attack" d/raw $kind
	done
	for kind in hard-link fifo; do echo "$attack" d/link $kind; done
	echo "$attack" .notepackfs link-to-dir
	echo "$attack" .notepackfs link-up
	for dir in tmp chunks import index quarantine; do
		echo "$attack" .notepackfs/$dir link-to-dir
	done
	echo "$attack" .notepackfs/tmp fifo
	for file in manifest log lock last_stop; do
		[ -e "$TEMPLATE/.notepackfs/$file" ] || continue
		for kind in link-to-file fifo; do echo "$attack" .notepackfs/$file $kind; done
	done
	index=$(find "$TEMPLATE/.notepackfs/index" -type f -printf '%f\n' -quit)
	for kind in link-to-file fifo hard-link; do echo "$attack" ".notepackfs/index/$index" $kind; done
}

# One a line: the attack, the path, the kind.
all_attacks() {
	add_attacks live_attack
	add_attacks offline_attack
	if [ -z "${NOTEPACKFS_LONG:-}" ]; then
		echo exchange_attack d link-to-dir
		echo exchange_attack d/obj.notepack.gz link-to-file
		echo exchange_attack d/raw link-to-file
		echo exchange_attack .notepackfs/tmp link-to-dir
	else
		for _ in {1..11}; do add_attacks exchange_attack; done
	fi
}

make_template
mapfile -t ATTACKS < <(all_attacks | shuf --random-source=<(yes "$SEED"))
WANTED=${POINTS:-$([ -n "${NOTEPACKFS_LONG:-}" ] && echo 500 || echo ${#ATTACKS[@]})}
for attack in "${ATTACKS[@]:0:WANTED}"; do
	# shellcheck disable=SC2086 # three words
	$attack
done
echo "# injected: $INJECTED"
echo "# violations: $FAILED"
check "there were at least 50 attacks" [ $INJECTED -ge $((WANTED < 50 ? WANTED : 50)) ]
check "there were as many as there should be" [ $INJECTED -eq "$WANTED" ]
finish
