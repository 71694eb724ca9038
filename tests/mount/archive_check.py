#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""archive_check.py SOURCE STORE MANIFEST: is the store exactly the archive of SOURCE?

Each file of SOURCE that is neither empty nor excluded must be in STORE as parts 1, 2, ..., each one
gzip member and nothing else, which give its bytes in order; the others as they are; nothing else
may be there. MANIFEST (the mount's) must have one true record for each object, and no other.
"""

import hashlib
import json
import os
import re
import sys
import zlib

OBJECT = re.compile(r"^(.*?)(?:\.p(\d{9}))?\.notepack\.gz$")
EXCLUDED = re.compile(r"^\.|(~|\.tmp|\.part|\.open|\.swp)$")

failures = 0


def fail(text):
    global failures
    failures += 1
    if failures <= 20:
        print("#", text)


def files_of(root):
    for path, dirs, names in os.walk(root):
        if path == root and ".notepackfs" in dirs:
            dirs.remove(".notepackfs")
        for name in names:
            yield os.path.relpath(os.path.join(path, name), root)


def read(*path):
    with open(os.path.join(*path), "rb") as f:
        return f.read()


def stem(path):
    return path[: -len(".notepack")] if path.endswith(".notepack") else path


def unpack(path, data):
    member = zlib.decompressobj(31)
    try:
        raw = member.decompress(data) + member.flush()
    except zlib.error as e:
        fail(f"{path}: {e}")
        return b""
    if not member.eof or member.unused_data:
        fail(f"{path}: not exactly one gzip member")
    return raw


def check_record(record, want):
    for key, value in want.items():
        if record.get(key) != value:
            fail(f"{want['path']}: the record's {key} is {record.get(key)}, not {value}")


def check_parts(source, store, plain, parts, records):
    left, offset = memoryview(read(source, plain)), 0
    if sorted(parts) != list(range(1, len(parts) + 1)):
        fail(f"{plain}: parts {sorted(parts)}")
    for number in sorted(parts):
        path = parts[number]
        data = read(store, path)
        raw = unpack(path, data)
        if left[: len(raw)] != raw or not raw:
            fail(f"{path}: its {len(raw)} bytes are not those written at {offset}")
        record = records.pop(path, None)
        if record is None:
            fail(f"{path}: not in the manifest")
        else:
            check_record(record, {
                "path": path, "plain": os.path.basename(plain), "part": number, "offset": offset,
                "raw_size": len(raw), "gz_size": len(data), "crc32": f"{zlib.crc32(raw):08x}",
                "sha256": hashlib.sha256(data).hexdigest(),
                "raw_sha256": hashlib.sha256(raw).hexdigest()})
        left, offset = left[len(raw):], offset + len(raw)
    if left:
        fail(f"{plain}: the last {len(left)} bytes are missing")


def load(manifest):
    with open(manifest, encoding="utf-8") as f:
        records = [json.loads(line) for line in f][1:]
    numbers = [r["seq"] for r in records]
    if numbers != sorted(set(numbers)):
        fail("the manifest's sequence numbers do not rise")
    return {r["path"]: r for r in records}


def main():
    source, store, manifest = sys.argv[1:]
    records = load(manifest)
    objects, raw = {}, set()
    for path in files_of(store):
        match = OBJECT.match(path)
        if match:
            objects.setdefault(match[1], {})[int(match[2] or 1)] = path
        else:
            raw.add(path)
    total = sum(map(len, objects.values()))
    for plain in files_of(source):
        if not os.path.getsize(os.path.join(source, plain)) or EXCLUDED.search(
                os.path.basename(plain)):
            if plain not in raw:
                fail(f"{plain}: is not in the store")
            elif read(source, plain) != read(store, plain):
                fail(f"{plain}: differs")
            raw.discard(plain)
        else:
            check_parts(source, store, plain, objects.pop(stem(plain), {}), records)
    for path in sorted(raw):
        fail(f"{path}: a raw file is left")
    for path in sorted(objects):
        fail(f"{path}: an object that nobody wrote")
    for path in sorted(records):
        fail(f"{path}: is in the manifest, and not in the store")
    print(f"# {total} objects, {failures} failures")
    return 1 if failures or not total else 0


if __name__ == "__main__":
    sys.exit(main())
