#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# A store on a real GlusterFS volume: three replicas, from Debian's packages. There is no
# RENAME_NOREPLACE there and no O_TMPFILE, and a third of the volume dies and comes back.
#
# GlusterFS refuses 127.0.0.1, listens on fixed ports, and keeps its things in /run and /var. So all
# of this runs in namespaces of its own: addresses, directories, and processes, which end with it.
# shellcheck disable=SC2317 # functions that check and wait_for call
# shellcheck disable=SC2034 # namespaces.sh has it
NAMESPACES=--net
. "$(dirname "$0")/namespaces.sh"
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/states.sh"

VOLUME=$WORK/volume
GLUSTER=$WORK/gluster
WRITER=$BUILD/tests/crash/crashwriter
RECORD=$WORK/record
OPTIONS=grace=0.05,cut_size=0
WRITER_PID=
ADDRESSES=(10.76.0.1 10.76.0.2 10.76.0.3)

# Its processes, by the files that they leave their numbers in.
gluster_pids() {
	cat /run/glusterd.pid /run/gluster/shd/*/*.pid /run/gluster/vols/*/*.pid 2>/dev/null
}

none_runs() {
	local pid
	for pid in "$@"; do
		[ ! -e "/proc/$pid/exe" ] || return 1
	done
}

cleanup_more() {
	local pids
	[ -n "$WRITER_PID" ] && kill "$WRITER_PID" 2>/dev/null
	umount "$VOLUME" 2>/dev/null || umount -l "$VOLUME" 2>/dev/null
	mapfile -t pids < <(gluster_pids)
	if [ ${#pids[@]} -gt 0 ]; then
		kill -KILL "${pids[@]}" 2>/dev/null
		wait_for 20 none_runs "${pids[@]}"
	fi
}

# ---- the volume ----

volume() {
	gluster --mode=script volume "$@" </dev/null
}

brick() {
	echo "$GLUSTER/brick$1"
}

brick_pid() {
	cat /run/gluster/vols/archive/"${ADDRESSES[$1]}"-*.pid
}

# Bricks and the daemon that heals them, all of them.
all_online() {
	[ "$(volume status --xml | grep -c '<status>1</status>')" = 4 ]
}

none_to_heal() {
	volume heal archive info >"$WORK/heal" &&
		[ "$(grep -c '^Number of entries: 0$' "$WORK/heal")" = 3 ]
}

bring_up() {
	local address bricks=()
	own_etc
	echo 127.0.0.1 localhost >/etc/hosts # the bricks' daemons ask for it
	ip link set lo up
	for address in "${ADDRESSES[@]}"; do
		ip address add "$address/32" dev lo
		bricks+=("$address:$(brick ${#bricks[@]})")
	done
	mkdir -p "$GLUSTER/lib" "$GLUSTER/log" "$VOLUME"
	mount -t tmpfs tmpfs /run
	mount --bind "$GLUSTER/lib" /var/lib/glusterd
	mount --bind "$GLUSTER/log" /var/log/glusterfs
	# force: the bricks are on the filesystem of the root, as a test's files are.
	glusterd && volume create archive replica 3 "${bricks[@]}" force && volume start archive &&
		wait_for 30 all_online && mount -t glusterfs "${ADDRESSES[0]}:/archive" "$VOLUME"
}

if ! bring_up >"$WORK/gluster.out" 2>&1; then
	sed 's/^/# /' "$WORK/gluster.out"
	echo "Bail out! no GlusterFS volume"
	exit 1
fi
check "the store lies on GlusterFS" [ "$(stat -f -c %T "$VOLUME") $(df --output=fstype "$VOLUME" |
	tail -n 1)" = "fuseblk fuse.glusterfs" ]
STORE=$VOLUME/store
mkdir "$STORE"
touch "$VOLUME/probe"
check_refused "which has no RENAME_NOREPLACE" "Invalid argument" \
	"$TOOL" rename "$VOLUME/probe" "$VOLUME/probe2" noreplace
rm "$VOLUME/probe"

# ---- names, parts and removals ----

start grace=1h
check "what is missing is noted" logged "RENAME_NOREPLACE"
check "… once" [ "$(grep -c RENAME_NOREPLACE "$LOG")" = 1 ]
mkdir -p "$MNT/d/e" "$WORK/tree"
"$BUILD/tests/mount/makedata" tree "$WORK/tree" 60 5 200000 7
find "$WORK/tree" -name '*.tmp' -delete # are excluded
"$BUILD/tests/mount/makedata" file text $((12 << 20)) 7 >"$WORK/tree/large"
check "a tree is copied" cp -a "$WORK/tree" "$MNT/"
ln -s tree/large "$MNT/link"
for state in parts tail sealed; do
	make_state "$state" "$MNT/d/$state"
done
check "all of it is sealed" timeout 120 "$NOTEPACKCTL" seal "$MNT"
check "no raw file is left" wait_for 20 sh -c \
	"[ -z \"\$(find '$STORE/tree' -type f -size +0 ! -name '*.gz')\" ]"
check "rsync has nothing to transfer" rsync_has_nothing -ain "$WORK/tree/" "$MNT/tree/"
check "rsync -c has nothing to transfer" rsync_has_nothing -ainc "$WORK/tree/" "$MNT/tree/"
check "a file of two parts is renamed" mv "$MNT/d/parts" "$MNT/d/e/moved"
check "… and whole" has_content parts "$MNT/d/e/moved"
check "a directory is renamed" mv "$MNT/d" "$MNT/f"
check_refused "a sealed name is not replaced" "Operation not permitted" \
	sh -c "echo new >'$MNT/new' && mv '$MNT/new' '$MNT/f/sealed'"
check "a file is removed" "$NOTEPACKCTL" rm "$MNT/f/sealed"
inode=$(stat -c %i "$MNT/f/e/moved")
stop
check_clean_store
start grace=1h
check "inode numbers are stable across remounts" [ "$(stat -c %i "$MNT/f/e/moved")" = "$inode" ]
check "rsync has nothing to transfer after a remount" rsync_has_nothing -ainc "$WORK/tree/" "$MNT/tree/"
check "parts are whole after a remount" has_content parts "$MNT/f/e/moved"
check "a tail is whole after a remount" has_content tail "$MNT/f/tail"
check "what was removed stays away" [ ! -e "$MNT/f/sealed" ]
mkdir "$WORK/second"
"$NOTEPACKFS" "$STORE" "$WORK/second" -o lockwait=0 2>"$WORK/second.err"
check "a second mount is refused by the lock on the volume" [ $? = 3 ]
stop "after the remount"

# ---- killed under load ----

has_written() {
	[ "$(wc -l <"$RECORD")" -ge "$1" ]
}

# load SEED LINES: the writer has this many more writes accepted
load() {
	"$WRITER" write "$MNT" "$RECORD" 7 "$1" &
	WRITER_PID=$!
	check "writers are at work (round $1)" wait_for 120 has_written $(($(wc -l <"$RECORD") + $2))
}

end_load() {
	local status=0
	wait "$WRITER_PID" || status=$?
	WRITER_PID=
	check "the writer met no other error than the daemon's death (round $1)" [ $status = 0 ]
}

everything_there() {
	timeout 120 "$NOTEPACKCTL" wait "$MNT" || return 1
	"$WRITER" verify "$MNT" "$RECORD" >"$WORK/verdict" || {
		sed 's/^/# /' "$WORK/verdict"
		return 1
	}
}

# is_second_name PATH: of an object that has another name, too, by which it is recorded
is_second_name() {
	local inode
	inode=$(stat -c %i "$STORE/$1") && [ "$(find "$STORE" -name .notepackfs -prune -o \
		-inum "$inode" -printf '%P\n' | grep -cxF -f "$WORK/recorded")" = 1 ]
}

# Where a brick dies in the middle of an unlink, each replica may blame the others. GlusterFS then merges
# conservatively (https://github.com/gluster/glusterfs/issues/502): a name that was removed long ago by our
# link and unlink is on all bricks again. Nothing but that is let pass: a second name of a recorded
# object, without a record of its own. It is shown, and removed, as check advises.
sound_but_for_names_healed_back() {
	local path
	"$NOTEPACKCTL" check --deep --json "$STORE" >"$WORK/check.json" && return 0
	while read -r path; do
		echo "# GlusterFS: $path is back"
		is_second_name "$path" && rm "$STORE/$path" || return 1
	done < <(jq -r '.problems[] | select(.reason | test("object without a record")) | .path' "$WORK/check.json")
	quietly "$NOTEPACKCTL" check --deep "$STORE"
}

: >"$RECORD"
start "$OPTIONS"
load 1 300
crash
end_load 1
start "$OPTIONS"
check "every byte accepted before the kill is there" everything_there

# ---- a third of the volume dies, too, and comes back ----

load 2 100
kill -KILL "$(brick_pid 1)"
check "writing goes on with two of three replicas" wait_for 120 has_written $(($(wc -l <"$RECORD") + 200))
crash
end_load 2
start "$OPTIONS"
check "every byte is there with two of three" everything_there
check "the store is sound with two of three" quietly "$NOTEPACKCTL" check --deep "$MNT"
check "the brick comes back" quietly volume start archive force
check "… and is online" wait_for 60 all_online
load 3 100
kill -TERM "$WRITER_PID"
end_load 3
check "every byte is there while it is healed" everything_there
check "sha256sums verifies" sh -c "cd '$MNT' && sha256sum --quiet -c .notepackfs/sha256sums"
cut -c 67- "$MNT/.notepackfs/sha256sums" >"$WORK/recorded" # 64 digits, two blanks, and the object
stop "after the kills"
check "notepackctl check --deep finds no problem of ours" sound_but_for_names_healed_back
check "nothing had to be quarantined" [ -z "$(ls "$STORE/.notepackfs/quarantine")" ]
check "nothing had to be given another name" [ -z "$(find "$STORE" -name '*.recovered-*')" ]
check "no temporary is left in the store" [ -z "$(find "$STORE/.notepackfs/tmp" -type f)" ]

# ---- the archive is on each of them ----

check "the volume is healed" wait_for 120 none_to_heal
fingerprint() {
	(cd "$(brick "$1")/store" && find . -path ./.notepackfs -prune -o -type f -exec sha256sum {} + | sort)
}
fingerprint 0 >"$WORK/brick.0"
check "the first brick has the archive" [ "$(grep -c '\.gz$' "$WORK/brick.0")" -gt 100 ]
for i in 1 2; do
	fingerprint "$i" >"$WORK/brick.$i"
	check "brick $((i + 1)) has the same" cmp "$WORK/brick.0" "$WORK/brick.$i"
done
umount "$VOLUME"
check "the archive is read from a brick alone" quietly sh -c \
	"zcat '$(brick 1)/store/tree/large.notepack.gz' | cmp - '$WORK/tree/large'"
finish
