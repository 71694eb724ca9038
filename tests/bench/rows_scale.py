# SPDX-License-Identifier: BSD-2-Clause
"""rows_scale: many files, many records, and what one user notices of others."""
import contextlib
import os
import pathlib
import subprocess
import sys
import time

from bench import GIB, MIB, Failed, same, wait_until
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
        bound="the kernel, which keeps names, attributes and listings until it is told that they have changed: no "
        "request reaches the daemon.",
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
    bound="two fsyncs, of the manifest's tail and of its directory.",
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
    bound="parsing the records and putting each in its place: 60 % of the CPU time; SHA-256 of the chunks 19 %, "
    "reading them and getting memory 22 %.",
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
                size = os.stat(mount / "2026/000010/events-00001002.jsonl").st_size
                same("bytes of a record", size, MIB + 2026)
                return {"time": seconds, "rss": rss}

        yield {"notepackfs": ours}


# ---- curves: what grows with the archive, and how ----

# Of one model, so that a million of them are 1 TiB of sealed data.
MODEL_BYTES = 1100000
STEPS = (1000000, 100000, 10000, 1000)


def at(count):
    return f"at {count:,}"


def curve(bench, smoke, one, steps=STEPS):
    """{side: measure}: one(n), for the largest as the subject, and for the others as peers."""
    sizes = {at(n) if n != steps[0] else "notepackfs": bench.size(n, max(smoke * n // steps[0], 10)) for n in steps}
    return {side: (lambda n=n: one(n)) for side, n in sizes.items()}


@contextlib.contextmanager
def filled(bench, work, count, per_dir):
    """A store with so many files of MODEL_BYTES, with objects, and one more: made once a row."""
    store = work / f"store-{count}-{per_dir}"
    if not store.exists():
        with bench.mount(store=store) as mount:
            (mount / "model").write_bytes(b"a line of a log\n" * (MODEL_BYTES // 16))
        bench.tool("bigstore", "fill", store, count, per_dir)
    with bench.mount(store=store) as mount:
        same("records", mount.status()["records"], count + 1)
        yield mount


def seconds_of(job):
    start = time.monotonic()
    job()
    return time.monotonic() - start


def count_entries(path):
    with os.scandir(path) as entries:
        return sum(1 for _ in entries)


def read_through(path):
    """A file that is made when it is opened; its bytes."""
    size = 0
    with open(path, "rb") as file:
        while block := file.read(MIB):
            size += len(block)
    return size


@row(
    "curve-records",
    "1,000,000 records, 1 TiB of files",
    [
        Figure("mount", "mount", "s"),
        Figure("rss", "resident", "MiB"),
        Figure("peak", "most resident", "MiB"),
        Figure("status", "notepackctl status", "s"),
        Figure("manifest", "read the manifest", "s"),
        Figure("sums", "read sha256sums", "s"),
        Figure("check", "notepackctl check", "s"),
        Figure("umount", "umount", "s"),
    ],
    measures="the same with 100 files in each directory, for each number of records; resident is VmRSS, and "
    "most resident VmHWM, when the mount returns; check is that of the store, not mounted.",
    bound="parsing, as for the row mount: in proportion to the records.",
    most_runs=3,
)
def curve_records(bench):
    with bench.native() as native:

        def one(count):
            with filled(bench, native, count, 100) as mount:
                mount.umount()
                mounting = seconds_of(mount.mount)
                values = {"mount": mounting, "rss": mount.memory_mib("VmRSS"), "peak": mount.memory_mib("VmHWM")}
                values["status"] = mount.timed_ctl("status", mount.path)
                values["manifest"] = seconds_of(lambda: read_through(mount / ".notepackfs/manifest"))
                values["sums"] = seconds_of(lambda: read_through(mount / ".notepackfs/sha256sums"))
                values["umount"] = seconds_of(mount.umount)
                values["check"] = mount.timed_ctl("check", mount.store)
                return values

        yield curve(bench, 2000, one)


@row(
    "curve-dir",
    "1,000,000 files in one directory",
    [
        Figure("first", "first look-up", "s"),
        Figure("list", "list it", "s"),
        Figure("rss", "resident", "MiB"),
        Figure("peak", "most resident", "MiB"),
        Figure("stat", "stat of a name", "µs"),
        Figure("create", "create a file", "µs"),
        Figure("remove", "remove it", "µs"),
        Figure("ls", "notepackctl ls", "s"),
    ],
    measures="the same for each number of files. The first look-up of a name that is not there loads the "
    "directory; then it is listed; resident is VmRSS, and most resident VmHWM, after that. stat is of 1,000 "
    "plain names that were not looked up before; 1,000 empty files are created, and removed.",
    bound="the first look-up makes a node of each file, and a listing names each; else a directory's size does not "
    "matter.",
    most_runs=3,
)
def curve_dir(bench):
    with bench.native() as native:

        def one(count):
            with filled(bench, native, count, count) as mount:
                directory = mount / "2026/000000"
                values = {"first": seconds_of(lambda: os.path.exists(directory / "absent"))}
                entries = []
                values["list"] = seconds_of(lambda: entries.append(count_entries(directory)))
                same("entries", entries, [count])
                values["rss"], values["peak"] = mount.memory_mib("VmRSS"), mount.memory_mib("VmHWM")
                some = min(count, 1000)
                names = [directory / f"events-{i * (count // some):08}.jsonl" for i in range(some)]
                values["stat"] = seconds_of(lambda: [os.stat(name) for name in names]) / some * 1e6
                fresh = [directory / f"fresh-{i}" for i in range(bench.size(1000, 20))]
                values["create"] = seconds_of(lambda: [name.touch() for name in fresh]) / len(fresh) * 1e6
                values["remove"] = seconds_of(lambda: [name.unlink() for name in fresh]) / len(fresh) * 1e6
                values["ls"] = mount.timed_ctl("ls", directory)
                return values

        yield curve(bench, 2000, one)


@row(
    "curve-tree",
    "10,000 directories of 100 files",
    [
        Figure("walk", "walk through all, first", "s"),
        Figure("again", "… again", "s"),
        Figure("rename", "rename a directory", "ms"),
        Figure("rss", "resident", "MiB"),
    ],
    measures="the same for each number of directories: a listing of each, twice; then 100 renames of one of "
    "them, of which each is a commit; VmRSS in the end.",
    bound="a node for each file that is looked into; a rename is one record and one commit.",
    most_runs=3,
)
def curve_tree(bench):
    with bench.native() as native:

        def walk(mount):
            return sum(count_entries(entry.path) for entry in os.scandir(mount / "2026"))

        def one(dirs):
            with filled(bench, native, dirs * 100, 100) as mount:
                entries = []
                values = {key: seconds_of(lambda: entries.append(walk(mount))) for key in ("walk", "again")}
                same("entries", entries, [dirs * 100] * 2)
                here, there = mount / "2026/000000", mount / "2026/moved"
                times = bench.size(50, 2)

                def to_and_fro():
                    for _ in range(times):
                        here.rename(there)
                        there.rename(here)

                values["rename"] = seconds_of(to_and_fro) / times / 2 * 1e3
                values["rss"] = mount.memory_mib("VmRSS")
                return values

        yield curve(bench, 20, one, (10000, 1000, 100, 10))


@row(
    "curve-sparse",
    "seal a sparse file of 100 GiB",
    [Figure("time", "time", "s"), Figure("cpu", "CPU time", "s")],
    measures="a file of that size with 64 KiB of data at its start, in its middle and at its end, until it is "
    "sealed; the CPU time is the daemon's.",
    bound="SHA-256, by one thread, and reading the zeros: what a filesystem calls a hole is read all the same, since "
    "one that is wrong about it would cost data. The daemon's own time is in proportion (user time of 5, 10, 20 and "
    "40 GiB: 6.1, 11.6, 23.2 and 47.9 s); the kernel's is more where the zeros do not find memory at hand.",
    most_runs=1,
)
def curve_sparse(bench):
    def one(size):
        with bench.mount("grace=0") as mount:
            with open(mount / "sparse", "xb") as file:
                file.truncate(size)
                for offset in (0, size // 2, size - 65536):
                    file.seek(offset)
                    file.write(os.urandom(65536))
            seconds = mount.timed_ctl("wait", mount.path)
            same("bytes", os.stat(mount / "sparse").st_size, size)
            same("raw files", len(list(mount.store.glob("sparse"))), 0)  # one object, or several for want of room
            tick = 1 / os.sysconf("SC_CLK_TCK")
            return {"time": seconds, "cpu": max(mount.cpu_seconds(), tick)}

    sizes = {"notepackfs": 100 * GIB, "of 10 GiB": 10 * GIB, "of 1 GiB": GIB}
    yield {side: (lambda n=n: one(bench.size(n, n >> 10))) for side, n in sizes.items()}


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
    "is not there (the worst of the three), while two writers fill files of 64 MiB, which are sealed, and then "
    "removed, and two readers read 64 MiB by a plain name, past the page cache.",
    bound="the processors: four processes and the sealing share two of them with the calls that are timed.",
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
    bound="the processors, which compress for the writers.",
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
