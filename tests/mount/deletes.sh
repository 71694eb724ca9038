#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The removal policy with real programs: what they do to sealed files is refused by default, and
# nothing is lost; with allow_delete it works as on any filesystem, also while files are being sealed.
# What unlink and rename alone do is in remove.sh.
# shellcheck disable=SC2317 # functions that check and wait_for call
. "$(dirname "$0")/lib.sh"

PLAIN=$WORK/plain
REFUSAL='refused[:;] .*notepackctl rm'

refusals() {
	grep -cE "$REFUSAL" "$LOG"
}

# Everything that is closed is sealed.
quiet_mount() {
	"$NOTEPACKCTL" wait "$MNT"
}

# prepare DIR: what the programs are let loose on; the same in the mount and beside it
prepare() {
	mkdir -p "$1/tree"
	for name in removed replaced copied inplace edited sorted patched; do
		printf '%s\n' "$name" zebra apple >"$1/$name"
	done
	seq 1000 >"$1/tree/a"
	seq 2000 >"$1/tree/b"
}

# Each program, in the directory that it works in.
run_rm() { rm -f removed; }
run_mv() { echo moved >new && mv -f new replaced; }
run_cp() { cp -f --remove-destination ../new-content copied; }
run_tar() { tar -C . -xf ../tree.tar; }
run_sed() { sed -i s/zebra/lion/ inplace; }
run_vim() { vim -es -u NONE -c 'set nobackup writebackup backupcopy=no backupskip=' -c '%s/zebra/lion/' -c wq edited; }
run_patch() { printf '%s\n' '--- patched' '+++ patched' '@@ -1,3 +1,3 @@' ' patched' '-zebra' '+lion' ' apple' | patch -s patched; }
# vim renames the old file aside, and removes it when the new one is written.
PROGRAMS=(rm mv cp tar sed patch vim)

in_dir() {
	(cd "$1" && "run_$2") >"$WORK/out" 2>&1 </dev/null
}

# The plain content of all files that are listed; the backups and temporaries of programs aside.
contents() {
	(cd "$1" && find . -path ./.notepackfs -prune -o -type f ! -name '.*' ! -name '*~' -print |
		sed 's/\.notepack\.gz$//' | sort -u | while read -r file; do
		echo "$file $(sha256sum <"$file")"
	done)
}

echo "new content" >"$WORK/new-content"
prepare "$PLAIN"
tar -C "$PLAIN" -cf "$WORK/tree.tar" tree

# ---- refused by default ----

start grace=1h
prepare "$MNT"
quiet_mount
contents "$MNT" >"$WORK/before"
for program in rm mv cp tar sed patch; do
	lines=$(refusals)
	in_dir "$MNT" "$program"
	check "$program fails" [ $? != 0 ]
	check "… and the log names the remedy ($program)" [ "$(refusals)" -gt "$lines" ]
done
rm -f "$MNT/new"
quiet_mount
contents "$MNT" >"$WORK/after"
check "… and nothing has changed" cmp "$WORK/before" "$WORK/after"
in_dir "$MNT" vim
check "vim leaves the old file beside the new one" \
	[ "$(head -n 2 "$MNT/edited~" "$MNT/edited" | grep -c -e zebra -e lion)" = 2 ]
lines=$(refusals)
check_refused "rm of another is refused" "Operation not permitted" rm "$MNT/sorted"
check "… in one line" [ "$(refusals)" = $((lines + 1)) ]
check "… which names file, remedy and option" sh -c \
	"tail -n 1 '$LOG' | grep -q 'sorted: .*notepackctl rm .*allow_delete=GLOB'"

# ---- notepackctl rm ----

ln -s tree/a "$MNT/link"
check_refused "notepackctl rm of a link says what it is" "is a symbolic link; rm removes it" \
	"$NOTEPACKCTL" rm "$MNT/link"
check_refused "notepackctl seal of a link, too" "is a symbolic link; name the file itself" \
	"$NOTEPACKCTL" seal "$MNT/link"
check_refused "notepackctl rm of several names the one that is not there" "none: No such file" \
	"$NOTEPACKCTL" rm "$MNT/removed" "$MNT/none" "$MNT/tree" "$MNT/sorted"
check "… and removes the others" sh -c "[ ! -e '$MNT/removed' ] && [ ! -e '$MNT/sorted' ]"
check "… and no directory" [ -e "$MNT/tree/a" ]
stop "the default"

# ---- with allow_delete: as on a plain directory, whatever state the files are in ----

# with_option NAME OPTIONS COMMAND…: the files are as the command leaves them
with_option() {
	local name=$1 how=$2 program
	shift 2
	rm -rf "$STORE" "$PLAIN"
	mkdir "$STORE" "$PLAIN"
	prepare "$PLAIN"
	start "$how"
	prepare "$MNT"
	"$@"
	for program in "${PROGRAMS[@]}"; do
		in_dir "$PLAIN" "$program" || echo "# $program fails on a plain directory"
		in_dir "$MNT" "$program"
		check "$program works ($name)" [ $? = 0 ]
	done
	check "nothing was refused ($name)" [ "$(grep -c "refused" "$LOG")" = "$REFUSED" ]
	quiet_mount
	contents "$PLAIN" >"$WORK/expected"
	contents "$MNT" >"$WORK/found"
	check "the content is as in a plain directory ($name)" diff "$WORK/expected" "$WORK/found"
	stop "$name"
	check_clean_store
	start "$how"
	contents "$MNT" >"$WORK/found"
	check "… after a remount, too ($name)" diff "$WORK/expected" "$WORK/found"
	check "… and the store is sound ($name)" quietly "$NOTEPACKCTL" check --deep "$MNT"
	stop "$name, again"
}

REFUSED=$(grep -c "refused" "$LOG")
with_option "all sealed" grace=1h,allow_delete quiet_mount
with_option "nothing sealed" grace=1h,allow_delete true
with_option "while sealing" grace=0,allow_delete,threads=1 true
with_option "by globs" "grace=1h,allow_delete=removed:replaced:copied:[ab]:inplace:edited~:patched" quiet_mount

# ---- a file in the middle of its sealing ----

is_sealing() {
	grep -q '"path":"big"[^}]*"state":"sealing"' "$MNT/.notepackfs/status"
}

start grace=0,allow_delete,threads=1
for how in "rm -f '$MNT/big'" "mv -f '$MNT/small.tmp' '$MNT/big'" \
	"cp -f --remove-destination '$MNT/small.tmp' '$MNT/big'"; do
	echo small >"$MNT/small.tmp"
	head -c 48M /dev/urandom >"$MNT/big"
	check "a large file is being sealed" wait_for 20 is_sealing
	check "… and is no more: ${how%% *}" sh -c "$how"
	[ -e "$MNT/big" ] || echo small >"$MNT/big"
	quiet_mount
	check "… its name has the new content (${how%% *})" [ "$(cat "$MNT/big"; zcat "$MNT/big.notepack.gz")" = "$(printf 'small\nsmall')" ]
	check "… and the manifest (${how%% *})" [ "$(grep -c '"plain":"big"' "$MNT/.notepackfs/manifest")" = 1 ]
	rm "$MNT/big"
done
rm -f "$MNT/small.tmp"
stop "in the middle"
check_clean_store

# ---- a logger that rotates by itself ----

cat >"$WORK/logger.py" <<'END'
import logging, logging.handlers, sys
handler = logging.handlers.RotatingFileHandler(sys.argv[1], maxBytes=2000, backupCount=4)
log = logging.getLogger("t")
log.addHandler(handler)
for i in range(500):
    log.warning("line %06d, which is here to be kept", i)
END

# The lines that are kept, oldest first.
kept_lines() {
	local i
	for i in 4 3 2 1; do cat "$1/app.log.$i"; done
	cat "$1/app.log"
}

for how in "grace=0" "grace=1h"; do
	rm -rf "$STORE" "$PLAIN"
	mkdir "$STORE" "$PLAIN"
	start "$how,allow_delete=*.log.[0-9]*"
	python3 "$WORK/logger.py" "$PLAIN/app.log" 2>"$WORK/err"
	check "RotatingFileHandler rotates ($how)" python3 "$WORK/logger.py" "$MNT/app.log"
	quiet_mount
	kept_lines "$PLAIN" >"$WORK/expected"
	kept_lines "$MNT" >"$WORK/found"
	check "… and keeps what it keeps on a plain directory ($how)" cmp "$WORK/expected" "$WORK/found"
	check_refused "… and its newest file is not removed ($how)" "Operation not permitted" rm -f "$MNT/app.log"
	stop "the logger, $how"
	check "the manifest has what is left, and nothing else ($how)" quietly "$NOTEPACKCTL" check --deep "$STORE"
done

# The same, and each generation sealed before the next: every removal is one of sealed bytes.
start "grace=1h,allow_delete=*.log.[0-9]*"
before=$(grep -c '"event":"remove"' "$MNT/.notepackfs/log")
for generation in $(seq 6); do
	rm -f "$MNT/new.log.2"
	[ ! -e "$MNT/new.log.1" ] || mv "$MNT/new.log.1" "$MNT/new.log.2"
	[ ! -e "$MNT/new.log" ] || mv "$MNT/new.log" "$MNT/new.log.1"
	echo "generation $generation" >"$MNT/new.log"
	quiet_mount
done
check "three generations are kept of six" [ "$(cat "$MNT/new.log" "$MNT/new.log.1" "$MNT/new.log.2")" = \
	"$(printf 'generation %s\n' 6 5 4)" ]
check "each removal is in the log" [ $(($(grep -c '"event":"remove"' "$MNT/.notepackfs/log") - before)) = 3 ]
check "the manifest has what is left" [ "$(grep -c '"plain":"new.log' "$MNT/.notepackfs/manifest")" = 3 ]
stop "three generations"
finish
