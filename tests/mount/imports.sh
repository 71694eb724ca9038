#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Gzip files that someone else made: written under a sealed name, imported by command, adopted.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"

DATA=$WORK/data
mkdir "$DATA"
"$BUILD/tests/mount/makedata" file text 5000000 1 >"$DATA/text"
gzip -k -6 "$DATA/text"
head -c 100000 "$DATA/text.gz" >"$DATA/short.gz"
{ gzip -c "$DATA/text"; echo garbage; } >"$DATA/tail.gz"
{ echo one | gzip; echo two | gzip; } >"$DATA/members.gz"

sum() {
	sha256sum <"$1" | cut -d' ' -f1
}

error_of() {
	getfattr --absolute-names --only-values -n user.notepack.error "$1" 2>/dev/null
}

state_of() {
	getfattr --absolute-names --only-values -n user.notepack.state "$1" 2>/dev/null
}

absent() {
	! [ -e "$1" ]
}

start grace=60

# ---- a good one ----

touch -d '2019-01-02 03:04:05.678' "$DATA/text.gz"
chmod 640 "$DATA/text.gz"
cp -p "$DATA/text.gz" "$MNT/a.notepack.gz"
check "an import is not listed before it is verified" [ -z "$(ls "$MNT")" ]
check "its plain name is not there yet" absent "$MNT/a"
check_refused "its stem is taken" "cannot overwrite existing file" bash -c "set -C; : >'$MNT/a'"
check_refused "and in the other spelling" "cannot overwrite existing file" bash -c "set -C; : >'$MNT/a.notepack'"
check "who reads it waits for the verdict, not for grace" \
	cmp "$DATA/text.gz" "$MNT/a.notepack.gz"
check "it is listed" [ "$(ls "$MNT")" = a.notepack.gz ]
check "not a byte is different" [ "$(sum "$MNT/a.notepack.gz")" = "$(sum "$DATA/text.gz")" ]
check "in the store, too" [ "$(sum "$STORE/a.notepack.gz")" = "$(sum "$DATA/text.gz")" ]
check "its plain name reads" cmp "$DATA/text" "$MNT/a"
check "at random offsets" quietly \
	"$BUILD/tests/mount/randread" "$MNT/a" "$DATA/text" "$MNT/a.notepack.gz" 200 60
check "time and mode are kept" \
	[ "$(stat -c '%y %a' "$MNT/a")" = "2019-01-02 03:04:05.678000000 +0000 640" ]
check "the object is read-only" [ "$(stat -c '%y %a' "$MNT/a.notepack.gz")" = \
	"2019-01-02 03:04:05.678000000 +0000 440" ]
check "an index was made, beside the manifest" \
	[ "$(ls "$STORE/.notepackfs/index")" = "$(sum "$DATA/text.gz")" ]
check "nothing is left where imports lie" [ -z "$(ls "$STORE/.notepackfs/import")" ]
check_refused "it is sealed: no writing" "Operation not permitted" \
	bash -c "echo >>'$MNT/a.notepack.gz'"
check_refused "no removing" "Operation not permitted" rm -f "$MNT/a.notepack.gz"
echo more >>"$MNT/a"
"$NOTEPACKCTL" seal "$MNT/a"
{ cat "$DATA/text"; echo more; } >"$DATA/longer"
check "it can be appended to: the next part" cmp "$DATA/longer" "$MNT/a"
check "… which is one of ours" [ "$(zcat "$MNT/a.p000000002.notepack.gz")" = more ]

cp "$DATA/members.gz" "$MNT/members.notepack.gz"
"$NOTEPACKCTL" wait "$MNT"
check "several members are one file" [ "$(cat "$MNT/members")" = "one
two" ]

# Named bug: it was refused, though it is a gzip file.
: | gzip >"$DATA/nothing.gz"
cp "$DATA/nothing.gz" "$MNT/nothing.notepack.gz"
cp "$DATA/nothing.gz" "$MNT/nomore.notepack.gz"
"$NOTEPACKCTL" wait "$MNT"
check "a gzip of nothing is one, too" cmp "$DATA/nothing.gz" "$MNT/nothing.notepack.gz"
check "its plain name is an empty file" [ "$(stat -c %s "$MNT/nothing"; cat "$MNT/nothing")" = 0 ]
check "which is sealed" [ "$(state_of "$MNT/nothing") $(find "$MNT" -name 'nothing*' -printf %f)" = "sealed nothing.notepack.gz" ]
check_refused "… and not removed" "Operation not permitted" rm -f "$MNT/nothing"
echo more >>"$MNT/nothing"
check "it can be appended to" [ "$(cat "$MNT/nothing")" = more ]
"$NOTEPACKCTL" seal "$MNT/nothing"
check "… which is the next part" [ "$(zcat "$MNT/nothing.p000000002.notepack.gz") $(cat "$MNT/nothing")" = "more more" ]
echo less >>"$MNT/nomore"
nothing_is_right() {
	[ "$(cat "$MNT/nothing") $(cat "$MNT/nomore")" = "more less" ]
}

# One of our own objects, from another store.
mkdir "$WORK/other"
"$BUILD/tests/mount/makedata" file binary 1000000 2 >"$MNT/ours"
"$NOTEPACKCTL" seal "$MNT/ours"
cp "$MNT/ours.notepack.gz" "$MNT/copy.notepack.gz"
"$NOTEPACKCTL" wait "$MNT"
check "one of our own is imported" cmp "$MNT/ours" "$MNT/copy"
check "and needs no index" [ "$(find "$STORE/.notepackfs/index" -type f | wc -l)" = 1 ]
cp "$MNT/a.p000000002.notepack.gz" "$MNT/part.notepack.gz"
"$NOTEPACKCTL" wait "$MNT"
check "a later part is no file" \
	[ "$(error_of "$MNT/part.notepack.gz.invalid")" = "it is a later part of a file, and only whole files are imported" ]

# Nanoseconds since 1970 do not reach further; ls has them from the directory, then from the manifest.
FAR=9223372036.854775807
listed_far() {
	"$NOTEPACKCTL" ls --json "$1" | grep -q "\"mtime\":\"$FAR\""
}
cp "$DATA/members.gz" "$DATA/far.gz"
touch -d 2400-01-02 "$DATA/far.gz"
if [ "$(stat -c %.10y "$DATA/far.gz")" = 2400-01-02 ]; then
	cp -p "$DATA/far.gz" "$MNT/far.tmp"
	check "ls knows a time beyond 2262 as the last one" listed_far "$MNT/far.tmp"
	mv "$MNT/far.tmp" "$MNT/far.notepack.gz"
	"$NOTEPACKCTL" wait "$MNT"
	check "so it is imported" listed_far "$MNT/far"
else
	skip "a time beyond 2262" "the filesystem of $WORK knows none"
fi

cp "$DATA/members.gz" "$DATA/unread.gz"
touch -a -d 2019-01-02 "$DATA/unread.gz" "$DATA/members.gz"
cp -p "$DATA/unread.gz" "$MNT/unread.notepack.gz"
"$NOTEPACKCTL" wait "$MNT"
cat "$DATA/members.gz" >/dev/null
if [ "$(stat -c %.10x "$DATA/members.gz")" != 2019-01-02 ]; then
	check "to verify it is not to read it: its access time is kept" \
		[ "$(stat -c %.10x "$MNT/unread")" = 2019-01-02 ]
	check "in the store, too" [ "$(stat -c %.10x "$STORE/unread.notepack.gz")" = 2019-01-02 ]
else
	skip "the access time of an import" "the filesystem of $WORK does not note when a file is read"
fi

# ---- bad ones ----

cp "$DATA/short.gz" "$MNT/short.notepack.gz"
cp "$DATA/tail.gz" "$MNT/tail.notepack.gz"
echo text >"$MNT/text.notepack.gz"
"$NOTEPACKCTL" wait "$MNT"
check "one that is cut short is refused" \
	grep -q "cut short" <<<"$(error_of "$MNT/short.notepack.gz.invalid")"
check "one with bytes behind its end is refused" \
	grep -q "offset $(stat -c %s "$DATA/text.gz")" <<<"$(error_of "$MNT/tail.notepack.gz.invalid")"
check "what is no gzip is refused" \
	grep -q "not a gzip file" <<<"$(error_of "$MNT/text.notepack.gz.invalid")"
check "its state is invalid" [ "$(state_of "$MNT/text.notepack.gz.invalid")" = invalid ]
check "its bytes are all there" cmp "$DATA/short.gz" "$MNT/short.notepack.gz.invalid"
check "its sealed name is not" absent "$MNT/short.notepack.gz"
check "the status names it, with the reason" \
	grep -q '"invalid":\[.*{"path":"short.notepack.gz.invalid","error":"at offset 100000: it is cut short"}' \
	"$MNT/.notepackfs/status"
check "the log names it" grep -q '"event":"refuse".*short.notepack.gz.invalid' "$MNT/.notepackfs/log"
check "it is never sealed" "$NOTEPACKCTL" seal "$MNT"
check "… really" listed "$MNT/short.notepack.gz.invalid"
# Named bug: each further try left another one.
cp "$DATA/short.gz" "$MNT/short.notepack.gz"
"$NOTEPACKCTL" wait "$MNT"
check "the same bytes again are kept once" [ "$(find "$MNT" -name 'short*' -printf '%f\n')" = short.notepack.gz.invalid ]
check "… and nothing is left of them where imports lie" [ -z "$(ls "$STORE/.notepackfs/import")" ]
check "… and the log says so" grep -q 'short.notepack.gz.invalid: what was refused is kept once' "$LOG"
# Named bug: who asked by stat(2) was told of the name, which had just gone.
mkdir "$WORK/repeated"
for i in $(seq 20); do
	head -c $((1000 + i)) "$DATA/text.gz" >"$WORK/repeated/repeated$i.gz"
done
for turn in first second third; do
	status=0
	"$NOTEPACKCTL" import "$WORK/repeated" "$MNT" >"$WORK/repeated.out" 2>&1 || status=$?
	check "the $turn import of damaged files says so" [ "$status" = 4 ]
	check "… of each of them" grep -q '^0 files imported.*20 refused' "$WORK/repeated.out"
done
rm "$MNT"/repeated*.invalid
head -c 100001 "$DATA/text.gz" >"$MNT/short.notepack.gz"
"$NOTEPACKCTL" wait "$MNT"
check "other bytes of the same name are kept beside it" cmp <(head -c 100001 "$DATA/text.gz") "$MNT/short.notepack.gz.2.invalid"
check "… and it is what it was" cmp "$DATA/short.gz" "$MNT/short.notepack.gz.invalid"
{ head -c 99999 "$DATA/text.gz"; printf x; } >"$MNT/short.notepack.gz"
"$NOTEPACKCTL" wait "$MNT"
check "so are as many, for the same reason" listed "$MNT/short.notepack.gz.3.invalid"
head -c 100001 "$DATA/text.gz" >"$MNT/short.notepack.gz"
"$NOTEPACKCTL" wait "$MNT"
check "and those of any of them again are kept once" \
	[ "$(find "$MNT" -name 'short*' | wc -l)" = 3 ]
rm "$MNT/short.notepack.gz.3.invalid"
check "it can be removed" rm "$MNT/short.notepack.gz.2.invalid"
cat "$DATA/text.gz" >"$MNT/short.notepack.gz.invalid"
mv "$MNT/short.notepack.gz.invalid" "$MNT/short.notepack.gz"
"$NOTEPACKCTL" wait "$MNT"
check "mended and renamed, it is imported" cmp "$DATA/text" "$MNT/short"
check "… and nothing is noted against it" [ -z "$(getfattr --absolute-names -d "$STORE/short.notepack.gz")" ]

# Named bug: one that was renamed as it was had no timer, and was not there until it was opened.
mv "$MNT/tail.notepack.gz.invalid" "$MNT/again.notepack.gz"
"$NOTEPACKCTL" wait "$MNT"
check "renamed as it was, it is tried again" listed "$MNT/again.notepack.gz.invalid"

check "ls shows both" [ "$("$NOTEPACKCTL" ls "$MNT" | grep -cE '^(members|text.notepack.gz.invalid)$')" = 2 ]
check "ls -l shows their states" \
	[ "$("$NOTEPACKCTL" ls -l "$MNT" | sed -n 's/^\([a-z]*\) .* \(members\|text.notepack.gz.invalid\)$/\1/p' | sort | tr '\n' ' ')" = "invalid sealed " ]

# ---- by rename, and while it is written ----

cp "$DATA/text.gz" "$MNT/.r.notepack.gz.Xy12"
mv "$MNT/.r.notepack.gz.Xy12" "$MNT/r.notepack.gz"
"$NOTEPACKCTL" wait "$MNT"
check "a rename to a sealed name imports" cmp "$DATA/text" "$MNT/r"
mkdir "$MNT/d"
# A writer that closes no duplicate: each would look like the last close.
coproc WRITER { exec perl -e 'open(F, "+>", $ARGV[0]); open(G, "<", $ARGV[1]); local $/;
	syswrite(F, <G>); syswrite(STDOUT, "written\n"); sysread(STDIN, $x, 1)' \
	"$MNT/d/w.notepack.gz" "$DATA/text.gz"; }
read -r _ <&"${WRITER[0]}"
check "what is being written is not there for others" absent "$MNT/d/w.notepack.gz"
check_refused "its directory is not empty" "Directory not empty" rmdir "$MNT/d"
mv "$MNT/d" "$MNT/e"
writer=$WRITER_PID
eval "exec ${WRITER[1]}>&-"
wait "$writer"
check "closed, it is read as soon as it is verified" cmp "$DATA/text.gz" "$MNT/e/w.notepack.gz"
cp "$DATA/text.gz" "$MNT/u.notepack.gz"
check "one that is not verified yet can be removed" rm "$MNT/u.notepack.gz"
check "and is gone" [ -z "$(ls "$STORE/.notepackfs/import")" ]
cp "$DATA/text.gz" "$MNT/v.notepack.gz"
mv "$MNT/v.notepack.gz" "$MNT/v.tmp"
check "renamed away, it is an ordinary file" cmp "$DATA/text.gz" "$MNT/v.tmp"
mkdir "$MNT/.~tmp~"
cp "$DATA/text.gz" "$MNT/.~tmp~/x.notepack.gz"
check "in an excluded directory it is one, too" listed "$MNT/.~tmp~/x.notepack.gz"
mv "$MNT/.~tmp~/x.notepack.gz" "$MNT/x.notepack.gz"
"$NOTEPACKCTL" wait "$MNT"
check "and an import when it leaves it" cmp "$DATA/text" "$MNT/x"
touch "$MNT/empty.notepack.gz"
check "an empty one waits for its bytes" [ "$(stat -c %s "$MNT/empty.notepack.gz")" = 0 ]
# Named bug: it was nowhere in the listing, for good.
check "… and is listed meanwhile" listed "$MNT/empty.notepack.gz"
check "… as active" grep -q '^active .* empty.notepack.gz$' <("$NOTEPACKCTL" ls -l "$MNT")
cat "$DATA/members.gz" >>"$MNT/empty.notepack.gz"
check "with bytes it is not, before it is verified" [ "$(find "$MNT" -name 'empty*')" = "" ]
"$NOTEPACKCTL" wait "$MNT"
check "and then is imported" [ "$(wc -l <"$MNT/empty")" = 2 ]

# ---- directories with an import in them; a stem that ends in the suffix ----

rename() {
	python3 - "$@" <<-'END'
		import ctypes, sys
		libc = ctypes.CDLL(None, use_errno=True)
		flags = int(sys.argv[3])
		if libc.renameat2(-100, sys.argv[1].encode(), -100, sys.argv[2].encode(), flags):
		    sys.exit(str(ctypes.get_errno()))
	END
}

mkdir "$MNT/holds" "$MNT/empty.d"
cp "$DATA/text.gz" "$MNT/holds/x.notepack.gz"
check_refused "a directory with an import in it is not replaced" 39 rename "$MNT/empty.d" "$MNT/holds" 0
check "and the import is there" cmp "$DATA/text.gz" "$MNT/holds/x.notepack.gz"
echo other >"$MNT/twice"
"$NOTEPACKCTL" seal "$MNT/twice"
cp "$DATA/members.gz" "$MNT/twice.notepack.notepack.gz"
"$NOTEPACKCTL" wait "$MNT"
mkdir "$MNT/.excluded"
cp "$DATA/text.gz" "$MNT/.excluded/good.notepack.gz"
echo bad >"$MNT/.excluded/bad.notepack.gz"
mv "$MNT/.excluded" "$MNT/shown"
"$NOTEPACKCTL" wait "$MNT"
check "a directory that is excluded no more has imports in it" cmp "$DATA/text" "$MNT/shown/good"
check "… good and bad" listed "$MNT/shown/bad.notepack.gz.invalid"
mkdir "$MNT/hollow"
touch "$MNT/hollow/x.notepack.gz"
check_refused "a directory with an empty import in it is not empty" "Directory not empty" rmdir "$MNT/hollow"
check "… and goes with it" rm -r "$MNT/hollow"
check "a stem that ends in the suffix keeps its name" \
	cmp "$DATA/members.gz" "$MNT/twice.notepack.notepack.gz"
check "its plain name has one suffix less" [ "$(wc -l <"$MNT/twice.notepack.notepack")" = 2 ]
check "and the file of the shorter stem is what it was" [ "$(cat "$MNT/twice")" = other ]
cp "$DATA/members.gz" "$MNT/one.notepack.gz"
"$NOTEPACKCTL" wait "$MNT"
mv "$MNT/one.notepack.gz" "$MNT/three.notepack.notepack.gz"
check "so does one that is renamed" cmp "$DATA/members.gz" "$MNT/three.notepack.notepack.gz"

# ---- what goes by its path meets the verdict ----

cat >"$WORK/paths.py" <<-'END'
	import gzip, os, sys
	data = gzip.compress(b"line\n" * 1000)
	for i in range(300):
	    path = f"{sys.argv[1]}/paths/{i}.notepack.gz"
	    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
	    os.write(fd, data)
	    os.close(fd)
	    for n in range(10):
	        os.utime(path, (n, n))
	        os.chmod(path, 0o640)
	        os.stat(path)
END

# ---- rsync, twice ----

mkdir -p "$DATA/tree/sub"
cp "$DATA/text.gz" "$DATA/tree/one.notepack.gz"
cp "$DATA/members.gz" "$DATA/tree/sub/two.notepack.gz"
rsync -a "$DATA/tree" "$MNT/"
"$NOTEPACKCTL" wait "$MNT"
check "rsync -a brings them in" diff -r "$DATA/tree" "$MNT/tree"
check "and transfers nothing the second time" \
	[ -z "$(rsync -a --out-format=%n "$DATA/tree" "$MNT/" --stats | grep 'regular files transferred: [1-9]')" ]

# ---- the command ----

mkdir -p "$DATA/old/2020"
cp "$DATA/text.gz" "$DATA/old/2020/log.jsonl.gz"
cp "$DATA/members.gz" "$DATA/old/m.notepack.gz"
cp "$DATA/short.gz" "$DATA/old/bad.notepack.gz"
echo plain >"$DATA/old/readme"
"$NOTEPACKCTL" import "$DATA/old" "$MNT" >"$WORK/out" 2>"$WORK/err"
check "import says that one is damaged" [ $? = 4 ]
check "and which, and why" grep -q "old/bad.notepack.gz.invalid: refused: at offset 100000: it is cut short" "$WORK/err"
check "and how many are good" grep -qx "2 files imported, 1 left out (no gzip files), 1 refused" "$WORK/out"
check "X.gz becomes X" cmp "$DATA/text" "$MNT/old/2020/log.jsonl"
check "unchanged" [ "$(sum "$MNT/old/2020/log.jsonl.notepack.gz")" = "$(sum "$DATA/text.gz")" ]
rm "$DATA/old/bad.notepack.gz"
"$NOTEPACKCTL" import "$DATA/old" "$MNT" >"$WORK/out"
check "a second run copies nothing" grep -qx "0 files imported, 2 there already, 1 left out (no gzip files)" "$WORK/out"
# Named bug: a run that was interrupted left a name that the next one stumbled over.
mkdir "$DATA/again"
for n in 1 2 3 4 5 6; do
	"$BUILD/tests/mount/makedata" file random 30000000 $n | gzip -1 >"$DATA/again/$n.gz"
done

temporaries() {
	find "$MNT/again" -name '.notepackctl-import.??????.tmp' -size +0c 2>/dev/null
}

copying() {
	[ -n "$(temporaries)" ]
}

# Stopped while it copies a file: the temporary it has then has bytes, so it is locked, and is there for good.
start_and_stop_import() {
	"$NOTEPACKCTL" import "$DATA/again" "$MNT" >"$WORK/stopped.out" 2>"$WORK/stopped.err" &
	importer=$!
	while wait_for 20 copying && kill -STOP "$importer"; do
		wait_for 5 grep -q '^State:.T' "/proc/$importer/status"
		copying && return
		kill -CONT "$importer"
	done
}

all_again() {
	for n in 1 2 3 4 5 6; do
		cmp "$DATA/again/$n.gz" "$MNT/again/$n.notepack.gz" || return
	done
}

start_and_stop_import
{ kill -KILL "$importer"; wait "$importer"; } 2>/dev/null
check "an import that was killed leaves a temporary" copying
check "and is completed" quietly "$NOTEPACKCTL" import "$DATA/again" "$MNT"
check "… with every file" quietly all_again
check "… and nothing is left over" [ "$(find "$MNT/again" -type f | wc -l)" = 6 ]
"$NOTEPACKCTL" rm "$MNT/again"/{1,2,3,4,5,6}
# Named bug: two at once wrote to one temporary.
start_and_stop_import
part=$(temporaries)
check "a second import beside it takes all" quietly "$NOTEPACKCTL" import "$DATA/again" "$MNT"
check "… and leaves its temporary alone" [ "$(temporaries)" = "$part" ]
kill -CONT "$importer"
wait "$importer"
check "the first finds them there" [ "$? $(cat "$WORK/stopped.err")" = "0 " ]
check "… and counts them so" [ "$(awk '{ print $1 + $4 }' "$WORK/stopped.out")" = 6 ]
check "every file is right" quietly all_again
check "and nothing is left over from both" [ "$(find "$MNT/again" -type f | wc -l)" = 6 ]
"$NOTEPACKCTL" rm "$MNT/again"/{1,2,3,4,5,6}
"$NOTEPACKCTL" import "$DATA/again" "$MNT" >"$WORK/out.1" 2>&1 &
importer=$!
check "of two that run side by side the one ends well" quietly "$NOTEPACKCTL" import "$DATA/again" "$MNT"
wait "$importer"
check "… and the other, too" [ $? = 0 ]
check "… with every file" quietly all_again
check "… and nothing is left over" [ "$(find "$MNT/again" -type f | wc -l)" = 6 ]
rm -r "$DATA/again"
check_refused "what is no gzip file is refused as an operand" "is no gzip file by its name" \
	"$NOTEPACKCTL" import "$DATA/old/readme" "$MNT"
# Named bug: an empty one counted as imported.
: >"$DATA/empty.jsonl.gz"
"$NOTEPACKCTL" import "$DATA/empty.jsonl.gz" "$MNT" >"$WORK/out" 2>"$WORK/err"
check "an empty file is refused" [ $? = 4 ]
check "… by its name, with the reason" grep -q "empty.jsonl.gz: refused: it is empty, and no gzip file" "$WORK/err"
check "… and counted" grep -qx "0 files imported, 1 refused" "$WORK/out"
check "… and nothing of it is in the mount" absent "$MNT/empty.jsonl.notepack.gz"
cp "$DATA/members.gz" "$DATA/counted.gz"
"$NOTEPACKCTL" import "$DATA/counted.gz" "$DATA/missing.gz" "$MNT" >"$WORK/out" 2>"$WORK/err"
check "what cannot be read makes it fail" [ $? = 1 ]
check "… and is counted" grep -qx "1 file imported, 1 failed" "$WORK/out"

# ---- the stop, a crash ----

cp "$DATA/text.gz" "$MNT/late.notepack.gz"
cp "$DATA/short.gz" "$MNT/latebad.notepack.gz"
touch "$MNT/lateempty.notepack.gz"
stop "with imports to be verified"
check "the stop verified them" [ -e "$STORE/late.notepack.gz" ]
check "the bad one, too" [ -e "$STORE/latebad.notepack.gz.invalid" ]
check "check --deep is content" quietly "$NOTEPACKCTL" check --deep "$STORE"
check "cat needs no mount" cmp "$DATA/longer" <("$NOTEPACKCTL" cat "$STORE/a")
start grace=60
check "so do those behind nothing" nothing_is_right
check "they read after a remount" cmp "$DATA/text" "$MNT/late"
check "an empty one is listed again" listed "$MNT/lateempty.notepack.gz"
cp "$DATA/members.gz" "$MNT/lateempty.notepack.gz"
check "… and gets its bytes" cmp "$DATA/members.gz" "$MNT/lateempty.notepack.gz"
stop
index=$(sum "$DATA/text.gz")
rm -f "$STORE/.notepackfs/index/$index"
start ro
check "a read-only mount reads an import without its index" cmp "$DATA/text" "$MNT/late"
check "… and writes none" [ ! -e "$STORE/.notepackfs/index/$index" ]
"$NOTEPACKCTL" umount "$MNT" 2>/dev/null
daemon_status
start grace=60
check "the reason is still known" \
	grep -q "cut short" <<<"$(error_of "$MNT/latebad.notepack.gz.invalid")"
check "and the part behind an import" cmp "$DATA/longer" "$MNT/a"
mkdir "$MNT/c" "$MNT/x1" "$MNT/x2"
cp "$DATA/nothing.gz" "$MNT/c/nothing.notepack.gz"
"$NOTEPACKCTL" wait "$MNT"
echo late >>"$MNT/c/nothing"
cp "$DATA/text.gz" "$MNT/x2/x.notepack.gz"
rename "$MNT/x1" "$MNT/x2" 2
cp "$DATA/text.gz" "$MNT/c/crash.notepack.gz"
cp "$DATA/text.gz" "$MNT/c/moved.notepack.gz"
mv "$MNT/c" "$MNT/cc"
crash
start grace=60
check "an import survives the daemon" cmp "$DATA/text.gz" "$MNT/cc/crash.notepack.gz"
check "so does what was written behind nothing" [ "$(cat "$MNT/cc/nothing")" = late ]
check "so does the other" cmp "$DATA/text" <(zcat "$MNT/cc/moved.notepack.gz"; "$NOTEPACKCTL" wait "$MNT")
check "its plain name, too" cmp "$DATA/text" "$MNT/cc/moved"
check "so does one whose directory was exchanged" cmp "$DATA/text" "$MNT/x1/x"
stop
rm "$STORE/.notepackfs/manifest"
check "a new manifest is made of imports, of nothing, too" quietly "$NOTEPACKCTL" repair "$STORE"
check "… with which check --deep is content" quietly "$NOTEPACKCTL" check --deep "$STORE"
start grace=60
check "… and which has their parts" nothing_is_right
check "… all of them" [ "$(cat "$MNT/cc/nothing")" = late ]
stop
# Damage behind our back: the index knows what each piece must be.
size=$(stat -c %s "$STORE/late.notepack.gz")
printf '\377\377\377\377' | dd of="$STORE/late.notepack.gz" bs=1 seek=$((size / 2)) conv=notrunc status=none
start grace=60
check_refused "a damaged import gives EIO" "Input/output error" cat "$MNT/late"
check "what is in front of the damage reads" \
	cmp -n 100000 "$DATA/text" "$MNT/late"
start_of_damage=$("$NOTEPACKCTL" check --deep "$MNT" 2>&1 || :)
check "check --deep names it" grep -q late.notepack.gz <<<"$start_of_damage"
"$NOTEPACKCTL" rm "$MNT/late"
stop
start grace=0
mkdir "$MNT/paths"
check "what is done by path at the time of the verdict finds its file" \
	python3 "$WORK/paths.py" "$MNT"
stop
start allow_delete,grace=60
rm "$MNT/a.notepack.gz" 2>/dev/null || rm "$MNT/short.notepack.gz"
cp "$DATA/members.gz" "$MNT/.new"
mv -f "$MNT/.new" "$MNT/members.notepack.gz"
"$NOTEPACKCTL" wait "$MNT"
check "with allow_delete an import replaces a sealed file" [ "$(wc -l <"$MNT/members")" = 2 ]
stop

# ---- adopting ----

ADOPT=$WORK/adopt
mkdir -p "$ADOPT/2021"
cp -p "$DATA/text.gz" "$ADOPT/2021/x.notepack.gz"
cp "$DATA/short.gz" "$ADOPT/bad.notepack.gz"
cp "$DATA/nothing.gz" "$ADOPT/nothing.notepack.gz"
echo raw >"$ADOPT/raw"
inode=$(stat -c %i "$ADOPT/2021/x.notepack.gz")
"$NOTEPACKCTL" init --adopt "$ADOPT" >"$WORK/out" 2>"$WORK/err"
check "init --adopt says that one is bad" [ $? = 4 ]
check "which, and why" grep -q "bad.notepack.gz: at offset 100000: it is cut short; it is called .invalid now" "$WORK/err"
check "and how many are good" grep -qx "2 files adopted, 1 not" "$WORK/out"
check "an adoption can be run once more" quietly "$NOTEPACKCTL" init --adopt "$ADOPT"
check "not a byte was copied" [ "$(stat -c %i "$ADOPT/2021/x.notepack.gz")" = "$inode" ]
check "check --deep is content with it" quietly "$NOTEPACKCTL" check --deep "$ADOPT"
rm -rf "$STORE"
mv "$ADOPT" "$STORE"
start grace=0
check "the plain name reads" cmp "$DATA/text" "$MNT/2021/x"
check "of nothing, too" cmp /dev/null "$MNT/nothing"
check "the bad one is there, by another name" cmp "$DATA/short.gz" "$MNT/bad.notepack.gz.invalid"
check "why is known" grep -q "cut short" <<<"$(error_of "$MNT/bad.notepack.gz.invalid")"
check "the raw file is sealed by the mount" wait_for 10 sealed "$MNT/raw"
check "the log has its path, without a slash in front" \
	grep -q 'notepackfs: info: raw: 4 bytes were not sealed yet' "$LOG"
# Named bug: it said 0 files.
check "the status counts what was adopted, and what the mount has sealed" \
	grep -q '^sealed     3 segments, 1 by this mount, ' <("$NOTEPACKCTL" status "$MNT")
"$NOTEPACKCTL" rm "$MNT/raw"
check "the log counts one part" grep -q ': raw: removed, with 1 sealed part$' "$LOG"
stop
finish
