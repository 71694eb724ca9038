# SPDX-License-Identifier: BSD-2-Clause
"""rows_write: what a writer notices. Nothing is sealed meanwhile: grace is an hour; files are removed."""
from bench import GIB, MIB, Failed
from rows import Bar, Figure, row, speed


def write_row(key, title, size, shape, full, bars, bound):
    """One writer; `shape` of iotimer: append (O_APPEND) or plain."""
    peers = [bar.peer for bar in bars]

    @row(
        key,
        title,
        speed(*bars),
        measures=f"one writer of {size:,} byte writes from memory, "
        f"{'with' if shape == 'append' else 'without'} O_APPEND, from open to close, into the page cache; "
        f"{full // MIB:,} MiB. Nothing is sealed meanwhile. Three times as much page cache was filled and given up just before, "
        "for all alike.",
        bound=bound,
    )
    def write(bench):
        source = bench.corpus("jsonl", bench.size(full, MIB))

        def one(path, remove):
            bench.settle()
            bench.warm_memory(3 * source.stat().st_size)  # a mount has it twice
            seconds = bench.tool("iotimer", "write", source, path, size, shape)["seconds"]
            bench.check_file(path, source)
            remove(path)
            return {"speed": source.stat().st_size / seconds / 1e6}

        def unlink(path):
            path.unlink()

        with bench.mount("grace=1h") as mount, bench.native() as native, bench.passthrough() as (through, _):
            sides = {"notepackfs": lambda: one(mount / "x", lambda path: mount.ctl("rm", path))}
            if "native" in peers:
                sides["native"] = lambda: one(native / "x", unlink)
            if "passthrough" in peers:
                sides["passthrough"] = lambda: one(through / "x", unlink)
            yield sides


PASSED = (
    "the kernel writes to the raw file without the daemon (passthrough): what is more than natively is its second "
    "inode, with a lock, times and a size of its own, about 0.3 µs a write, and opening and closing, 1 to 5 ms."
)
write_row("append-128k", "append, 128 KiB writes", 128 << 10, "append", GIB, (Bar(">=", 0.95, "native"),), PASSED)
write_row("append-4k", "append, 4 KiB writes", 4096, "append", 256 * MIB, (Bar(">=", 0.9, "native"),), PASSED)
write_row("append-200", "append, 200 B lines", 200, "append", 64 * MIB, (Bar(">=", 0.7, "native"),), PASSED)
write_row(
    "copy-in",
    "cp into the mount, 1 MiB writes",
    MIB,
    "plain",
    GIB,
    (Bar(">=", 0.22, "native"), Bar(">=", 1, "passthrough")),
    "copying: from the writer to the mount's page cache, from there to the daemon's memory, and from there to the "
    "page cache of the raw file; two thirds of the daemon's CPU time are the last one.",
)
write_row(
    "lines",
    "a line writer without O_APPEND, 200 B",
    200,
    "plain",
    64 * MIB,
    (Bar(">=", 1, "passthrough"),),
    "two switches between processes for each line: a writer who waits for the answer has no second line under way.",
)


@row(
    "fsync",
    "fsync of a 4 KiB append",
    [Figure("p50", "p50", "µs", (Bar("<=", 1.5, "native"),)), Figure("p99", "p99", "µs")],
    measures="write of 4 KiB with O_APPEND, and fsync, one after the other; both together are timed. Default "
    "options: what was fsynced is sealed in the background.",
    bound="the disk: the fsync of the raw file; a request to the daemon more than natively.",
)
def fsync(bench):
    count = bench.size(1000, 20)
    source = bench.corpus("jsonl", bench.size(64 * MIB, MIB))
    with open(source, "rb") as file:
        head = file.read(count * 4096)

    def one(path):
        took = bench.tool("iotimer", "fsync", source, path, count)
        if path.read_bytes() != head:
            raise Failed(f"{path} has other bytes than were written")
        return {"p50": took["p50"], "p99": took["p99"]}

    with bench.mount() as mount, bench.native() as native:

        def ours():
            values = one(mount / "x")
            mount.ctl("rm", mount / "x")
            return values

        def plain():
            values = one(native / "x")
            (native / "x").unlink()
            return values

        yield {"notepackfs": ours, "native": plain}
