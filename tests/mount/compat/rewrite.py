#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""rewrite.py FILE cut|not: write, fsync, wait until a cut has come of it (or not), write at offset 0."""
import os
import sys
import time

path, cut = sys.argv[1:]
with open(path, "wb", buffering=0) as f:
    f.write(b"first line\n" * 100)
    os.fsync(f.fileno())
    while cut == "cut" and not os.path.exists(path + ".notepack.gz"):
        time.sleep(0.01)
    f.seek(0)
    f.write(b"FIRST")
