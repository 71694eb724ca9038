#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""mutate.py [--jobs N] [--changed BASE] [NAME…]: do the tests notice when the product is broken?

Each file of tests/crash/mutations breaks one thing: an fsync, an order, a check is dropped. Lines of
the form "Caught by: TEST [VARIABLE=VALUE…] [ARGUMENT…]" before the patch name the tests that must then fail, the
quickest first: the path of a test below tests/, without its ending. All mutations run, or those that
are named; with --changed only those of files that differ from the commit BASE.

The tree is copied, built once a job, and patched there; the tree itself is not touched. A mutation
that no test catches is a hole in the tests, or a line that is not needed: exit 1.

Output is TAP; the last line says how many were caught.
"""
import argparse
import os
import pathlib
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import threading

ROOT = pathlib.Path(__file__).resolve().parents[2]
PATCHES = ROOT / "tests/crash/mutations"
TIMEOUT_SECONDS = 300


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
        names = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], check=True, capture_output=True)
        for name in names.stdout.decode().rstrip("\0").split("\0"):
            if (ROOT / name).exists():
                (self.tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.tree / name)
        run(["meson", "setup", self.build, self.tree], check=True)
        run(["ninja", "-C", self.build], check=True)

    def patch(self, mutation, *options):
        run(["patch", "-p1", "-F3", "--no-backup-if-mismatch", "-d", self.tree, "-i", mutation.path, *options],
            check=True)

    def targets(self, mutation):
        wanted = {"mount/notepackfs", "mount/notepackctl"}
        for test in mutation.tests:
            name = test.split()[0]
            if name.startswith("unit/"):
                wanted.add("tests/" + name)
            elif name.startswith("crash/"):
                wanted.update(p for p in self.programs() if p.startswith("tests/crash/"))
            else:
                wanted.update(p for p in self.programs() if p.startswith("tests/mount/"))
        return sorted(wanted)

    def programs(self):
        if not hasattr(self, "_programs"):
            out = subprocess.run(["ninja", "-C", self.build, "-t", "targets", "all"], check=True,
                                 capture_output=True, text=True).stdout
            self._programs = re.findall(r"^(tests/\w+/[\w.]+): \w+LINKER", out, re.M)
        return self._programs

    def fails(self, test):
        """Does this test fail? A hang counts as a failure."""
        name, *rest = test.split()
        settings = [s for s in rest if "=" in s]
        arguments = [s for s in rest if "=" not in s]
        env = dict(os.environ, BUILD=str(self.build), SOURCE_ROOT=str(self.tree), TMPDIR=str(self.build))
        env.update(s.split("=", 1) for s in settings)
        script = self.tree / f"tests/{name}.sh"
        program = ["bash", script] if script.exists() else [self.build / "tests" / name]
        try:
            done = subprocess.run(program + arguments, env=env, capture_output=True, text=True, errors="replace",
                                  timeout=TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            return True
        return done.returncode != 0 or re.search(r"^not ok", done.stdout, re.M) is not None

    def caught_by(self, mutation):
        """The test that caught it, "" if none did, None if it does not compile."""
        self.patch(mutation)
        try:
            if run(["ninja", "-C", self.build, *self.targets(mutation)]).returncode != 0:
                return None
            return next((t for t in mutation.tests if self.fails(t)), "")
        finally:
            self.patch(mutation, "-R")


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
        mutations = [m for m in mutations if m.name in options.names]
    if options.changed:
        changed = changed_files(options.changed)
        mutations = [m for m in mutations if changed & set(m.files)]
    return mutations


class Report:
    def __init__(self, count):
        self.lock, self.number, self.caught, self.count = threading.Lock(), 0, 0, count
        print(f"1..{count}", flush=True)

    def add(self, mutation, by):
        with self.lock:
            self.number += 1
            self.caught += bool(by)
            verdict = "ok" if by else "not ok"
            what = f"caught by {by}" if by else "SURVIVES" if by == "" else "does not compile"
            print(f"{verdict} {self.number} - {mutation.name}: {what}", flush=True)


def work(where, number, todo, report):
    copy = Copy(where, number)
    while True:
        try:
            mutation = todo.get_nowait()
        except queue.Empty:
            return
        report.add(mutation, copy.caught_by(mutation))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--changed", metavar="BASE")
    parser.add_argument("names", nargs="*", metavar="NAME")
    options = parser.parse_args()
    mutations = choose(options)
    report, todo = Report(len(mutations)), queue.Queue()
    for m in mutations:
        todo.put(m)
    with tempfile.TemporaryDirectory(prefix="notepackfs-mutate.") as where:
        threads = [threading.Thread(target=work, args=(pathlib.Path(where), n, todo, report))
                   for n in range(min(options.jobs, len(mutations)))]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    print(f"# mutations: {report.caught} caught of {report.count}")
    return 0 if report.caught == report.count else 1


if __name__ == "__main__":
    sys.exit(main())
