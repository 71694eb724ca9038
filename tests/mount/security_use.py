#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""security_use.py MOUNT NOTEPACKCTL SECONDS: everything a user can do with the names of security.sh's store.

What it answers does not matter, but that it does: what takes more than 10 s is named, and the status is 1.
What may wait for files that cannot be sealed is ended after SECONDS. System calls are made here, in a
process that can be left behind: a program for each of them would be ten thousand programs in that test.
"""
import os
import select
import signal
import subprocess
import sys

DEADLINE = 10  # seconds for one attempt
FILES = "d/obj d/raw obj raw d/obj.notepack.gz obj.notepack.gz d/link d/imported".split()


def program(*words):
    subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def waiting_program(seconds, *words):
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as p:
        try:
            p.wait(seconds)
        except subprocess.TimeoutExpired:
            p.terminate()  # leaving the block waits for it


def with_file(path, flags, use):
    fd = os.open(path, flags | os.O_CLOEXEC, 0o666)
    try:
        use(fd)
    finally:
        os.close(fd)


def read_all(fd):
    while os.read(fd, 1 << 17):
        pass


def read_attributes(path):
    for name in os.listxattr(path):
        os.getxattr(path, name)


def write_more(path, flags, text=b"more\n"):
    with_file(path, os.O_CREAT | flags, lambda fd: os.write(fd, text))


def attempts_at(path):
    yield "read", lambda: with_file(path, os.O_RDONLY, read_all)
    yield "getxattr", lambda: read_attributes(path)
    yield "stat", lambda: os.lstat(path)
    yield "append", lambda: write_more(path, os.O_WRONLY | os.O_APPEND)
    yield "overwrite", lambda: write_more(path, os.O_RDWR)
    yield "chmod", lambda: os.chmod(path, 0o640)
    yield "touch", lambda: os.utime(path, (1, 1))
    yield "touch -h", lambda: os.utime(path, (1, 1), follow_symlinks=False)
    yield "chgrp", lambda: os.chown(path, -1, 61000)
    yield "truncate", lambda: with_file(path, os.O_WRONLY | os.O_CREAT, lambda fd: os.ftruncate(fd, 3))


def attempts(mount, ctl, seconds):
    """What is tried, in this order: a name and a function of no argument."""

    def at(path):
        return os.path.join(mount, path)

    def run(*words):
        return " ".join(words), lambda: program(*words)

    def may_wait(*words):
        return " ".join(words), lambda: waiting_program(seconds, *words)

    yield run("ls", "-lRa", mount)
    for path in map(at, FILES):
        for name, function in attempts_at(path):
            yield f"{name} {path}", function
        yield may_wait(ctl, "seal", path)
    yield "mkdir d/new", lambda: os.mkdir(at("d/new"))
    for path in ("d/new/file", "d/file", "file"):
        yield f"write {path}", lambda path=path: write_more(at(path), os.O_WRONLY | os.O_TRUNC, b"new\n")
    yield "chmod d", lambda: os.chmod(at("d"), 0o750)
    for old, new in ("d/obj", "moved"), ("obj", "d/moved"), ("raw", "d/raw2"), ("d", "e"), ("e", "d"):
        yield run("mv", at(old), at(new))
    yield may_wait(ctl, "wait", mount)
    yield run("rm", at("d/raw"))
    yield run("rm", "-r", at("d/new"))
    for path in ("d/obj", "moved", "d/moved", "d/raw2"):
        yield run(ctl, "rm", at(path))
    yield run(ctl, "status", mount)


def make_attempts(todo, done):
    """In a process of its own: a byte to the pipe for each that has ended, however it did."""
    os.setpgid(0, 0)
    for _, function in todo:
        try:
            function()
        except OSError:
            pass
        os.write(done, b".")


def main():
    todo = list(attempts(sys.argv[1], sys.argv[2], float(sys.argv[3])))
    hangs = 0
    while todo:
        done, end = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(done)
            try:
                make_attempts(todo, end)
            except BaseException:  # pylint: disable=broad-except
                sys.excepthook(*sys.exc_info())
                os._exit(1)
            os._exit(0)
        os.close(end)
        while todo and select.select([done], [], [], DEADLINE)[0]:
            if not os.read(done, 1):
                sys.exit(f"security_use.py: the process ended at: {todo[0][0]}")
            todo.pop(0)
        os.close(done)
        if todo:
            print(f"# hangs: {todo.pop(0)[0]}", flush=True)
            hangs = 1
            os.killpg(child, signal.SIGKILL)
        else:
            os.waitpid(child, 0)
    sys.exit(hangs)


if __name__ == "__main__":
    main()
