# SPDX-License-Identifier: BSD-2-Clause
"""security_paths.py TRACE STORE: judge a trace of the system calls that take paths (strace -f).

From the moment the daemon opens its store: a path of more than one name is resolved by openat2(2),
beneath its directory and through no link; every other call gets one name, or an absolute path that has
nothing to do with the store. Prints what does otherwise, and how many calls were looked at."""
import os
import re
import sys

ELSEWHERE = ("/proc/", "/dev/", "/sys/", "/etc/", "/usr/", "/lib")
# For files without a name (fs/snapshot.c).
TEMPORARY = ("/tmp", "/var/tmp", os.environ.get("TMPDIR", "/tmp"))
trace, store = sys.argv[1], sys.argv[2]
lines = open(trace, errors="replace").read().splitlines()
mounters = {l.split()[0] for l in lines if re.match(r"\d+ +(mount|umount2)\(", l)}
begun, seen, bad = False, 0, []
by_openat2 = 0
for line in lines:
    m = re.match(r"(\d+) +(\w+)\((.*)", line)
    if not m:
        continue
    pid, call, rest = m.groups()
    if call == "openat" and f'AT_FDCWD, "{store}", ' in rest and "O_PATH" in rest:
        begun = True
        continue
    if not begun or pid in mounters or call in ("execve", "mount", "umount2"):
        continue
    paths = re.findall(r'"((?:[^"\\]|\\.)*)"', rest)
    if call in ("symlink", "symlinkat"):
        paths = paths[1:]  # the target is only text
    if call in ("readlink", "readlinkat", "getcwd") or call.startswith(("open", "stat", "newfstat", "f")):
        paths = paths[:1]  # what follows is a result
    for path in paths:
        seen += 1
        if call == "openat2":
            by_openat2 += 1
            if "RESOLVE_BENEATH" not in rest or "RESOLVE_NO_SYMLINKS" not in rest:
                bad.append(line)
        elif path.startswith("/"):
            if not path.startswith(ELSEWHERE) and not (path in TEMPORARY and "O_TMPFILE" in rest):
                bad.append(line)
        elif "/" in path or path == "..":
            bad.append(line)
        elif call == "openat":
            bad.append(line)
for line in bad:
    print("not resolved safely:", line)
print(f"calls: {seen}, by openat2: {by_openat2}")
sys.exit(1 if bad or seen < 200 or by_openat2 < 100 else 0)
