#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""compare.py MOUNT BEGAN <WANTED: is in each case's directory what must be there?

WANTED has lines of CASE, DIRECTORY, LEFTOVERS (a glob, or nothing), tabs between. MOUNT/CASE must have
what DIRECTORY has: every file reads the same by its plain name, with its owner and mode, and with its
time if that is older than the file BEGAN (then a program has set it); every file that is to be sealed is
listed as its objects only, whose content, by zcat, is the same; and nothing else is listed.

Prints "CASE: what is wrong" for each difference. The status is 0 if all were looked at.
"""
import fnmatch
import os
import re
import stat
import subprocess
import sys

EXCLUDED = (".*", "*~", "*.tmp", "*.part", "*.open", "*.swp")
SUFFIX = ".notepack.gz"


def excluded(name):
    return any(fnmatch.fnmatchcase(name, glob) for glob in EXCLUDED)


def read(path):
    with open(path, "rb") as f:
        return f.read()


def objects_of(name, listed):
    """The objects of a plain name that are listed, in the order of their parts."""
    stem = name.removesuffix(".notepack")
    part = re.compile(re.escape(stem) + r"\.p\d{9}" + re.escape(SUFFIX))
    first = [stem + SUFFIX] if stem + SUFFIX in listed else []
    return first + sorted(n for n in listed if part.fullmatch(n))


class Case:
    def __init__(self, began, leftovers):
        self.began, self.leftovers = began, leftovers
        self.problems, self.objects, self.content = [], [], []

    def compare_metadata(self, path, want, have):
        if have.st_mode != want.st_mode:
            self.problems.append(f"{path}: mode {have.st_mode:o}, not {want.st_mode:o}")
        if (have.st_uid, have.st_gid) != (want.st_uid, want.st_gid):
            self.problems.append(f"{path}: owner {have.st_uid}:{have.st_gid}, not {want.st_uid}:{want.st_gid}")
        if not stat.S_ISDIR(want.st_mode) and want.st_mtime_ns < self.began and have.st_mtime_ns != want.st_mtime_ns:
            self.problems.append(f"{path}: mtime {have.st_mtime_ns}, not {want.st_mtime_ns}")

    def compare_file(self, wanted, path, listed, never_sealed):
        """The names that the directory may list for this file."""
        name, data = os.path.basename(path), read(wanted)
        if read(path) != data:
            self.problems.append(f"{path}: has {os.path.getsize(path)} bytes of another content, not {len(data)}")
        self.compare_metadata(path, os.stat(wanted), os.stat(path))
        # What was sealed before it got an excluded name stays so.
        if not data or (never_sealed and name in listed):
            return {name}
        objects = objects_of(name, listed)
        if not objects:
            self.problems.append(f"{path}: is not sealed")
            return {name}
        self.objects += [os.path.join(os.path.dirname(path), o) for o in objects]
        self.content.append(data)
        return set(objects)

    def compare_entry(self, entry, path, listed, never_sealed):
        if entry.is_symlink():
            if not os.path.islink(path) or os.readlink(path) != os.readlink(entry.path):
                self.problems.append(f"{path}: is not the symbolic link that it was")
            return {entry.name}
        if not os.path.exists(path):
            self.problems.append(f"{path}: is missing")
            return set()
        if entry.is_dir():
            self.compare_metadata(path, entry.stat(), os.stat(path))
            self.compare_directory(entry.path, path, never_sealed)
            return {entry.name}
        return self.compare_file(entry.path, path, listed, never_sealed)

    def compare_directory(self, wanted, path, never_sealed=False):
        listed = set(os.listdir(path))
        explained = set()
        for entry in os.scandir(wanted):
            if self.leftovers and fnmatch.fnmatchcase(entry.name, self.leftovers):
                explained.add(entry.name)
                continue
            explained |= self.compare_entry(
                entry, os.path.join(path, entry.name), listed, never_sealed or excluded(entry.name))
        for name in sorted(listed - explained):
            if not fnmatch.fnmatchcase(name.removesuffix(SUFFIX), self.leftovers):
                self.problems.append(f"{path}/{name}: nothing of this name was expected")

    def compare_objects(self):
        if self.objects:
            zcat = subprocess.run(["zcat", "--", *self.objects], capture_output=True, check=False)
            if zcat.returncode or zcat.stdout != b"".join(self.content):
                self.problems.append(f"the objects differ from the files ({zcat.stderr.decode()})")


def main():
    mount, began = sys.argv[1], os.stat(sys.argv[2]).st_mtime_ns
    for line in sys.stdin:
        name, wanted, leftovers = line.rstrip("\n").split("\t")
        case = Case(began, leftovers)
        try:
            case.compare_directory(wanted, os.path.join(mount, name))
            case.compare_objects()
        except OSError as error:
            case.problems.append(str(error))
        for problem in case.problems:
            print(f"{name}: {problem.replace(mount + '/', '')}")


if __name__ == "__main__":
    main()
