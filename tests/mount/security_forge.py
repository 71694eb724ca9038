# SPDX-License-Identifier: BSD-2-Clause
"""security_forge.py manifest STORE NAME | object FILE NAME | gzip NAME | list KIND

Forgeries that are right in everything but one thing: digests and CRCs are made anew, so that only a
check of the thing itself can find them. NAME says which; list prints the names."""
import base64
import hashlib
import json
import os
import struct
import sys
import zlib

# ---- manifests: what is put over the first sealed record, or behind the last line ----

UP = "../outside"


def sealed(**members):
    def change(lines, seq):
        record = json.loads(next(l for l in lines if b'"plain"' in l))
        for key in [k for k in members if k.endswith("_b64")]:
            record.pop(key[:-4], None)
        record.update(members, seq=seq, id=record["id"] if "id" not in members else members["id"], part=2)
        return record
    return change


def line(**members):
    return lambda lines, seq: {"seq": seq, **members}


def b64(raw):
    return base64.b64encode(raw).decode()


MANIFESTS = {
    "path-up": sealed(path=f"{UP}/dir/x.p000000002.notepack.gz", plain="x"),
    "path-up-inside": sealed(path=f"d/../{UP}/dir/x.p000000002.notepack.gz", plain="x"),
    "path-absolute": sealed(path="/etc/x.p000000002.notepack.gz", plain="x"),
    "path-private": sealed(path=".notepackfs/tmp/x.p000000002.notepack.gz", plain="x"),
    "path-dot": sealed(path="./x.p000000002.notepack.gz", plain="x"),
    "path-empty-name": sealed(path="d//x.p000000002.notepack.gz", plain="x"),
    "path-b64-up": sealed(path_b64=b64(b"../outside/dir/x\xff.p000000002.notepack.gz"), plain_b64=b64(b"x\xff")),
    "path-b64-nul": sealed(path_b64=b64(b"d/x\0.p000000002.notepack.gz"), plain="x"),
    "plain-slash": sealed(path="d/x.p000000002.notepack.gz", plain="../../outside/x"),
    "plain-up": sealed(path="d/...p000000002.notepack.gz", plain=".."),
    "plain-other": sealed(path="d/x.p000000002.notepack.gz", plain="y"),
    "raw-size-huge": sealed(path="d/raw.p000000002.notepack.gz", plain="raw", raw_size=1 << 62, offset=1 << 62),
    "gz-size-negative": sealed(path="d/obj.p000000002.notepack.gz", plain="obj", gz_size=-1),
    "mode-type": sealed(path="d/obj.p000000002.notepack.gz", plain="obj", mode=0o104755),
    "rm-up": line(op="rm", id=1024, part=1, path=f"{UP}/file.notepack.gz", sha256="0" * 64),
    "mvdir-from-up": line(op="mvdir", **{"from": f"{UP}/dir", "to": "stolen"}),
    "mvdir-to-up": line(op="mvdir", **{"from": "d", "to": f"{UP}/dir/d"}),
    "mvdir-into-itself": line(op="mvdir", **{"from": "d", "to": "d/e"}),
    "mvdir-private": line(op="mvdir", **{"from": ".notepackfs", "to": "shown"}),
    "intent-dir-from-up": line(op="intent", id=0, **{"from": f"{UP}/dir", "to": "stolen"}),
    "intent-dir-to-up": line(op="intent", id=0, **{"from": "d", "to": f"{UP}/d"}),
    "intent-file-to-up": line(op="intent", id=1024, **{"from": "d/obj", "to": f"{UP}/obj"}),
    "intent-file-absolute": line(op="intent", id=1024, **{"from": "/etc/passwd", "to": "d/passwd"}),
    "intent-by-link": line(op="intent", id=0, **{"from": "out/dir", "to": "stolen"}),
    "intent-file-by-link": line(op="intent", id=1024, **{"from": "d/obj", "to": "out/obj"}),
    "deep-nesting": lambda lines, seq: {"seq": seq, "op": [[[[[[]]]]]] * 1000},
}
HEADERS = {
    "suffix-slash": {"suffix": "/../x"},
    "suffix-empty": {"suffix": ""},
    "exclude-huge": {"exclude": "*" * 3000},
    "chunk-number-huge": {"chunks": [{"file": 4294967295, "lines": 1, "bytes": 1, "sha256": "0" * 64}]},
    "chunk-path": {"chunks": [{"file": "../../outside/file", "lines": 1, "bytes": 7, "sha256": "0" * 64}]},
    "next-seq-huge": {"next_seq": (1 << 64) - 1},
}


def dump(o):
    return json.dumps(o, separators=(",", ":"), ensure_ascii=False).encode()


def forge_manifest(store, name):
    path = os.path.join(store, ".notepackfs/manifest")
    head, *lines = open(path, "rb").read().splitlines()
    header = json.loads(head)
    header.pop("sha256")
    header["clean"] = False
    if name in MANIFESTS:
        lines.append(dump(MANIFESTS[name](lines, header["next_seq"])))
        header["next_seq"] += 1
    header.update(HEADERS.get(name, {}))
    tail = b"".join(l + b"\n" for l in lines)
    header["tail"] = {"lines": len(lines), "bytes": len(tail), "sha256": hashlib.sha256(tail).hexdigest()}
    text = dump(header)[:-1]
    text += b',"sha256":"' + hashlib.sha256(text).hexdigest().encode() + b'"}\n'
    with open(path, "wb") as f:
        f.write(text + tail)


# ---- objects: the fields of FEXTRA (lib/seekgz.h) ----

def at(offset, fmt, value):
    def change(extra, body):
        struct.pack_into(fmt, extra, offset, value)
        return body
    return change


def bomb(extra, body):
    """Chunks that inflate to a thousand times what the header says."""
    c = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = c.compress(bytes(100 << 20)) + c.flush(zlib.Z_FULL_FLUSH) + b"\3\0" + body[-8:]
    struct.pack_into("<I", extra, 60, len(body) - 10)
    return body


OBJECTS = {
    "version": at(0, "B", 2),
    "chunk-log2": at(1, "B", 63),
    "chunk-log2-0": at(1, "B", 0),
    "stride": at(2, "B", 255),
    "reserved": at(3, "B", 1),
    "part-0": at(4, "<I", 0),
    "part-other": at(4, "<I", 7),
    "part-huge": at(4, "<I", 0xffffffff),
    "offset": at(8, "<Q", 1 << 63),
    "raw-0": at(16, "<Q", 0),
    "raw-less": at(16, "<Q", 10),
    "raw-more": at(16, "<Q", 1 << 18),
    "raw-tebibyte": at(16, "<Q", 1 << 40),
    "raw-huge": at(16, "<Q", (1 << 64) - 1),
    "group-0": at(60, "<I", 0),
    "group-less": at(60, "<I", 5),
    "group-huge": at(60, "<I", 0xffffffff),
    "bomb": bomb,
}


def forge_object(path, name):
    data = open(path, "rb").read()
    xlen = struct.unpack_from("<H", data, 10)[0]
    extra, body = bytearray(data[16:12 + xlen]), data[12 + xlen:]
    body = OBJECTS[name](extra, body)
    extra[56:60] = bytes(4)
    struct.pack_into("<I", extra, 56, zlib.crc32(extra))
    with open(path, "wb") as f:
        f.write(data[:16] + extra + body)


# ---- gzip files of others ----

def member(raw, level=9):
    c = zlib.compressobj(level, zlib.DEFLATED, 31)
    return c.compress(raw) + c.flush()


def zeros(mib):
    c = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(c.compress(bytes(1 << 20)) for _ in range(mib)) + c.flush()


START = b"\x1f\x8b\x08"
GZIPS = {
    "bomb": lambda: zeros(256),
    "bomb-in-members": lambda: member(bytes(8 << 20)) * 32,
    "many-members": lambda: member(b"") * 50000 + member(b"end"),
    "endless-name": lambda: START + b"\x08" + bytes(6) + b"n" * (64 << 20),
    "endless-comment": lambda: START + b"\x10" + bytes(6) + b"c" * (64 << 20),
    "extra-beyond-the-end": lambda: START + b"\x04" + bytes(6) + b"\xff\xffNP",
    "all-flags": lambda: START + b"\xff" + bytes(64),
    "torn": lambda: zeros(64)[:-1000],
    "isize": lambda: zeros(1)[:-4] + struct.pack("<I", 7),
    "crc": lambda: zeros(1)[:-8] + bytes(8),
    "garbage-behind": lambda: zeros(1) + b"garbage",
    "stored-without-end": lambda: START + bytes(7) + (b"\0\xff\xff\0\0" + bytes(65535)) * 100,
    "empty": lambda: b"",
    "empty-member": lambda: member(b""),
}

KINDS = {"manifest": [*MANIFESTS, *HEADERS], "object": list(OBJECTS), "gzip": list(GZIPS)}
if sys.argv[1] == "list":
    print("\n".join(KINDS[sys.argv[2]]))
elif sys.argv[1] == "manifest":
    forge_manifest(sys.argv[2], sys.argv[3])
elif sys.argv[1] == "object":
    forge_object(sys.argv[2], sys.argv[3])
else:
    sys.stdout.buffer.write(GZIPS[sys.argv[2]]())
