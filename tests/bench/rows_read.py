# SPDX-License-Identifier: BSD-2-Clause
"""rows_read: what a reader notices. What is beneath a mount is in the page cache, for both sides."""
from bench import GIB, MIB, repeat, same, sha256_of, timed
from rows import Bar, Figure, row, speed

LATENCY = (Figure("p50", "p50", "ms", (Bar("<=", 1),)), Figure("p99", "p99", "ms", (Bar("<=", 3),)))


def read(bench, path, size):
    """MB/s of one reader with reads of 1 MiB; all of the size must come."""
    took = bench.tool("iotimer", "read", path, MIB)
    same(f"bytes of {path}", took["bytes"], size)
    return {"speed": size / took["seconds"] / 1e6}


def remount(mount):
    """Nothing is in the daemon's memory then, and nothing of the mount in the page cache."""
    mount.umount()
    mount.mount()


@row(
    "read-object",
    "read a .notepack.gz through the mount",
    speed(Bar(">=", 0.95, "native")),
    measures="the object of 256 MiB jsonl, reads of 1 MiB, first time after a mount, against the same file "
    "in the store. The store's file is in the page cache.",
    bound="copying: the kernel reads the object without the daemon (passthrough).",
)
def read_object(bench):
    source = bench.corpus("jsonl", bench.size(256 * MIB, 4 * MIB))
    with bench.mount("grace=1h") as mount:
        mount.put(source, "x")
        beneath = mount.object("x")
        size = beneath.stat().st_size
        bench.check_gzip(mount / "x.notepack.gz", source)

        def ours():
            remount(mount)
            return read(bench, mount / "x.notepack.gz", size)

        yield {"notepackfs": ours, "native": lambda: read(bench, beneath, size)}


@row(
    "read-first",
    "read a plain name, 256 MiB, first time",
    speed(Bar(">=", 2, "zcat")),
    measures="reads of 1 MiB by the plain name, decompressed and checked by the daemon, first time after a "
    "mount, against zcat of the same object to /dev/null.",
    bound="libdeflate, on both processors: a third of all CPU time is decompression, and nearly as much copying from "
    "the daemon into the mount's page cache.",
)
def read_first(bench):
    source = bench.corpus("jsonl", bench.size(256 * MIB, 4 * MIB))
    size = source.stat().st_size
    with bench.mount("grace=1h") as mount:
        mount.put(source, "x")
        bench.check_file(mount / "x", source)

        def ours():
            remount(mount)
            return read(bench, mount / "x", size)

        def zcat():
            return {"speed": size / timed("zcat", mount.object("x")) / 1e6}

        yield {"notepackfs": ours, "zcat": zcat}


@row(
    "read-again",
    "read a plain name, 256 MiB, again",
    speed(Bar(">=", 0.8, "native")),
    measures="the same once more, without a mount between, against the file itself in a plain directory, in "
    "the page cache.",
    bound="the kernel alone, no request reaches the daemon: a FUSE file's pages are found one by one, 4 KiB each, "
    "ext4's in folios of many. A kernel with large folios for FUSE lifts it; passthrough cannot: no file has these "
    "bytes.",
)
def read_again(bench):
    source = bench.corpus("jsonl", bench.size(256 * MIB, 4 * MIB))
    size = source.stat().st_size
    with bench.mount("grace=1h") as mount:
        mount.put(source, "x")
        bench.check_file(mount / "x", source)
        yield {
            "notepackfs": lambda: read(bench, mount / "x", size),
            "native": lambda: read(bench, source, size),
        }
        bench.check_file(mount / "x", source)


def random_reads(bench, mount, count, seed):
    """Each of another chunk of 256 KiB, so that none is decompressed for an earlier one."""
    took = bench.tool("iotimer", "random", mount / "x", count, 256 << 10, seed)
    return {"p50": took["p50"] / 1e3, "p99": took["p99"] / 1e3}


@row(
    "random",
    "4 KiB at random from 256 MiB plain, cold in the daemon",
    LATENCY,
    measures="preads of the plain name after a new mount, each of another chunk of 256 KiB; the object is in "
    "the page cache.",
    bound="decompressing the chunk of 256 KiB that the bytes are in: more than half of the daemon's CPU time.",
)
def random_256m(bench):
    source = bench.corpus("jsonl", bench.size(256 * MIB, 8 * MIB))
    seeds = iter(range(1000))
    with bench.mount("grace=1h") as mount:
        mount.put(source, "x")
        bench.check_file(mount / "x", source)

        def ours():
            remount(mount)
            return random_reads(bench, mount, bench.size(1000, 20), next(seeds))

        yield {"notepackfs": ours}


@row(
    "random-20g",
    "4 KiB at random from a 20 GiB segment, after the first use of its index",
    LATENCY,
    measures="as the row before, from one part of 20 GiB (1 GiB of log, twenty times, level 1), after one "
    "read. The object is in the page cache, as far as it fits.",
    bound="as the row before, and reading the object where it is not in the page cache.",
    most_runs=3,
)
def random_20g(bench):
    source = bench.corpus("log", bench.size(GIB, MIB))
    bench.need_space(45 * source.stat().st_size)  # or it is sealed in pieces, to save room
    seeds = iter(range(1000))
    with bench.mount("grace=1h", "backlog=0", "level=1") as mount:
        repeat(source, 20, mount / "x")
        mount.ctl("seal", mount / "x")
        same("parts", len(list(mount.store.glob("x*.notepack.gz"))), 1)

        def ours():
            remount(mount)
            random_reads(bench, mount, 1, 1000)
            return random_reads(bench, mount, bench.size(1000, 20), next(seeds))

        yield {"notepackfs": ours}
        with open(mount / "x", "rb") as file:
            file.seek(19 * source.stat().st_size)
            same("the SHA-256 of the last twentieth", sha256_of(file), bench.sums[source])
