# SPDX-License-Identifier: BSD-2-Clause
"""bench: what the rows use: a place to work in, mounts, corpora, programs that are timed.

Whatever fails raises Failed, and the row has no figure: half a job is not timed.
"""
import contextlib
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import time

MIB = 1 << 20
GIB = 1 << 30
THREADS = 2


class Failed(Exception):
    """A row cannot be measured; the text says why."""


class LeftOut(Exception):
    """A row cannot be measured with this build, and need not be; the text says why."""


def run(*argv, **options):
    """A program that must succeed; what it printed."""
    result = subprocess.run([str(a) for a in argv], capture_output=True, text=True, check=False, **options)
    if result.returncode != 0:
        said = (result.stderr or result.stdout).strip().splitlines()
        command = " ".join(str(a) for a in argv)
        raise Failed(f"{command}: exit status {result.returncode}: {said[-1] if said else 'no message'}")
    return result.stdout


def timed(*argv, output=None):
    """The seconds that a program takes; its standard output goes to a new file, or nowhere."""
    with open(output or os.devnull, "wb") as out:
        start = time.monotonic()
        result = subprocess.run([str(a) for a in argv], stdout=out, stderr=subprocess.PIPE, check=False)
        seconds = time.monotonic() - start
    if result.returncode != 0:
        message = result.stderr.decode(errors="replace").strip()
        raise Failed(f"{' '.join(str(a) for a in argv)}: exit status {result.returncode}: {message}")
    return seconds


def sha256_of(file):
    """From where it is to its end."""
    return hashlib.file_digest(file, "sha256").hexdigest()


def sha256(path):
    with open(path, "rb") as file:
        return sha256_of(file)


def sha256_gzip(*paths):
    """Of what gzip itself reads from these files, one after the other."""
    digest = hashlib.sha256()
    for at in range(0, len(paths), 1000):  # a command line has its limits
        argv = ["gzip", "-dc", *map(str, paths[at : at + 1000])]
        with subprocess.Popen(argv, stdout=subprocess.PIPE) as gzip:
            while block := gzip.stdout.read(MIB):
                digest.update(block)
        if gzip.returncode != 0:
            raise Failed(f"gzip does not read {paths[at]}, or one of those behind it")
    return digest.hexdigest()


def same(what, got, wanted):
    """Data that is not what was written ends the row."""
    if got != wanted:
        raise Failed(f"{what}: {got}, not {wanted}")


def repeat(source, times, path):
    """A file with the content of source so many times, written by one writer."""
    with open(path, "xb") as out:
        for _ in range(times):
            with open(source, "rb") as file:
                shutil.copyfileobj(file, out, MIB)


def wait_until(condition, what):
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            raise Failed(f"waited a minute in vain: {what}")
        time.sleep(0.01)


class Mount:
    """A store, mounted or not. Rows remove their files by rm, so that no run sees another's."""

    def __init__(self, bench, directory, options, store):
        self.bench, self.path = bench, directory / "mnt"
        self.store = store or directory / "store"
        self.options = ",".join(options)
        self.store.mkdir(exist_ok=True)
        self.path.mkdir()
        self.mounted = False

    def __truediv__(self, name):
        return self.path / name

    def mount(self):
        run(self.bench.build / "mount/notepackfs", self.store, self.path, "-o", self.options)
        self.mounted = True

    def umount(self):
        self.ctl("umount", self.path)
        self.mounted = False

    def ctl(self, *argv):
        return run(self.bench.build / "mount/notepackctl", *argv)

    def timed_ctl(self, *argv):
        return timed(self.bench.build / "mount/notepackctl", *argv)

    def status(self):
        return json.loads((self.path / ".notepackfs/status").read_bytes())

    def memory_mib(self, name):
        """Of the daemon: VmRSS, or VmHWM for the most that it had."""
        for line in pathlib.Path(f"/proc/{self.status()['pid']}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) / 1024
        raise Failed(f"the kernel does not tell {name}")

    def object(self, name):
        """The object in the store, not in the mount."""
        return self.store / f"{name}.notepack.gz"

    def cpu_seconds(self):
        """What the daemon has used so far."""
        fields = pathlib.Path(f"/proc/{self.status()['pid']}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def put(self, source, name):
        """A sealed file, written and verified by the mount."""
        shutil.copyfile(source, self.path / name)
        self.ctl("seal", self.path / name)
        return self.path / name

    def end(self):
        if not self.mounted:
            return
        try:
            self.umount()
        except Failed:
            subprocess.run(["umount", "-l", self.path], check=False)
            raise


class Bench:
    def __init__(self, build, work, smoke):
        self.build, self.work, self.smoke = build, work, smoke
        self.count = 0
        self.sums = {}

    def size(self, full, smoke):
        return smoke if self.smoke else full

    def directory(self, kind="dir"):
        """A new one."""
        self.count += 1
        path = self.work / f"{kind}{self.count}"
        path.mkdir()
        return path

    def tool(self, name, *argv):
        """The "NAME VALUE" lines that a program of tests/bench prints."""
        lines = run(self.build / "tests/bench" / name, *argv).splitlines()
        return {key: float(value) for key, value in map(str.split, lines)}

    def corpus(self, kind, size):
        """A file of this kind; one that is there already is used again."""
        path = self.work / "corpora" / f"{kind}-{size}"
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            timed(self.build / "tests/bench/corpus", kind, size, output=path)
            self.sums[path] = sha256(path)
        return path

    def check_file(self, path, source):
        same(f"the SHA-256 of {path}", sha256(path), self.sums[source])

    def check_gzip(self, path, source):
        same(f"the SHA-256 of what {path} holds", sha256_gzip(path), self.sums[source])

    def settle(self):
        """What was written before is not to be written during the next measurement. (Tests beside a smoke run
        write much, and its figures do not count.)"""
        if not self.smoke:
            run("sync", "-f", self.work)

    def warm_memory(self, size):
        """Memory that a virtual machine gave back to its host is slow at the first touch, for whoever is first:
        so much of it is used, and is free again."""
        path = self.directory("warm") / "x"
        with open(path, "xb") as file:
            for _ in range(0, size, MIB):
                file.write(bytes(MIB))
        shutil.rmtree(path.parent)

    def need_codec(self, codec):
        if not re.search(rf"[ (]{codec}[ )]", run(self.build / "mount/notepackfs", "-V")):
            raise LeftOut(f"this build has no codec {codec}")

    def need_space(self, size):
        free = shutil.disk_usage(self.work).free
        if free < size:
            raise Failed(f"{self.work} has {free / GIB:.0f} GiB free, and {size / GIB:.0f} GiB are needed")

    @contextlib.contextmanager
    def mount(self, *options, store=None):
        """A mount of a new store, or of this one; unmounted at the end, and its directory removed."""
        directory = self.directory("mount")
        mount = Mount(self, directory, [f"threads={THREADS}", *options], store)
        try:
            mount.mount()
            yield mount
        finally:
            mount.end()
            shutil.rmtree(directory)

    @contextlib.contextmanager
    def passthrough(self):
        """A directory that passthrough serves: (in the mount, beneath it)."""
        directory = self.directory("passthrough")
        source, path = directory / "source", directory / "mnt"
        source.mkdir()
        path.mkdir()
        run(self.build / "tests/bench/passthrough", source, path)
        try:
            yield path, source
        finally:
            run("fusermount3", "-u", path)
            shutil.rmtree(directory)

    @contextlib.contextmanager
    def native(self):
        """A directory on the file system that the stores are on."""
        directory = self.directory("native")
        try:
            yield directory
        finally:
            shutil.rmtree(directory)
