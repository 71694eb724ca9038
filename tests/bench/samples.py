# SPDX-License-Identifier: BSD-2-Clause
"""samples: what was measured, as a file: every value, and the machine.

DIR/results/samples.csv has a line for each value; DIR/results/machine.json says on what they were
taken. A row that is measured again replaces its samples; others stay, if they are of the same machine.
"""
import csv
import dataclasses
import json
import os
import pathlib
import platform
import statistics
import subprocess

import rows

SUMMARY = ("row", "figure", "unit", "side", "median", "least", "most", "runs")
COLUMNS = ("row", "figure", "unit", "side", "run", "value", "commit", "taken")


def first_line(*argv):
    try:
        text = subprocess.run(argv, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return ((text.stdout or text.stderr).splitlines() or ["unknown"])[0].strip()


def machine(work, smoke):
    """What figures depend on, other than the code."""
    cpu = "unknown"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.split(":", 1)[1].strip()
            break
    return {
        "smoke": smoke,
        "cpu": cpu,
        "cpus": len(os.sched_getaffinity(0)),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / (1 << 30):.0f} GiB",
        "kernel": platform.release(),
        "filesystem": first_line("findmnt", "-no", "FSTYPE", "-T", str(work)),
        "libfuse": first_line("pkg-config", "--modversion", "fuse3"),
        "zlib": first_line("pkg-config", "--modversion", "zlib"),
        "pigz": first_line("pigz", "--version"),
        "gzip": first_line("gzip", "--version"),
    }


def commit(root):
    return first_line("git", "-C", str(root), "-c", "safe.directory=*", "describe", "--always", "--dirty")


class Samples:
    """lines: one dict for each value, with the columns as keys."""

    def __init__(self, directory, facts):
        self.directory, self.facts = directory, facts
        self.lines = []

    def load(self):
        """What is there already; ValueError if it is of another machine."""
        file = self.directory / "machine.json"
        if not file.exists():
            return
        if json.loads(file.read_text()) != self.facts:
            raise ValueError(
                f"{self.directory} has figures of another machine, or of a smoke run; name another --out"
            )
        with open(self.directory / "samples.csv", newline="", encoding="utf-8") as csv_file:
            known = [line for line in csv.DictReader(csv_file) if line["row"] in rows.ROWS]
        self.lines = [{**line, "run": int(line["run"]), "value": float(line["value"])} for line in known]

    def replace(self, key, lines):
        self.lines = [line for line in self.lines if line["row"] != key] + lines
        order = list(rows.ROWS)
        self.lines.sort(key=lambda line: order.index(line["row"]))

    def save(self):
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "machine.json").write_text(json.dumps(self.facts, indent=1) + "\n")
        write_csv(self.directory / "samples.csv", COLUMNS, self.lines)
        table = [line for result in self.results() for line in result.lines()]
        write_csv(self.directory / "results.csv", SUMMARY, table)

    def results(self):
        """A Result for each figure that was measured, in the order of the rows."""
        found = []
        for row in rows.ROWS.values():
            for figure in row.figures:
                values = {}
                lines = [x for x in self.lines if (x["row"], x["figure"]) == (row.key, figure.key)]
                for line in lines:
                    values.setdefault(line["side"], []).append(line["value"])
                if values:
                    found.append(Result(row, figure, values, sorted({x["commit"] for x in lines})))
        return found


def write_csv(path, columns, lines):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


@dataclasses.dataclass
class Result:
    row: rows.Row
    figure: rows.Figure
    values: dict  # of each side
    commits: list

    @property
    def medians(self):
        return {side: statistics.median(values) for side, values in self.values.items()}

    @property
    def subject(self):
        return next(iter(self.values))

    @property
    def name(self):
        return f"{self.row.title}, {self.figure.label}" if self.figure.label else self.row.title

    @property
    def short_name(self):
        return f"{self.row.key}, {self.figure.label}" if self.figure.label else self.row.key

    def lines(self):
        """For results.csv: one for each side."""
        for side, values in self.values.items():
            points = (statistics.median(values), min(values), max(values))
            texts = (f"{point:.6g}" for point in points)
            name = (self.row.key, self.figure.key, self.figure.unit, side)
            yield dict(zip(SUMMARY, (*name, *texts, len(values))))

    def ratio(self, peer):
        return self.medians[self.subject] / self.medians[peer]

    def against(self, bar):
        """What the bar speaks of: the median, or the ratio of two."""
        return self.ratio(bar.peer) if bar.peer else self.medians[self.subject]
