#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""hold_descriptors.py PID: hold all descriptors of a process open (pidfd_getfd(2)), until standard input ends.

So a process that is killed is, for those at the other ends, like one of which a thread cannot end.
"""

import ctypes
import os
import sys

SYS_pidfd_getfd = 438

libc = ctypes.CDLL(None, use_errno=True)
pid = int(sys.argv[1])
pidfd = os.pidfd_open(pid)
for fd in os.listdir(f"/proc/{pid}/fd"):
    if libc.syscall(SYS_pidfd_getfd, pidfd, int(fd), 0) < 0:
        sys.exit(f"hold_descriptors.py: descriptor {fd}: {os.strerror(ctypes.get_errno())}")
print("held", flush=True)
sys.stdin.read()
