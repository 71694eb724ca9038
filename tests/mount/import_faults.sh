#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Imports where a step fails, or the machine stops between two.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"

DATA=$WORK/data
IMPORTS=$STORE/.notepackfs/import
mkdir "$DATA"
"$BUILD/tests/mount/makedata" file text 300000 1 >"$DATA/text"
gzip -k "$DATA/text"

error_of() {
	getfattr --absolute-names --only-values -n user.notepack.error "$1" 2>/dev/null
}

# failing SYSCALL PATH: of the daemon, on this file of the store, until healed; calls are in trace
failing() {
	strace -f -qq -p "$DAEMON" -o "$WORK/trace" -P "$2" -e trace="$1" -e inject="$1:error=EIO" 2>>"$LOG" &
	TRACER=$!
	wait_for 10 grep -q TracerPid:.[1-9] "/proc/$DAEMON/status"
}

# traced SYSCALL: the same on all files, which trace names, and nothing fails
traced() {
	strace -f -qq -y -p "$DAEMON" -o "$WORK/trace" -e trace="$1" 2>>"$LOG" &
	TRACER=$!
	wait_for 10 grep -q TracerPid:.[1-9] "/proc/$DAEMON/status"
}

healed() {
	kill "$TRACER"
	wait "$TRACER"
}

cleanup_more() {
	[ -z "${TRACER:-}" ] || kill "$TRACER" 2>/dev/null
}

LOST="it may not be on the disk, fsync failed (Input/output error): import it again"

# ---- fsync: what failed once is not asked again (L14) ----

start grace=60
cp "$DATA/text.gz" "$MNT/a.notepack.gz"
place=$IMPORTS/$(ls "$IMPORTS")
failing fsync "$place"
"$NOTEPACKCTL" wait "$MNT"
healed
check "the disk was asked, and it failed" grep -q 'fsync(.*INJECTED' "$WORK/trace"
check "an import that may not be on the disk is refused" listed "$MNT/a.notepack.gz.invalid"
check "why is in its error" [ "$(error_of "$MNT/a.notepack.gz.invalid")" = "$LOST" ]
check "… and in the status" grep -qF "{\"path\":\"a.notepack.gz.invalid\",\"error\":\"$LOST\"}" \
	"$MNT/.notepackfs/status"
check "its bytes are not lost" cmp "$DATA/text.gz" "$MNT/a.notepack.gz.invalid"
traced fsync
mv "$MNT/a.notepack.gz.invalid" "$MNT/a.notepack.gz"
"$NOTEPACKCTL" wait "$MNT"
healed
check "a second try is refused for the same reason" [ "$(error_of "$MNT/a.notepack.gz.invalid")" = "$LOST" ]
check "… and asks for no second fsync" [ "$(grep -cE "<($place|$MNT/a|$STORE/a)" "$WORK/trace")" = 0 ]
rm "$MNT/a.notepack.gz.invalid"
cp "$DATA/text.gz" "$MNT/a.notepack.gz"
"$NOTEPACKCTL" wait "$MNT"
check "written anew it is imported" cmp "$DATA/text" "$MNT/a"

cat >"$WORK/fsync.py" <<-'END'
	import os, shutil, sys
	with open(sys.argv[1], "rb") as src, open(sys.argv[2], "wb") as dst:
	    shutil.copyfileobj(src, dst)
	    dst.flush()
	    open(sys.argv[3], "w").close()
	    sys.stdin.readline()
	    os.fsync(dst.fileno())
END
coproc WRITER { exec python3 "$WORK/fsync.py" "$DATA/text.gz" "$MNT/b.notepack.gz" "$WORK/written" 2>"$WORK/err"; }
writer=$WRITER_PID
wait_for 10 [ -e "$WORK/written" ]
failing fsync "$IMPORTS/$(ls "$IMPORTS")"
echo go >&"${WRITER[1]}"
wait "$writer"
healed
check "a writer's fsync of an import fails" grep -q 'OSError.*Input/output error' "$WORK/err"
"$NOTEPACKCTL" wait "$MNT"
check "then it is refused when it is closed" [ "$(error_of "$MNT/b.notepack.gz.invalid")" = "$LOST" ]
stop "with imports whose fsync failed"

# ---- the directory of a refused one cannot be synced ----

# Named bug: its old place was gone by then, and it was tried again for ever, and listed nowhere.
start grace=60
echo "no gzip file" >"$MNT/c.notepack.gz"
failing fsync "$STORE"
"$NOTEPACKCTL" wait "$MNT"
healed
check "the sync of its directory was asked for, and failed" grep -q 'fsync(.*INJECTED' "$WORK/trace"
check "a refused import is there all the same" [ "$(cat "$MNT/c.notepack.gz.invalid")" = "no gzip file" ]
check "… with its reason" grep -q "not a gzip file" <<<"$(error_of "$MNT/c.notepack.gz.invalid")"
check "the log says what may come of it" grep -q 'c.notepack.gz.invalid: its directory could not be synced' "$LOG"
check "nothing is left where imports lie" [ -z "$(ls "$IMPORTS")" ]
traced fsync
sync "$MNT/c.notepack.gz.invalid"
healed
check "an fsync of it asks for its directory again" grep -q "<$STORE>) = 0" "$WORK/trace"
failing fsync "$STORE/c.notepack.gz.invalid"
echo "no gzip file" >"$MNT/c.notepack.gz"
"$NOTEPACKCTL" wait "$MNT"
healed
check "an fsync of a refused one fails, when its bytes come again" grep -q 'fsync(.*INJECTED' "$WORK/trace"
check "then it is no reason to do without the other" [ "$(cat "$MNT/c.notepack.gz.2.invalid")" = "no gzip file" ]
stop "with a directory that was not synced"

# ---- who waits for a verdict need not wait for ever ----

# It says when it is about to open, and has nothing else to wait for.
cat >"$WORK/reader.py" <<-'END'
	import sys
	open(sys.argv[2], "w").close()
	open(sys.argv[1], "rb").read()
END
# read_and_kill SIGNAL: a reader of the import, killed while it waits
read_and_kill() {
	rm -f "$WORK/reading"
	python3 "$WORK/reader.py" "$MNT/w.notepack.gz" "$WORK/reading" &
	local reader=$! dead=0
	wait_for 10 [ -e "$WORK/reading" ]
	wait_for 10 grep -q '^State:.[SD]' "/proc/$reader/status"
	kill "-$1" "$reader"
	wait_for 2 has_ended "$reader" || dead=1
	wait "$reader" 2>/dev/null
	return "$dead"
}

start grace=60
cp "$DATA/text.gz" "$MNT/w.notepack.gz"
strace -f -qq -p "$DAEMON" -o "$WORK/trace" -P "$IMPORTS/$(ls "$IMPORTS")" \
	-e trace=pread64 -e inject=pread64:delay_enter=20000000:when=2+ 2>>"$LOG" &
TRACER=$!
wait_for 10 grep -q TracerPid:.[1-9] "/proc/$DAEMON/status"
cmp "$DATA/text.gz" "$MNT/w.notepack.gz" &
patient=$!
wait_for 10 [ -s "$WORK/trace" ]
check "who reads an import that takes long to verify can be stopped" read_and_kill TERM
check "… and killed" read_and_kill KILL
check "… and who renames it, too" [ "$(timeout 1 mv "$MNT/w.notepack.gz" "$MNT/v.notepack.gz"; echo $?)" = 124 ]
check "meanwhile there is no verdict" [ ! -e "$STORE/w.notepack.gz" ]
healed
wait "$patient"
check "who waits for it gets it" [ $? = 0 ]
# Killed at any moment: before they are parked, while, and when the verdict wakes them.
cat >"$WORK/crowd.py" <<-'END'
	import os, random, signal, sys, time
	mnt, gz = sys.argv[1], open(sys.argv[2], "rb").read()
	def read(path):
	    pid = os.fork()
	    if pid:
	        return pid
	    signal.signal(signal.SIGTERM, signal.SIG_DFL)
	    try:
	        with open(path, "rb") as f:
	            os._exit(f.read() != gz)
	    except BaseException:
	        os._exit(2)
	ends = {}
	for i in range(150):
	    path = f"{mnt}/crowd.{i}.notepack.gz"
	    with open(path, "wb") as f:
	        f.write(gz)
	    readers = [read(path) for _ in range(4)]
	    for pid in readers:
	        time.sleep(random.random() * 0.004)
	        os.kill(pid, signal.SIGTERM)
	    for pid in readers:
	        end = os.waitpid(pid, 0)[1]
	        ends[end] = ends.get(end, 0) + 1
	print("# ends of readers:", ends)
	sys.exit(set(ends) - {0, signal.SIGTERM} != set() or signal.SIGTERM not in ends)
END
check "so can many, at any moment" python3 "$WORK/crowd.py" "$MNT" "$DATA/text.gz"
stop "with readers that were stopped"
check "nothing is left where imports lie" [ -z "$(ls "$IMPORTS")" ]

# ---- a commit that failed, and had reached the disk: the record is there, the object went back ----

start grace=60
cp -p "$DATA/text.gz" "$MNT/e.notepack.gz"
failing fsync "$STORE/.notepackfs"
"$NOTEPACKCTL" wait "$MNT"
check "a commit fails, and is tried again" grep -q '"path":"e.notepack.gz".*"error":"Input/output error"' \
	"$MNT/.notepackfs/status"
crash
wait "$TRACER"
check "it had reached the disk" grep -q '"path":"e.notepack.gz"' "$STORE/.notepackfs/manifest"
check "and its object went back" cmp "$DATA/text.gz" "$IMPORTS/$(ls "$IMPORTS")"
start grace=60
check "after a crash it is in its place" cmp "$DATA/text" "$MNT/e"
check "… and nothing is in quarantine" [ -z "$(ls "$STORE/.notepackfs/quarantine")" ]
stop "after a commit that failed"

# went_back NAME FILE: FILE lies where imports lie, noted to belong to NAME, whose object is not there
went_back() {
	rm -f "$STORE/$1"
	cp -p "$2" "$IMPORTS/9999"
	chmod 640 "$IMPORTS/9999"
	setfattr -n user.notepackfs.path -v "$1" "$IMPORTS/9999"
}

start grace=60
mkdir "$MNT/d"
cp -p "$DATA/text.gz" "$MNT/d/x.notepack.gz"
"$NOTEPACKCTL" wait "$MNT"
stop "with one to go back"
went_back d/x.notepack.gz "$DATA/text.gz"
start grace=60
check "an object that the manifest waits for gets its place" cmp "$DATA/text" "$MNT/d/x"
check "… in the store" cmp "$DATA/text.gz" "$STORE/d/x.notepack.gz"
check "… read-only, and without the note" \
	[ "$(stat -c %a "$STORE/d/x.notepack.gz") $(getfattr -d "$STORE/d/x.notepack.gz" 2>/dev/null)" = "440 " ]
check "nothing is left where imports lie" [ -z "$(ls "$IMPORTS")" ]
check "nothing is in quarantine" [ -z "$(ls "$STORE/.notepackfs/quarantine")" ]
check "the log tells it" grep -q '"event":"recover".*"path":"d/x.notepack.gz","what":"put back' "$MNT/.notepackfs/log"
crash
went_back d/x.notepack.gz "$DATA/text.gz"
start grace=60
check "so it does after a crash" cmp "$DATA/text" "$MNT/d/x"
check "check --deep is content" quietly "$NOTEPACKCTL" check --deep "$MNT"
stop "after a crash"
# As long, and another one, whatever the time is that gzip wrote there.
python3 - "$DATA/text.gz" "$DATA/other.gz" <<-'END'
	import sys
	data = bytearray(open(sys.argv[1], "rb").read())
	data[4] ^= 1
	open(sys.argv[2], "wb").write(data)
END
went_back d/x.notepack.gz "$DATA/other.gz"
start grace=60
check "another file does not get it" [ ! -e "$STORE/d/x.notepack.gz" ]
check "… and is kept" cmp "$DATA/other.gz" "$STORE/.notepackfs/quarantine/import.1.gz"
stop "with another file"
cp -p "$DATA/text.gz" "$STORE/d/x.notepack.gz"
start grace=60
cp -p "$STORE/d/x.notepack.gz" "$IMPORTS/9999"
setfattr -n user.notepackfs.path -v d/x.notepack.gz "$IMPORTS/9999"
crash
start grace=60
check "what is there is not replaced" cmp "$DATA/text" "$MNT/d/x"
check "… and its double is kept" cmp "$DATA/text.gz" "$STORE/.notepackfs/quarantine/import.2.gz"
stop "with a double"

# ---- what cannot be looked at, at a start, is not forgotten ----

# Named bug: a file whose fstat failed counted as none, so the import was passed by, and the stop was clean.
start grace=60
cp "$DATA/text.gz" "$MNT/later.notepack.gz"
crash
# -D: the process is the daemon's.
cat >"$WORK/failing" <<-END
	#!/bin/sh
	export ASAN_OPTIONS="$ASAN_OPTIONS:detect_leaks=0" # it does not work under ptrace
	exec strace -D -f -qq -o "$WORK/trace" -P "$IMPORTS/$(ls "$IMPORTS")" -e trace=newfstatat,fstat \
		-e inject=newfstatat,fstat:error=EIO "$NOTEPACKFS" "\$@"
END
chmod +x "$WORK/failing"
sound=$NOTEPACKFS
NOTEPACKFS=$WORK/failing
start grace=60
NOTEPACKFS=$sound
check "an import cannot be looked at, at a start" grep -q INJECTED "$WORK/trace"
check "… the log says so" grep -q "import/.*: cannot be examined: Input/output error" "$LOG"
status=0
"$NOTEPACKCTL" umount "$MNT" >>"$LOG" 2>&1 || status=$?
daemon_status
check "… the stop does not say that all is done" [ "$status" -ne 0 ]
start grace=0
"$NOTEPACKCTL" wait "$MNT"
check "… and the next mount has it" cmp "$DATA/text" "$MNT/later"
stop "with what was left"
finish
