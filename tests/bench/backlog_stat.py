#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""backlog_stat.py [--seconds N] [--dir DIR]: what others notice while writers wait for room in the backlog.

BUILD is the build directory. Mounts a store in DIR (default: TMPDIR), and measures in turn, four times
each: at rest, and with four writers that write as fast as they can against a backlog of 32 MiB. The
calls: statx of a sealed file, of one that is written, of a name that is not there, and mkdir. The
kernel's caches are not asked (AT_STATX_FORCE_SYNC; a name is used once).

Prints a table in milliseconds; how often the status file showed slowed writers; and the ratio of the
medians.
"""
import argparse
import ctypes
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

SYNC = 0x2000  # AT_STATX_FORCE_SYNC
libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(256)


def statx(path):
    libc.statx(-100, os.fsencode(path), SYNC, 0x7FF, buffer)


def timed(call, *arguments):
    start = time.perf_counter()
    call(*arguments)
    return (time.perf_counter() - start) * 1000


def measure(mnt, seconds, name, kinds, state):
    """One round; returns how many status reads saw a slowed writer, and how many there were."""
    slowed = looks = count = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        count += 1
        kinds["statx, sealed"][state].append(timed(statx, mnt / "sealed.notepack.gz"))
        kinds["statx, written"][state].append(timed(statx, mnt / "written0"))
        kinds["statx, absent"][state].append(timed(statx, mnt / f"no-{name}-{count}"))
        if count % 50 == 0:
            kinds["mkdir"][state].append(timed(os.mkdir, mnt / f"dir-{name}-{count}"))
            looks += 1
            slowed += b'"slowed_writers":0' not in (mnt / ".notepackfs/status").read_bytes()
        time.sleep(0.002)
    return slowed, looks


def write_on(mnt):
    writer = (
        "import os, sys\n"
        "block, n = os.urandom(1 << 20), 0\n"
        "while True:\n"
        "    with open(sys.argv[1], 'wb') as f:\n"
        "        for i in range(64):\n"
        "            f.write(block)\n"
        "    os.rename(sys.argv[1], sys.argv[1] + str(n := n + 1))\n"
    )
    return [
        subprocess.Popen(["python3", "-c", writer, str(mnt / f"written{i}")], stderr=subprocess.DEVNULL)
        for i in range(4)
    ]


def run(mnt, seconds):
    kinds = {k: ([], []) for k in ("statx, sealed", "statx, written", "statx, absent", "mkdir")}
    seen = [0, 0]
    (mnt / "sealed").write_bytes(os.urandom(100000))
    subprocess.run([BUILD / "mount/notepackctl", "seal", mnt], check=True, stdout=subprocess.DEVNULL)
    for turn in range(4):
        with open(mnt / "written0", "wb") as written:
            written.write(b"at rest")
            written.flush()
            measure(mnt, seconds, f"rest{turn}", kinds, 0)
        writers = write_on(mnt)
        while b'"slowed_writers":0' in (mnt / ".notepackfs/status").read_bytes():
            time.sleep(0.01)
        slowed, looks = measure(mnt, seconds, f"full{turn}", kinds, 1)
        seen = [seen[0] + slowed, seen[1] + looks]
        for w in writers:
            w.kill()
            w.wait()
        for path in mnt.glob("written*"):
            path.unlink(missing_ok=True)
    print(f"{'':16} {'at rest':>26} {'under full backlog':>26}")
    print(f"{'ms':16} {'median':>8} {'99 %':>8} {'max':>8} {'median':>8} {'99 %':>8} {'max':>8} {'ratio':>8}")
    for kind, both in kinds.items():
        line = f"{kind:16}"
        for times in both:
            times.sort()
            line += f" {statistics.median(times):8.3f} {times[len(times) * 99 // 100]:8.3f} {times[-1]:8.3f}"
        print(f"{line} {statistics.median(both[1]) / statistics.median(both[0]):8.1f}")
    print(f"{seen[0]} of {seen[1]} looks at the status saw writers slowed")


parser = argparse.ArgumentParser()
parser.add_argument("--seconds", type=float, default=5)
parser.add_argument("--dir", default=os.environ.get("TMPDIR", "/tmp"))
options = parser.parse_args()
BUILD = pathlib.Path(os.environ["BUILD"])
with tempfile.TemporaryDirectory(dir=options.dir, prefix="notepackfs-bench.") as work:
    mnt = pathlib.Path(work) / "mnt"
    (pathlib.Path(work) / "store").mkdir()
    mnt.mkdir()
    subprocess.run(
        [BUILD / "mount/notepackfs", f"{work}/store", mnt, "-o", "backlog=32M,grace=0.05,allow_delete"],
        check=True,
    )
    try:
        run(mnt, options.seconds)
    finally:
        subprocess.run([BUILD / "mount/notepackctl", "umount", mnt], check=True, stdout=subprocess.DEVNULL)
