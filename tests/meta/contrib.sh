#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The programs in contrib: quickstart shows what it promises and leaves nothing behind; the sample
# events are right; setup-debian leaves a machine alone that has everything.
. "$(dirname "$0")/lib.sh"
need python3 python3
need rsync rsync
: "${BUILD:?the build directory}"

work=$(mktemp -d "${TMPDIR:-/tmp}/notepackfs-contrib.XXXXXX")
cleanup() {
	local mnt
	while read -r mnt; do
		umount -l "$mnt"
	done < <(cut -d' ' -f5 /proc/self/mountinfo | grep -F "$work/")
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# ---- quickstart ----

# What /usr/share/doc has is what takes the time. For root, in a mount namespace of its own, a sixth of it is
# there instead, if that is still hundreds of files. Its mounts go with it: so it says what it has left.
few_documents() {
	mkdir "$work/doc"
	(cd /usr/share/doc && find . -mindepth 1 -maxdepth 1 | LC_ALL=C sort | awk 'NR % 6 == 1') |
		rsync -a -r --files-from=- /usr/share/doc/ "$work/doc/"
	[ "$(find "$work/doc" -type f | wc -l)" -ge 300 ]
}

quickstart() {
	local status=0
	[ -z "$documents" ] || mount --bind "$documents" /usr/share/doc
	NOTEPACKFS_BUILD=$BUILD contrib/quickstart "$work/demo" >"$work/out" 2>&1 || status=$?
	grep -F " $work/demo" /proc/self/mountinfo >"$work/left"
	return "$status"
}

export documents="" work
export -f quickstart
status=0
if [ "$(id -u)" -eq 0 ] && unshare -m true && few_documents; then
	documents=$work/doc
	unshare -m bash -c quickstart || status=$?
else
	quickstart || status=$?
fi
report "quickstart succeeds" "$([ "$status" -eq 0 ] || { echo "exit status $status"; tail -n 20 "$work/out"; })"
for line in "1000 lines" "nothing transferred" "all reads agree" "Operation not permitted" \
	"objects are whole" "checksums are right" "every file reads as it was written" \
	"counts 20000 events"; do
	report "quickstart shows: $line" "$(grep -qF "$line" "$work/out" || echo "it does not")"
done
report "quickstart shows the progress of the unmount" "$(grep -q 'flushed .* files\?, .* in .* s' "$work/out" ||
	echo "it does not")"
report "quickstart leaves nothing mounted" "$(cat "$work/left")$(grep -F " $work/" /proc/self/mountinfo)"
report "quickstart leaves the archive in a directory that was named" \
	"$([ -s "$work/demo/archive/packages.txt.notepack.gz" ] || ls "$work/demo")"
status=0
NOTEPACKFS_BUILD=$BUILD contrib/quickstart "$work/demo" >"$work/out" 2>&1 || status=$?
report "quickstart refuses a directory that is not empty" \
	"$(grep -q 'is not empty' "$work/out" || cat "$work/out")$([ "$status" -eq 1 ] || echo "status $status")"

# ---- pack-sample-events ----

contrib/pack-sample-events 50 --seed 7 >"$work/a"
contrib/pack-sample-events 50 --seed 7 >"$work/b"
contrib/pack-sample-events 50 --seed 7 --jsonl >"$work/jsonl"
report "the same seed gives the same segment" "$(cmp "$work/a" "$work/b" 2>&1)"

# A decoder of its own, and two vectors: a payload by its hash, and a real event.
problems=$(PYTHONDONTWRITEBYTECODE=1 python3 - "$work/a" "$work/jsonl" 2>&1 <<'PYTHON'
import hashlib, importlib.machinery, importlib.util, json, struct, sys

loader = importlib.machinery.SourceFileLoader("pack", "contrib/pack-sample-events")
pack = importlib.util.module_from_spec(importlib.util.spec_from_loader("pack", loader))
loader.exec_module(pack)

vector = {
    "id": "00" * 32, "pubkey": "11" * 32, "sig": "22" * 64, "created_at": 1720000000, "kind": 0,
    "content": "hello",
    "tags": [["e", "aa" * 32, "wss://relay.example.com"], ["p", "bb" * 32]],
}
digest = hashlib.sha256(pack.payload(vector)).hexdigest()
if digest != "2607726af5857964ea3534657cbc7180b444c04e45c8664882cae666ba600ec6":
    print("the payload of the vector is wrong:", pack.payload(vector).hex())

real = bytes.fromhex(
    "01f1e7bc2a9756453fcc0e80ecf62183fa95b9a1278a01281dbc310b6777320e807fe437db5884ee013f701a75f8d1a84e"
    "cb434e997f2a31411685551ffff1b84175507f84d78211a68f2f964221f5587aa957a66c1941d01125caa07b9aabdf5a98"
    "c3e63d1fe1e307cbf01b74b0a1b95ffe636eb6746c00167e0d48e5b11032d596c9a9c4060102686900")


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        self.at += count
        if self.at > len(self.data):
            raise ValueError("runs off the end")
        return self.data[self.at - count:self.at]

    def varint(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def element(self):
        size = self.varint()
        data = self.take(size >> 1)
        return data.hex() if size & 1 else data.decode()


def decode(data):
    r = Reader(data)
    if r.varint() != 1:
        raise ValueError("wrong version")
    event = {"id": r.take(32).hex(), "pubkey": r.take(32).hex(), "sig": r.take(64).hex()}
    event["created_at"], event["kind"] = r.varint(), r.varint()
    event["content"] = r.take(r.varint()).decode()
    event["tags"] = [[r.element() for _ in range(r.varint())] for _ in range(r.varint())]
    if r.at != len(data):
        raise ValueError("trailing bytes")
    return event


def check_id(event):
    text = json.dumps([0, event["pubkey"], event["created_at"], event["kind"], event["tags"],
                       event["content"]], ensure_ascii=False, separators=(",", ":"))
    if hashlib.sha256(text.encode()).hexdigest() != event["id"]:
        print("an id is wrong:", event)


event = decode(real)
check_id(event)
if pack.event_id(event) != event["id"] or pack.payload(event) != real:
    print("the real event is not reproduced")
data = Reader(open(sys.argv[1], "rb").read())
lines = [json.loads(line) for line in open(sys.argv[2], encoding="utf-8")]
for line in lines:
    event = decode(data.take(struct.unpack("<I", data.take(4))[0]))
    check_id(event)
    if event != line:
        print("differs from its JSON:", event, line)
if data.at != len(data.data) or len(lines) != 50:
    print("a wrong number of events")
PYTHON
)
report "the sample events have right ids, frames and fields" "$problems"

# ---- setup-debian ----

# Fakes: every package is installed, and apt-get tells that it was called.
mkdir "$work/bin"
printf '#!/bin/sh\necho installed\n' >"$work/bin/dpkg-query"
printf '#!/bin/sh\necho apt-get "$@"\n' >"$work/bin/apt-get"
chmod +x "$work/bin/"*
report "setup-debian does nothing where nothing is missing" \
	"$(PATH=$work/bin:$PATH contrib/setup-debian test 2>&1)"
# shellcheck disable=SC2016
printf '#!/bin/sh\ncase $4 in pigz) exit 1;; esac\necho installed\n' >"$work/bin/dpkg-query"
printf '#!/bin/sh\necho 0\n' >"$work/bin/id"
printf '#!/bin/sh\necho apt-get "$@" >>"%s/apt"\n' "$work" >"$work/bin/apt-get"
chmod +x "$work/bin/"*
PATH=$work/bin:$PATH contrib/setup-debian test >"$work/out" 2>&1
report "setup-debian installs what is missing, and nothing else" \
	"$(grep -q '^apt-get install .* pigz$' "$work/apt" || cat "$work/apt"; grep busybox "$work/apt")"
PATH=$work/bin:$PATH contrib/setup-debian nonsense >"$work/out" 2>&1
report "setup-debian refuses what it does not know" "$([ $? -eq 2 ] || cat "$work/out")"
finish
