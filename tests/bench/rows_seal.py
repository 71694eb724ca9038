# SPDX-License-Identifier: BSD-2-Clause
"""rows_seal: how fast what was written becomes sealed."""
import hashlib
import os
import shutil
import time

from bench import GIB, MIB, Failed, repeat, same, sha256_gzip, timed
from rows import Bar, Figure, row


def check_begun_late(used, in_all):
    """A file that is compressed while it is written would make the seal look faster than it is."""
    if used > 1 and used > in_all / 3:
        raise Failed(f"{used:.1f} of {in_all:.1f} s of the daemon's CPU time were used before the clock ran")


def seal_row(key, kind, level, bound, faster=None, codec="auto"):
    peer = f"pigz -p2 -{level}"
    bars = (Bar(">=", faster, peer),) if faster else ()
    smaller = (Bar("<=", 1, peer),) if faster else ()

    @row(
        key,
        f"seal 256 MiB {kind}, 2 threads, level {level}{'' if codec == 'auto' else f', codec={codec}'}, verified",
        [Figure("speed", "", "MB/s", bars), Figure("size", "output", "MB", smaller)],
        measures="notepackctl seal of a file that was written and synced before, and of which nothing was "
        "compressed, from the call to its return: compressed, decompressed again, compared, hashed "
        "(SHA-256), fsynced, recorded. pigz reads from the page cache, too, and does none of the latter.",
        bound=bound,
    )
    def seal(bench):
        if codec != "auto":
            bench.need_codec(codec)
        source = bench.corpus(kind, bench.size(256 * MIB, 2 * MIB))
        size = source.stat().st_size

        def ours(mount):
            before = mount.cpu_seconds()
            shutil.copyfile(source, mount / "x.tmp")  # a name that is not compressed early
            os.rename(mount / "x.tmp", mount / "x")
            bench.settle()
            used = mount.cpu_seconds() - before
            seconds = mount.timed_ctl("seal", mount / "x")
            check_begun_late(used, mount.cpu_seconds() - before)
            output = mount.object("x").stat().st_size
            bench.check_gzip(mount.object("x"), source)
            mount.ctl("rm", mount / "x")
            return {"speed": size / seconds / 1e6, "size": output / 1e6}

        def pigz(native):
            seconds = timed("pigz", "-p2", f"-{level}", "-c", source, output=native / "x.gz")
            return {"speed": size / seconds / 1e6, "size": (native / "x.gz").stat().st_size / 1e6}

        with bench.mount(f"codec={codec}", f"level={level}", "grace=1h") as mount, bench.native() as native:
            yield {"notepackfs": lambda: ours(mount), peer: lambda: pigz(native)}


LEVEL_6 = (
    "libdeflate: 85 % of the CPU time, compressing, and decompressing to verify; SHA-256 5 %, the kernel 7 %, finding "
    "libdeflate's last block 2 %. Both processors are busy but for the last tenth of the time: the SHA-256 of the "
    "object, which cannot begin before its header is known, and what is left for the fsync."
)
seal_row("seal-6", "jsonl", 6, LEVEL_6, 1.6)
seal_row(
    "seal-1",
    "jsonl",
    1,
    "libdeflate: 58 % of the CPU time; finding its last block, of which its interface says nothing, 16 %, the kernel "
    "20 %, SHA-256 5 %. libdeflate-gzip -1 by itself takes 2.4 s of a processor for these data: with two, twice pigz's "
    "speed, before anything is verified. So the bar is out of its reach; codec=isal comes nearer. An interface of "
    "libdeflate's that tells where its last block begins would spare the 16 %.",
    4,
)
seal_row(
    "seal-1-isal",
    "jsonl",
    1,
    "ISA-L: 40 % of the CPU time; libdeflate, which verifies, 21 %, SHA-256 14 %, the kernel 24 %. igzip -1 by itself "
    "takes 1.1 s of a processor: with two, not quite four times pigz's speed, without verifying, hashing and "
    "making durable. What verifies and hashes would have to cost nothing; hashes of the chunks in the record, "
    "instead of one of all, would let both processors share in them.",
    4,
    codec="isal",
)
seal_row("seal-notepack", "notepack", 6, "libdeflate, as for jsonl.")
seal_row("seal-log", "log", 6, "libdeflate, as for jsonl.")
seal_row("seal-random", "random", 6, "libdeflate, and the disk.")


@row(
    "copy-unmount",
    "cp 1 GiB jsonl and clean unmount",
    [Figure("speed", "", "MB/s", (Bar(">=", 1.6, "cp; pigz -p2 -6"),))],
    measures="cp into a new mount and notepackctl umount, which returns when all is sealed, verified and "
    "durable; against cp to a plain directory and pigz there, which is not durable then. The mount itself is "
    "not timed. Three times as much page cache was filled and given up just before, for both alike.",
    bound="libdeflate: 77 % of the CPU time, compressing, and decompressing to verify; the kernel 15 %, most of it for "
    "cp: its bytes go to the page cache of the mount, to the daemon, and to that of the raw file, while half of the "
    "processors compresses; SHA-256 4 %. Both processors are busy but for the last twentieth of the time, the SHA-256 of "
    "the object. Writes that pass the page cache of the mount by (FOPEN_DIRECT_IO) were tried: 1.12 times the speed. "
    "But the kernel drops a page before such a write only, and a reader who fetched it meanwhile had zeroes: it "
    "would take a way to keep readers from that page.",
)
def copy_unmount(bench):
    source = bench.corpus("jsonl", bench.size(GIB, 4 * MIB))
    size = source.stat().st_size

    def ours():
        with bench.mount() as mount:
            bench.settle()
            bench.warm_memory(3 * size)
            seconds = timed("cp", source, mount / "x")
            start = time.monotonic()
            mount.umount()
            seconds += time.monotonic() - start
            bench.check_gzip(mount.object("x"), source)
            return {"speed": size / seconds / 1e6}

    def pigz():
        with bench.native() as native:
            bench.settle()
            bench.warm_memory(3 * size)
            seconds = timed("cp", source, native / "x") + timed("pigz", "-p2", "-6", native / "x")
            return {"speed": size / seconds / 1e6}

    yield {"notepackfs": ours, "cp; pigz -p2 -6": pigz}


@row(
    "close-listed",
    "last close to listed as sealed, 1 GiB written at 50 MB/s, beyond grace",
    [Figure("time", "", "ms", (Bar("<=", 200),))],
    measures="one writer, 1 MiB writes; from its close until a stat finds the sealed name (looked for twice "
    "a millisecond), less the grace of 1 s. The bar is 50 ms + 150 ms for the GiB.",
    bound="renames, fsyncs and the manifest's commit. Compressing the last chunk, the SHA-256 of the object and comparing "
    "each chunk with what the raw file has now are done by then, while grace runs, if the processors have time: in "
    "0.6 to 0.9 s for a GiB.",
    most_runs=3,
)
def close_listed(bench):
    source = bench.corpus("jsonl", bench.size(GIB, 4 * MIB))

    grace = bench.size(1, 0.1)

    with bench.mount(f"grace={grace}") as mount:

        def ours():
            took = bench.tool("iotimer", "pace", source, mount / "x", 50, mount / "x.notepack.gz")["seconds"]
            bench.check_gzip(mount.object("x"), source)
            mount.ctl("rm", mount / "x")
            return {"time": (took - grace) * 1000}

        yield {"notepackfs": ours}


@row(
    "small-files",
    "10,000 files of 4 KiB: created, sealed, durable",
    [Figure("speed", "", "files/s", (Bar(">=", 4000), Bar(">=", 8, "gzip for each")))],
    measures="one program creates the files one by one, then notepackctl wait returns when all are sealed "
    "and durable. The peers compress files that are there already (find -exec gzip: one process for each "
    "file, and one for all); creating them is not timed, and they are not durable then.",
    bound="the kernel's seven requests for each file (LOOKUP, CREATE, GETXATTR, WRITE, FLUSH, RELEASE, GETATTR of the "
    "directory), each with two switches between processes: they are a third of all CPU time; a file system that only "
    "passes requests on creates as few files a second. Then two inodes for each file (raw, object), a rename and an "
    "unlink. Requests through io_uring (Linux 6.14 with libfuse 3.18) would spare the switches.",
)
def small_files(bench):
    count = bench.size(10000, 100)
    source = bench.corpus("jsonl", bench.size(64 * MIB, 2 * MIB))
    with open(source, "rb") as file:
        head = file.read(count * 4096)

    def ours():
        with bench.mount() as mount:
            bench.settle()
            start = time.monotonic()
            bench.tool("iotimer", "files", source, mount.path, count, 4096)
            mount.ctl("wait", mount.path)
            seconds = time.monotonic() - start
            check_small(mount, count, head)
            return {"speed": count / seconds}

    def gzip(how):
        with bench.native() as native:
            bench.tool("iotimer", "files", source, native, count, 4096)
            bench.settle()
            seconds = timed("find", native, "-type", "f", "-exec", "gzip", "{}", how)
            return {"speed": count / seconds}

    yield {"notepackfs": ours, "gzip for each": lambda: gzip(";"), "one gzip": lambda: gzip("+")}


def check_small(mount, count, head):
    objects = sorted(mount.store.glob("f*.notepack.gz"))
    same("the number of objects", len(objects), count)
    digest = hashlib.sha256(head).hexdigest()
    same("the SHA-256 of all objects' content", sha256_gzip(*objects), digest)


@row(
    "rss",
    "memory while 10 GiB are sealed with 2 threads",
    [Figure("rss", "most resident", "MiB", (Bar("<=", 64),))],
    measures="VmHWM of the daemon, from its start until one file of 10 GiB (1 GiB of events, ten times) is "
    "sealed.",
    bound="the window of chunks that are compressed side by side, half a MiB each, and the compressors.",
    most_runs=1,
)
def memory(bench):
    source = bench.corpus("jsonl", bench.size(GIB, 4 * MIB))
    bench.need_space(20 * source.stat().st_size)

    def ours():
        with bench.mount("grace=1h", "backlog=0") as mount:
            repeat(source, 10, mount / "x")
            mount.ctl("seal", mount / "x")
            rss = mount.memory_mib("VmHWM")
            size = (mount / "x").stat().st_size
            same("bytes", size, 10 * source.stat().st_size)
            same("parts", len(list(mount.store.glob("x*.notepack.gz"))), 1)
            return {"rss": rss}

    yield {"notepackfs": ours}
