#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""smoke.py: the benchmarks themselves are right; no time counts. BUILD is the build directory.

The corpora compress as they should; every row runs, with small sizes, reads what it wrote, and is in the
files that come out; rows are kept, replaced and refused as `run` says; a row that fails is told.
"""
import contextlib
import csv
import importlib.machinery
import importlib.util
import json
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

sys.dont_write_bytecode = True

import report
from rows import load_rows

HERE = pathlib.Path(__file__).resolve().parent
README = HERE.parent.parent / "README.md"
BUILD = pathlib.Path(os.environ["BUILD"])
ROWS = load_rows()
RUNS = 2
FACTORS = {"jsonl": 1.80, "notepack": 1.36, "log": 6.1, "random": 1.0}
count = failed = 0


def check(name, right, *shown):
    """shown says what was seen instead, where it is not right."""
    global count, failed
    count += 1
    if not right:
        failed += 1
        for text in "\n".join(map(str, shown)).splitlines()[:50]:
            print(f"# {text}")
    print(f"{'ok' if right else 'not ok'} {count} - {name}", flush=True)


def bench(*argv, program=HERE / "run", **environment):
    argv = [sys.executable, str(program), *map(str, argv)]
    environment = {**os.environ, **environment}
    return subprocess.run(argv, capture_output=True, text=True, check=False, env=environment)


# ---- the corpora ----


def corpus(*argv):
    return subprocess.run([BUILD / "tests/bench/corpus", *argv], capture_output=True, check=True).stdout


def sizes_of_frames(data):
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "little")
        yield size
        at += 4 + size
    if at != len(data):
        yield -1


def check_corpora():
    for kind, factor in FACTORS.items():
        data = corpus(kind, "8000000")
        check(f"{kind}: the same data each time", data == corpus(kind, "8000000", "1"))
        check(f"{kind}: others by another seed", data != corpus(kind, "8000000", "2"))
        packed = subprocess.run(["gzip", "-6"], input=data, capture_output=True, check=True).stdout
        got = len(data) / len(packed)
        check(f"{kind}: gzip -6 makes it {factor} times smaller", abs(got / factor - 1) <= 0.03, got)


def check_events():
    """Line and frame are of the same event, as another encoder has it."""
    program = README.with_name("contrib") / "pack-sample-events"
    loader = importlib.machinery.SourceFileLoader("pack", str(program))
    pack = importlib.util.module_from_spec(importlib.util.spec_from_loader("pack", loader))
    loader.exec_module(pack)
    lines = corpus("jsonl", "1000000").splitlines()
    payloads = [pack.payload(json.loads(line)) for line in lines]
    wanted = b"".join(struct.pack("<I", len(payload)) + payload for payload in payloads)
    got = corpus("notepack", "1000000")
    check("jsonl and notepack are the same events", len(lines) > 500 and got[: len(wanted)] == wanted)


def check_records(directory):
    """The mount knows notepack records when it sees them."""
    store, mnt = directory / "store", directory / "mnt"
    store.mkdir()
    mnt.mkdir()
    data = corpus("notepack", "1000000")
    frames = list(sizes_of_frames(data))
    records = None
    check("notepack: whole frames", len(frames) > 1000 and min(frames) > 0, frames[-10:])
    subprocess.run([BUILD / "mount/notepackfs", store, mnt], check=True)
    try:
        (mnt / "x.notepack").write_bytes(data)
        subprocess.run([BUILD / "mount/notepackctl", "seal", mnt], check=True, capture_output=True)
        with contextlib.suppress(OSError):  # there is none if the frames are not records
            records = int(os.getxattr(mnt / "x.notepack.gz", "user.notepack.records"))
    finally:
        subprocess.run([BUILD / "mount/notepackctl", "umount", mnt], check=True, capture_output=True)
    check("notepack: the mount counts a record for each frame", records == len(frames), records, len(frames))


# ---- the rows ----


def skip_left_out(output):
    """Rows of codecs that this build has not."""
    global count
    for key, reason in re.findall(r"^(\S+): left out: (.*)$", output, re.MULTILINE):
        del ROWS[key]
        count += 1
        print(f"ok {count} - row {key} # SKIP {reason}", flush=True)


def samples(out):
    with open(out / "results/samples.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def problems_of(row, lines):
    """Every figure of every side, in each run, is a number above 0 (a time less a grace may be below)."""
    sides = {line["side"] for line in lines}
    runs = min(RUNS, row.most_runs)
    for figure in row.figures:
        for side in sides:
            got = [float(x["value"]) for x in lines if (x["figure"], x["side"]) == (figure.key, side)]
            if len(got) != runs or (min(got) <= 0 and row.key != "close-listed"):
                yield f"{figure.key} of {side}: {got}, for {runs} runs"
        for bar in figure.bars:
            if bar.peer and bar.peer not in sides:
                yield f"no side {bar.peer}, which a bar of {figure.key} speaks of"
    turns = [line["side"] for line in lines if line["figure"] == row.figures[0].key]
    if not turns or turns != turns[: len(sides)] * runs:
        yield f"not by turns: {turns}"


def check_rows(out):
    lines = samples(out)
    for key, row in ROWS.items():
        problems = list(problems_of(row, [line for line in lines if line["row"] == key]))
        check(f"row {key}: all sides, by turns", not problems, *problems)


def check_page(out):
    page = (out / "RESULTS.md").read_text(encoding="utf-8")
    missing = [key for key, row in ROWS.items() if page.count(f"| `{key}` |") != len(row.figures)]
    check("RESULTS.md has each figure", not missing, *missing)
    missing = [key for key in ROWS if f"**`{key}`**" not in page]
    check("RESULTS.md says of each row what it measures", not missing, *missing)
    check("RESULTS.md says that these are no results", "A smoke run" in page, page[:300])
    charts = sorted((out / "results").glob("*.svg"))
    problems = [chart.name for chart in charts if f"results/{chart.name})" not in page]
    check("RESULTS.md shows the charts", charts and not problems, *problems)


def check_charts(out):
    problems = []
    for chart in (out / "results").glob("*.svg"):
        root = xml.etree.ElementTree.parse(chart).getroot()
        drawn = [x for x in root.iter() if x.tag.endswith(("path", "polygon", "use"))]
        if not root.tag.endswith("svg") or len(drawn) < 5:
            problems.append(chart.name)
    check("charts are SVG with something drawn", not problems, *problems)
    bar = out / "results/bar.svg"
    text = bar.read_text(encoding="utf-8") if bar.exists() else ""
    missing = [key for key, row in ROWS.items() if any(f.bars for f in row.figures) and key not in text]
    check("bar.svg has each row with a bar", not missing, *missing)


# ---- the command ----


def others(lines):
    return [line for line in lines if line["row"] != "fsync"]


def check_command(out):
    before = samples(out)
    (out / "results/bar.svg").unlink(missing_ok=True)
    result = bench("--smoke", "--out", out, "--runs", 1, "fsync")
    after = samples(out)
    check("a row that is named is measured anew", len(after) - len(others(after)) == 4, result)
    check("… and the others stay", others(before) == others(after))
    check("… in the charts, too", (out / "results/bar.svg").exists())
    result = bench("--smoke", "--out", out, "no-such-row")
    refused = result.returncode == 2 and "no-such-row" in result.stderr
    check("a row that is not there is refused", refused, result)
    result = bench("--out", out, "fsync")
    refused = result.returncode == 1 and "smoke" in result.stderr
    check("figures of a smoke run and others are not mixed", refused and samples(out) == after, result)
    result = bench("--smoke", "--out", HERE, "fsync")
    check("a smoke run gives no results for the source tree", result.returncode == 2, result)


def with_program(work, name, script):
    """A PATH on which this program is another."""
    directory = work / f"with-{name}"
    directory.mkdir()
    (directory / name).write_text("#!/bin/sh\n" + script)
    (directory / name).chmod(0o755)
    return f"{directory}:{os.environ['PATH']}"


def check_failures(work):
    pigz, gzip = shutil.which("pigz"), shutil.which("gzip")
    path = with_program(work, "pigz", f'[ "$1" = --version ] && exec {pigz} --version\nexit 3\n')
    result = bench("--smoke", "--out", work / "failing", "seal-log", "fsync", PATH=path)
    told = result.returncode == 1 and "seal-log: failed:" in result.stdout
    there = {line["row"] for line in samples(work / "failing")}
    check("a row that fails is told, and has no figure", told and there == {"fsync"}, result)
    path = with_program(work, "gzip", f'[ "$1" = -dc ] || exec {gzip} "$@"\n{gzip} "$@" | tr a b\n')
    result = bench("--smoke", "--out", work / "damaged", "seal-6", PATH=path)
    check("wrong data fail a row", result.returncode == 1 and "SHA-256" in result.stdout, result)


def outside_of(text):
    """What is before and behind the marks; both must be there."""
    head, tail = text.index(report.BEGIN), text.index(report.END)
    return text[:head], text[tail:]


def check_publish(work):
    """In a copy of what it writes to. The row is one that takes no time at its full size."""
    tree = work / "tree"
    shutil.copytree(HERE, tree / "tests/bench", ignore=shutil.ignore_patterns("results", "__pycache__"))
    shutil.copy(README, tree)
    result = bench("--publish", "--runs", 1, "fsync", program=tree / "tests/bench/run")
    text = (tree / "README.md").read_text(encoding="utf-8")
    page = (tree / "tests/bench/RESULTS.md").read_text(encoding="utf-8")
    check("--publish writes RESULTS.md", "| `fsync` |" in page and "smoke" not in page, result)
    check("--publish puts the table into README.md", "| `fsync` |" in text, result)
    linked = re.findall(r"!\[[^]]*\]\((tests/bench/[^)]*)\)", text)
    there = linked and (tree / linked[0]).exists()
    check("--publish has README.md show a chart that is there", there, linked)
    before = README.read_text(encoding="utf-8")
    check("… and nothing else of it changes", outside_of(text) == outside_of(before))
    (tree / "README.md").write_text("no marks\n")
    result = bench("--publish", "--runs", 1, "fsync", program=tree / "tests/bench/run")
    early = result.returncode == 1 and "lacks" in result.stderr and "fsync" not in result.stdout
    check("a README.md without the marks is refused before anything is measured", early, result)


def check_nothing_left(work):
    mounts = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
    left = [line for line in mounts if str(work) in line]
    left += [path.name for path in work.glob("notepackfs-bench.*")]
    check("nothing is left mounted, and no store", not left, *left)


def main():
    with tempfile.TemporaryDirectory(prefix="notepackfs-smoke.") as directory:
        work = pathlib.Path(directory)
        os.environ["TMPDIR"] = directory
        out = work / "out"
        check_corpora()
        check_events()
        check_records(work)
        result = bench("--smoke", "--runs", RUNS, "--out", out)
        check("all rows run", result.returncode == 0, result.stdout, result.stderr)
        skip_left_out(result.stdout)
        check_rows(out)
        check_page(out)
        check_charts(out)
        check_command(out)
        check_failures(work)
        check_publish(work)
        check_nothing_left(work)
    print(f"1..{count}")
    return failed > 0


sys.exit(main())
