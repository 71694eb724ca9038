#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Files that are read in order are read ahead: what is read is right while they are renamed, removed and
# closed meanwhile, many at a time, in bounded memory.
. "$(dirname "$0")/lib.sh"

FILES=80
STEP=65536

# Read FILE in steps, calling the commands given after it at the half; what came is compared with WANT.
read_and_at_half() {
	local file=$1 want=$2
	shift 2
	python3 - "$file" "$want" "$STEP" "$@" <<'PYTHON'
import os, subprocess, sys

path, want, step = sys.argv[1], open(sys.argv[2], "rb").read(), int(sys.argv[3])
fd = os.open(path, os.O_RDONLY)
got, half_done = b"", False
while piece := os.read(fd, step):
    got += piece
    if not half_done and len(got) >= len(want) // 2:
        half_done = True
        if sys.argv[4:]:
            subprocess.run(sys.argv[4:], check=True)
assert half_done and got == want, f"{len(got)} bytes of {len(want)}, or other ones"
PYTHON
}

# All files at the same time, by turns, each third closed at its half.
many_at_once() {
	python3 - "$MNT/d" "$WORK/source" "$FILES" "$STEP" <<'PYTHON'
import os, sys

mnt, source, count, step = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
want = [open(f"{source}/{i}", "rb").read() for i in range(count)]
fds = {i: os.open(f"{mnt}/{i}", os.O_RDONLY) for i in range(count)}
at = 0
while fds:
    for i in list(fds):
        piece = os.pread(fds[i], step, at)
        assert piece == want[i][at : at + step], f"file {i} at {at}"
        if not piece or (i % 3 == 0 and at > len(want[i]) // 2):
            os.close(fds.pop(i))
    at += step
PYTHON
}

peak_kib() {
	sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$DAEMON/status"
}

mkdir "$WORK/source"
for i in $(seq 0 $((FILES - 1))); do
	"$BUILD/tests/mount/makedata" file text $((1500000 + i * 1000)) "$i" >"$WORK/source/$i"
done
start grace=1h,allow_delete
mkdir "$MNT/d"
cp "$WORK"/source/* "$MNT/d/"
"$NOTEPACKCTL" wait "$MNT"
stop

start grace=1h,allow_delete
before=$(peak_kib)
check "$FILES files are read by turns" many_at_once
after=$(peak_kib)
echo "# the daemon's peak: $before KiB before, $after KiB behind"
if grep -qE '__(asan|tsan)_init' "$NOTEPACKFS"; then
	skip "what that takes is bounded, however many they are" "under a sanitizer memory is more"
else
	# 16 MiB of chunks, 8 threads of 0.3 MiB, four requests of 1 MiB.
	check "what that takes is bounded, however many they are" [ $((after - before)) -lt $((24 * 1024)) ]
fi
stop

start grace=1h,allow_delete
check "a file that is renamed while it is read in order" \
	read_and_at_half "$MNT/d/1" "$WORK/source/1" mv "$MNT/d/1" "$MNT/d/renamed"
check "one that is removed" read_and_at_half "$MNT/d/2" "$WORK/source/2" rm "$MNT/d/2"
check "one that is appended to and sealed" \
	read_and_at_half "$MNT/d/3" <(cat "$WORK/source/3" <(echo more)) \
	sh -c "echo more >>'$MNT/d/3' && '$NOTEPACKCTL' seal '$MNT/d/3'"
check "the first part of one is removed by its object's name" \
	read_and_at_half "$MNT/d/4" "$WORK/source/4" rm "$MNT/d/4.notepack.gz"

# Half of one, and away: what is being read ahead then is in nobody's way.
dd if="$MNT/d/5" of=/dev/null bs=$STEP count=16 status=none
stop
check_clean_store
finish
