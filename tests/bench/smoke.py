#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""smoke.py: the benchmarks themselves are right; no time counts. BUILD is the build directory.

The corpora compress as they should; every row runs, with small sizes, reads what it wrote, and is in the
files that come out; rows are kept, replaced and refused as `run` says; a row that fails is told.
"""
import csv
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

sys.dont_write_bytecode = True

import report
from rows import load_rows

HERE = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path(os.environ["BUILD"])
ROWS = load_rows()
RUNS = 2
FACTORS = {"jsonl": 1.80, "notepack": 1.36, "log": 6.1, "random": 1.0}
count = failed = 0


def check(name, problem):
    """ok, unless problem says something."""
    global count, failed
    count += 1
    if problem:
        failed += 1
        for text in str(problem).splitlines()[:50]:
            print(f"# {text}")
    print(f"{'not ok' if problem else 'ok'} {count} - {name}", flush=True)


def bench(*argv, program=HERE / "run", **environment):
    argv = [sys.executable, str(program), *map(str, argv)]
    return subprocess.run(argv, capture_output=True, text=True, check=False, env={**os.environ, **environment})


# ---- the corpora ----


def corpus(*argv):
    return subprocess.run([BUILD / "tests/bench/corpus", *argv], capture_output=True, check=True).stdout


def check_corpora():
    for kind, factor in FACTORS.items():
        data = corpus(kind, "8000000")
        check(f"{kind}: the same data each time", "" if data == corpus(kind, "8000000", "1") else "they differ")
        check(f"{kind}: others by another seed", "" if data != corpus(kind, "8000000", "2") else "they do not differ")
        got = len(data) / len(subprocess.run(["gzip", "-6"], input=data, capture_output=True, check=True).stdout)
        off = abs(got / factor - 1)
        check(f"{kind}: gzip -6 makes it {factor} times smaller", "" if off <= 0.03 else f"{got:.3f} times")
    frames = 0
    data = corpus("notepack", "1000000")
    while data:
        size = int.from_bytes(data[:4], "little")
        frames += len(data) >= 4 + size and data[4] == 1
        data = data[4 + size :]
    lines = corpus("jsonl", "1000000").splitlines()
    check("notepack: whole frames", "" if frames > 1000 else f"{frames} frames")
    check("jsonl: whole lines", "" if all(x[:1] == b"{" and x[-1:] == b"}" for x in lines) else "one is not")


def check_records(directory):
    """What the mount counts in a segment is what is in it: the frames are notepack records."""
    store, mnt = directory / "store", directory / "mnt"
    store.mkdir()
    mnt.mkdir()
    data = corpus("notepack", "1000000")
    subprocess.run([BUILD / "mount/notepackfs", store, mnt], check=True)
    try:
        (mnt / "x.notepack").write_bytes(data)
        subprocess.run([BUILD / "mount/notepackctl", "seal", mnt], check=True, capture_output=True)
        records = int(os.getxattr(mnt / "x.notepack.gz", "user.notepack.records"))
    finally:
        subprocess.run([BUILD / "mount/notepackctl", "umount", mnt], check=True, capture_output=True)
    frames = at = 0
    while at < len(data):
        at += 4 + int.from_bytes(data[at : at + 4], "little")
        frames += 1
    check("notepack: the mount counts as many records as there are frames", "" if records == frames else f"{records}, not {frames}")


# ---- the rows ----


def samples(out):
    with open(out / "results/samples.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def check_row(row, lines):
    """Every figure of every side, in each run, is a number above 0 (a time less a grace may be below)."""
    problems = []
    sides = {line["side"] for line in lines}
    runs = min(RUNS, row.most_runs)
    for figure in row.figures:
        for side in sides:
            got = [float(x["value"]) for x in lines if (x["figure"], x["side"]) == (figure.key, side)]
            if len(got) != runs or (min(got) <= 0 and row.key != "close-listed"):
                problems.append(f"{figure.key} of {side}: {got}, for {runs} runs")
        for bar in figure.bars:
            if bar.peer and bar.peer not in sides:
                problems.append(f"no side {bar.peer}, which a bar of {figure.key} speaks of")
    turns = [line["side"] for line in lines if line["figure"] == row.figures[0].key]
    if turns != turns[: len(sides)] * runs:
        problems.append(f"not by turns: {turns}")
    return "\n".join(problems)


def check_out(out):
    lines = samples(out)
    for key, row in ROWS.items():
        check(f"row {key}: all sides, by turns", check_row(row, [line for line in lines if line["row"] == key]) or
              ("" if any(line["row"] == key for line in lines) else "no samples"))
    page = (out / "RESULTS.md").read_text(encoding="utf-8")
    missing = [k for k, row in ROWS.items() if page.count(f"| `{k}` |") != len(row.figures) or f"**`{k}`**" not in page]
    check("RESULTS.md has each figure, and what it measures", "\n".join(missing))
    check("RESULTS.md says that these are no results", "" if "A smoke run" in page else page[:300])
    charts = sorted((out / "results").glob("*.svg"))
    problems = [chart.name for chart in charts if f"results/{chart.name})" not in page]
    for chart in charts:
        root = xml.etree.ElementTree.parse(chart).getroot()
        drawn = [x for x in root.iter() if x.tag.endswith(("path", "polygon", "use"))]
        if not root.tag.endswith("svg") or len(drawn) < 5:
            problems.append(f"{chart.name}: nothing is drawn")
    check("charts are SVG, and RESULTS.md shows them", "\n".join(problems) if charts else "there are none")
    bar = next((chart.read_text(encoding="utf-8") for chart in charts if chart.name == "bar.svg"), "")
    missing = [key for key, row in ROWS.items() if any(f.bars for f in row.figures) and key not in bar]
    check("bar.svg has each row with a bar", "\n".join(missing))


def check_command(work, out):
    before = samples(out)
    (out / "results/bar.svg").unlink(missing_ok=True)
    result = bench("--smoke", "--out", out, "--runs", 1, "fsync")
    after = samples(out)
    mine = [line for line in after if line["row"] == "fsync"]
    kept = [line for line in before if line["row"] != "fsync"] == [line for line in after if line["row"] != "fsync"]
    check("a row that is named is measured anew, others stay", result.stderr if result.returncode else
          "" if kept and len(mine) == 4 and (out / "results/bar.svg").exists() else f"{len(mine)} samples, kept: {kept}")
    result = bench("--smoke", "--out", out, "no-such-row")
    check("a row that is not there is refused", "" if result.returncode == 2 and "no-such-row" in result.stderr else result)
    result = bench("--out", out, "fsync")
    check("figures of a smoke run and others are not mixed",
          "" if result.returncode == 1 and "smoke" in result.stderr and samples(out) == after else result)
    result = bench("--smoke", "--out", HERE, "fsync")
    check("a smoke run gives no results for the source tree", "" if result.returncode == 2 else result)
    tools = work / "bin"
    tools.mkdir()
    (tools / "pigz").write_text('#!/bin/sh\n[ "$1" = --version ] && exec /usr/bin/pigz --version\nexit 3\n')
    (tools / "pigz").chmod(0o755)
    result = bench("--smoke", "--out", work / "failing", "seal-log", "fsync", PATH=f"{tools}:{os.environ['PATH']}")
    there = {line["row"] for line in samples(work / "failing")}
    check("a row that fails is told, and has no figure",
          "" if result.returncode == 1 and "seal-log: failed:" in result.stdout and there == {"fsync"} else result)


def check_damage(work):
    """A row whose data are not what was written has no figure: with a gzip that reads something else."""
    tools = work / "gzip"
    tools.mkdir()
    gzip = shutil.which("gzip")
    script = f'#!/bin/sh\ncase $1 in -dc) {gzip} "$@" | tr a b;; *) exec {gzip} "$@";; esac\n'
    (tools / "gzip").write_text(script)
    (tools / "gzip").chmod(0o755)
    result = bench("--smoke", "--out", work / "damaged", "seal-6", PATH=f"{tools}:{os.environ['PATH']}")
    check("wrong data fail a row", "" if result.returncode == 1 and "SHA-256" in result.stdout else result)


def outside_of(text):
    """What is before and behind the marks; both must be there."""
    head, tail = text.index(report.BEGIN), text.index(report.END)
    return text[:head], text[tail:]


def check_publish(work):
    """In a copy of what it writes to. The row is one that takes no time at its full size."""
    tree = work / "tree"
    shutil.copytree(HERE, tree / "tests/bench", ignore=shutil.ignore_patterns("results", "__pycache__"))
    readme = HERE.parent.parent / "README.md"
    shutil.copy(readme, tree)
    result = bench("--publish", "--runs", 1, "fsync", program=tree / "tests/bench/run")
    text = (tree / "README.md").read_text(encoding="utf-8")
    page = (tree / "tests/bench/RESULTS.md").read_text(encoding="utf-8")
    check("--publish writes RESULTS.md", result if result.returncode or "| `fsync` |" not in page else
          "it calls it a smoke run" if "smoke run" in page else "")
    check("--publish puts table and chart into README.md", "" if "| `fsync` |" in text else text)
    linked = re.findall(r"\]\((tests/bench/[^)]*)\)", text)
    missing = [file for file in linked if not (tree / file).exists()]
    check("what README.md shows is there then", "\n".join(missing) if any(x.endswith(".svg") for x in linked) else "no chart")
    check("and nothing else of it changes", "" if outside_of(text) == outside_of(readme.read_text(encoding="utf-8")) else text)
    (tree / "README.md").write_text("no marks\n")
    result = bench("--publish", "--runs", 1, "fsync", program=tree / "tests/bench/run")
    early = result.returncode == 1 and "lacks" in result.stderr and "fsync" not in result.stdout
    check("a README.md without the marks is refused before anything is measured", "" if early else result)


def check_nothing_left(work):
    mounts = [line for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines() if str(work) in line]
    left = [path.name for path in work.glob("notepackfs-bench.*")]
    check("nothing is left mounted, and no store", "\n".join(mounts + left))


def main():
    with tempfile.TemporaryDirectory(prefix="notepackfs-smoke.") as directory:
        work = pathlib.Path(directory)
        os.environ["TMPDIR"] = directory
        out = work / "out"
        check_corpora()
        check_records(work)
        result = bench("--smoke", "--runs", RUNS, "--out", out)
        check("all rows run", result.stdout + result.stderr if result.returncode else "")
        check_out(out)
        check_command(work, out)
        check_damage(work)
        check_publish(work)
        check_nothing_left(work)
    print(f"1..{count}")
    return failed > 0


sys.exit(main())
