#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""load.py JOB ARGUMENT…: what others do to a mount while something is measured; until it is killed.

	write SOURCE PATH	write SOURCE to PATH, rename it to PATHn, remove those that are sealed; again
	read PATH		read all of PATH, past the page cache; again
"""
import os
import sys

MIB = 1 << 20


def write(source, path):
    with open(source, "rb") as file:
        data = memoryview(file.read())
    turn, kept = 0, []
    while True:
        with open(path, "wb", buffering=0) as out:
            for at in range(0, len(data), MIB):
                out.write(data[at : at + MIB])
        kept.append(f"{path}{turn}")
        os.rename(path, kept[-1])
        turn += 1
        for sealed in [name for name in kept if os.path.exists(f"{name}.notepack.gz")]:
            os.unlink(sealed)
            kept.remove(sealed)


def read(path):
    while True:
        with open(path, "rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            while file.read(MIB):
                pass


{"write": write, "read": read}[sys.argv[1]](*sys.argv[2:])
