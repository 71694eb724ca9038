# SPDX-License-Identifier: BSD-2-Clause
"""rows_scale: many files, many records, and what one user notices of others."""
import contextlib
import os
import pathlib
import subprocess
import sys
import time

from bench import MIB, Failed, same, wait_until
from rows import Bar, Figure, row

LOAD = pathlib.Path(__file__).with_name("load.py")


@contextlib.contextmanager
def many_files(bench):
    """A mount with 100,000 sealed files in its root, of 64 bytes."""
    count = bench.size(100000, 500)
    source = bench.corpus("jsonl", bench.size(64 * MIB, MIB))
    with bench.mount() as mount:
        bench.tool("iotimer", "files", source, mount.path, count, 64)
        mount.ctl("wait", mount.path)
        same("the number of objects", len(list(mount.store.glob("f*.notepack.gz"))), count)
        yield mount, count


def entries_row(key, title, command, bar, how):
    @row(
        key,
        title,
        [Figure("speed", "", "entries/s", (Bar(">=", bar, "native"),))],
        measures=f"{how}, the second time by one process, against the same in the store: 100,000 objects in "
        "one directory.",
    )
    def entries(bench):
        with many_files(bench) as (mount, count):

            def one(path, extra):
                took = bench.tool("iotimer", command, path)
                same("entries", took["entries"], count + extra)
                return {"speed": took["entries"] / took["seconds"]}

            # The store's own directory, .notepackfs, is not listed in the mount.
            yield {"notepackfs": lambda: one(mount.path, 0), "native": lambda: one(mount.store, 1)}


entries_row("stat", "stat of 100,000 entries, warm", "stat", 0.7, "fstatat of each name of a directory")
entries_row("ls", "list 100,000 entries, warm", "list", 0.5, "readdir of a directory")


@row(
    "commit",
    "manifest commit at 1,000,000 records",
    [
        Figure("p50", "p50", "ms", (Bar("<=", 2, "at 1,000 records"),)),
        Figure("p99", "p99", "ms"),
    ],
    measures="commits of one record each, durable, through lib/manifest.h; some fold the tail into a chunk.",
)
def commit(bench):
    count = bench.size(200, 20)
    with bench.native() as native:
        big, small = native / "big", native / "small"
        bench.tool("bigstore", "make", big, bench.size(1000000, 5000))
        bench.tool("bigstore", "make", small, bench.size(1000, 50))

        def one(store):
            before = bench.tool("bigstore", "load", store)["records"]
            took = bench.tool("bigstore", "commit", store, count)
            same("records", took["records"], before + count)
            return {"p50": took["p50"], "p99": took["p99"]}

        yield {"notepackfs": lambda: one(big), "at 1,000 records": lambda: one(small)}


@row(
    "mount",
    "mount a store of 1,000,000 records",
    [
        Figure("time", "time", "s", (Bar("<=", 2.5),)),
        Figure("rss", "resident", "MiB", (Bar("<=", 300),)),
    ],
    measures="notepackfs until it returns, which is when the mount is usable, after a clean stop, with the "
    "manifest in the page cache; VmRSS of the daemon then, before anything is looked up.",
)
def mount_many(bench):
    count = bench.size(1000000, 5000)
    with bench.native() as native:
        store = native / "store"
        bench.tool("bigstore", "make", store, count)

        def ours():
            start = time.monotonic()
            with bench.mount(store=store) as mount:
                seconds = time.monotonic() - start
                rss = mount.memory_mib("VmRSS")
                same("records", mount.status()["records"], count)
                size = os.stat(mount / "2026/000020/events-00002026.jsonl").st_size
                same("bytes of a record", size, 2026000)
                return {"time": seconds, "rss": rss}

        yield {"notepackfs": ours}


# ---- what others notice ----

CALLS = {"sealed": "statx, sealed", "written": "statx, written", "absent": "statx, absent", "mkdir": "mkdir"}
POINTS = [(kind, point) for kind in CALLS for point in ("p50", "p99")]


@contextlib.contextmanager
def load(bench, *jobs):
    """Processes of load.py, each (JOB, ARGUMENT…), that run until the end."""
    running = []
    try:
        for job in jobs:
            argv = [sys.executable, str(LOAD), *map(str, job)]
            running.append((job, subprocess.Popen(argv, stderr=subprocess.PIPE)))
        yield
        for job, process in running:
            if process.poll() is not None:
                raise Failed(f"load.py {job[0]} ended: {process.stderr.read().decode().strip()}")
    finally:
        for _, process in running:
            process.kill()
            process.communicate()


def calls(bench, mount, prefix):
    """Of iotimer calls, in ms."""
    took = bench.tool("iotimer", "calls", mount.path, bench.size(10, 0.5), prefix)
    return {key: value / 1e3 for key, value in took.items()}


def remove_written(mount):
    for path in mount.path.glob("written?*"):
        path.unlink(missing_ok=True)


@row(
    "load",
    "stat while others write, read, and sealing goes on",
    [Figure("p99", "p99", "ms", (Bar("<=", 10),)), Figure("mkdir", "p99 of mkdir", "ms")],
    measures="statx, past the kernel's caches, of a sealed file, of one that is written, and of a name that "
    "is not there (the worst of the three), while two writers fill files of 64 MiB, which are sealed, and "
    "two readers read 64 MiB by a plain name, past the page cache.",
)
def stat_under_load(bench):
    source = bench.corpus("jsonl", bench.size(64 * MIB, 2 * MIB))
    prefixes = iter(range(1000))
    with bench.mount("grace=0.05", f"backlog={bench.size('1G', '8M')}", "allow_delete") as mount:
        mount.put(source, "sealed")
        (mount / "written").write_bytes(b"at rest")
        written = open(mount / "written", "ab")

        def ours():
            jobs = [("write", source, mount / f"written-{n}") for n in range(2)]
            jobs += [("read", mount / "sealed")] * 2
            before = mount.status()["sealed_files"]
            with load(bench, *jobs):
                wait_until(lambda: mount.status()["sealed_files"] > before, "nothing is sealed")
                took = calls(bench, mount, f"load{next(prefixes)}")
            remove_written(mount)
            worst = max(took[f"{kind}_p99"] for kind in ("sealed", "written", "absent"))
            return {"p99": worst, "mkdir": took["mkdir_p99"]}

        with written:
            yield {"notepackfs": ours}
        bench.check_gzip(mount.object("sealed"), source)


@row(
    "backlog",
    "calls of others while writers wait for room in the backlog",
    [Figure(f"{kind}-{point}", f"{CALLS[kind]}, {point}", "ms") for kind, point in POINTS],
    measures="as the row before, with four writers against a backlog of 32 MiB, so that they are slowed "
    "down, and no reader; against the same calls while nothing is written. Each run sees writers slowed in "
    "the status.",
)
def stat_under_backlog(bench):
    source = bench.corpus("random", bench.size(64 * MIB, 16 * MIB))
    prefixes = iter(range(1000))
    backlog = f"backlog={bench.size('32M', '4M')}"
    with bench.mount(backlog, "grace=0.05", "allow_delete") as mount:
        mount.put(source, "sealed")
        (mount / "written").write_bytes(b"at rest")
        written = open(mount / "written", "ab")

        def one():
            took = calls(bench, mount, f"backlog{next(prefixes)}")
            return {f"{kind}-{point}": took[f"{kind}_{point}"] for kind, point in POINTS}

        def slowed():
            with load(bench, *(("write", source, mount / f"written-{n}") for n in range(4))):
                wait_until(lambda: mount.status()["slowed_writers"] > 0, "no writer is slowed")
                values = one()
            remove_written(mount)
            return values

        with written:
            yield {"full backlog": slowed, "at rest": one}
