#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""mutate.py [--jobs N] [--changed BASE] [--most N] [--work DIRECTORY] [NAME…]: do the tests notice when
the product is broken?

Each file of tests/crash/mutations breaks one thing: an fsync, an order, a check is dropped. Lines of
the form "Caught by: TEST [VARIABLE=VALUE…] [ARGUMENT…]" before the patch name the tests that must then
fail, the quickest first: the path of a test below tests/, without its ending. A test that fails
without the mutation, too, has caught nothing. All mutations run, or those that are named; with
--changed only those that differ from the commit BASE, or are of files that do; with --most the first N of them.

The tree is copied, built once a job, and patched there; the tree itself is not touched. The copies are
kept, for the next run, where --work says. A mutation that no test catches is a hole in the tests, or a
line that is not needed, and one that does not apply or compile says nothing: exit 1.

Output is TAP; the last lines say how many were caught, and what was left out.
"""
import argparse
import os
import pathlib
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PATCHES = ROOT / "tests/crash/mutations"
TIMEOUT_SECONDS = 120
PLAIN = "--buildtype=debug", "-Ddebug=false"  # not optimised: to compile takes longer than to run
CLEANUP_SECONDS = 10


class Broken(Exception):
    """Why this mutation says nothing: it does not apply, or does not compile."""


class Mutation:
    def __init__(self, path):
        text = path.read_text()
        self.path, self.name = path, path.stem
        self.tests = re.findall(r"^Caught by: (.+)$", text, re.M)
        self.files = re.findall(r"^\+\+\+ b/(\S+)", text, re.M)
        if not self.tests or not self.files:
            sys.exit(f"{path}: no \"Caught by:\" line, or no patch")


class Copy:
    """A copy of the tree with a build directory of its own."""

    def __init__(self, where, number):
        self.tree, self.build = where / f"tree{number}", where / f"build{number}"
        self.sound = {}  # test: does it pass as the tree is?
        self.copy()
        if not (self.build / "build.ninja").exists():
            run(["meson", "setup", "-Dwerror=false", *PLAIN, self.build, self.tree], check=True)
        out = run(["ninja", "-C", self.build, "-t", "targets", "all"], check=True).stdout
        self.programs = re.findall(r"^(tests/\w+/[\w.]+): \w+LINKER", out, re.M)

    def copy(self):
        """What is there already and has not changed keeps its time, so it is not built again."""
        names = subprocess.run(["git", "-C", ROOT, "ls-files", "-coz", "--exclude-standard"], check=True, capture_output=True)
        for name in names.stdout.decode().rstrip("\0").split("\0"):
            source, target = ROOT / name, self.tree / name
            if not source.exists() or target.exists() and target.read_bytes() == source.read_bytes():
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)

    def patch(self, mutation, *options):
        return run(["patch", "-p1", "-F3", "-s", "--no-backup-if-mismatch", "-r", "-", "-d", self.tree,
                    "-i", mutation.path, *options])

    def make(self, test):
        """Build what the test runs."""
        name = test.split()[0]
        if (self.tree / f"tests/{name}.sh").exists():
            wanted = ["mount/notepackfs", "mount/notepackctl"]
            wanted += [p for p in self.programs if p.startswith(("tests/mount/", "tests/crash/"))]
        else:
            wanted = [f"tests/{name}"]
        return run(["ninja", "-C", self.build, *wanted])

    def fails(self, test):
        """How this test fails: "" if it does not. One that hangs is ended, with all that it started."""
        name, *rest = test.split()
        settings = [s for s in rest if "=" in s]
        arguments = [s for s in rest if "=" not in s]
        script = self.tree / f"tests/{name}.sh"
        program = ["bash", script] if script.exists() else [self.build / "tests" / name]
        with tempfile.TemporaryDirectory(dir=self.build, prefix="t.", ignore_cleanup_errors=True) as tmp:
            env = dict(os.environ, BUILD=str(self.build), SOURCE_ROOT=str(self.tree), TMPDIR=tmp, FIRST="1")
            env.update(s.split("=", 1) for s in settings)
            with subprocess.Popen(program + arguments, env=env, stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, text=True, errors="replace",
                                  start_new_session=True) as child:
                try:
                    out, _ = child.communicate(timeout=TIMEOUT_SECONDS)
                except subprocess.TimeoutExpired:
                    end_group(child)
                    unmount_beneath(tmp)
                    return "hangs"
        return "fails" if child.returncode != 0 or re.search(r"^not ok", out, re.M) else ""

    def is_sound(self, test):
        if test not in self.sound:
            self.sound[test] = self.make(test).returncode == 0 and not self.fails(test)
        return self.sound[test]

    def failing(self, mutation):
        """The first test that fails with it, and how; "" if none does."""
        before = {file: (self.tree / file).read_bytes() for file in mutation.files}
        if self.patch(mutation, "--dry-run").returncode != 0 or self.patch(mutation).returncode != 0:
            raise Broken("does not apply")
        try:
            for test in mutation.tests:
                if self.make(test).returncode != 0:
                    raise Broken("does not compile")
                how = self.fails(test)
                if how:
                    return test, how
            return "", ""
        finally:
            for file, text in before.items():
                (self.tree / file).write_bytes(text)

    def caught_by(self, mutation):
        """The test that caught it, and how; "" if none did."""
        test, how = self.failing(mutation)
        if test and not self.is_sound(test):
            raise Broken(f"{test} fails without it, too")
        return test, how


def end_group(child):
    """The test, and what it has started: asked first, so that it can unmount what it has mounted."""
    for sig in signal.SIGTERM, signal.SIGKILL:
        try:
            os.killpg(child.pid, sig)
            child.wait(timeout=CLEANUP_SECONDS)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            pass


def unmount_beneath(directory):
    """What it was killed too early for."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        mounts = [line.split()[4] for line in lines]
    for mount in reversed([m for m in mounts if m.startswith(f"{directory}/")]):
        run(["umount", "-l", mount])


def run(command, check=False):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    if check and done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}:\n{done.stdout}")
    return done


def changed_files(base):
    out = subprocess.run(["git", "-C", ROOT, "diff", "--name-only", base], check=True, capture_output=True, text=True)
    return set(out.stdout.split())


def choose(options):
    mutations = [Mutation(p) for p in sorted(PATCHES.glob("*.patch"))]
    if options.names:
        unknown = set(options.names) - {m.name for m in mutations}
        if unknown:
            sys.exit(f"no such mutation: {', '.join(sorted(unknown))}")
        mutations = sorted((m for m in mutations if m.name in options.names),
                           key=lambda m: options.names.index(m.name))
    if options.changed:
        changed = changed_files(options.changed)
        mutations = [m for m in mutations if changed & {*m.files, str(m.path.relative_to(ROOT))}]
    return mutations


class Report:
    def __init__(self, count):
        self.lock, self.number, self.caught, self.count = threading.Lock(), 0, 0, count
        print(f"1..{count}", flush=True)

    def add(self, mutation, by, what):
        with self.lock:
            self.number += 1
            self.caught += by
            print(f"{'ok' if by else 'not ok'} {self.number} - {mutation.name}: {what}", flush=True)


def work(copy, todo, report):
    while True:
        try:
            mutation = todo.get_nowait()
        except queue.Empty:
            return
        start = time.monotonic()
        try:
            by, how = copy.caught_by(mutation)
            what = f"caught by {by}{', which hangs' if how == 'hangs' else ''}" if by else "SURVIVES"
        except Exception as e:  # whatever it is, it is not caught, and the others have their turn
            by, what = "", e
        report.add(mutation, bool(by), f"{what} ({time.monotonic() - start:.0f} s)")


def test_all(where, jobs, mutations):
    report, todo = Report(len(mutations)), queue.Queue()
    for m in mutations:
        todo.put(m)
    threads = [threading.Thread(target=work, args=(Copy(where, n), todo, report))
               for n in range(min(jobs, len(mutations)))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    print(f"# mutations: {report.caught} caught of {report.count}")
    return 0 if report.caught == report.count else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--changed", metavar="BASE")
    parser.add_argument("--most", type=int, metavar="N")
    parser.add_argument("--work", type=pathlib.Path, metavar="DIRECTORY")
    parser.add_argument("names", nargs="*", metavar="NAME")
    options = parser.parse_args()
    mutations = choose(options)
    left_out = mutations[options.most:] if options.most is not None else []
    mutations = mutations[:len(mutations) - len(left_out)]
    if options.work:
        options.work.mkdir(parents=True, exist_ok=True)
        status = test_all(options.work.resolve(), options.jobs, mutations)
    else:
        with tempfile.TemporaryDirectory(prefix="notepackfs-mutate.") as where:
            status = test_all(pathlib.Path(where), options.jobs, mutations)
    if left_out:
        print(f"# left out: {len(left_out)}: {' '.join(m.name for m in left_out)}")
    return status


if __name__ == "__main__":
    sys.exit(main())
