# SPDX-License-Identifier: BSD-2-Clause
"""charts: the results as SVG, drawn by gnuplot.

bar.svg has what was attained of each bar; one more for each unit that has peers has the medians of all
sides, with the least and the most.
"""
import itertools
import re
import subprocess

FONT = "DejaVu Sans,11"
COLOURS = ("#1f5fa8", "#d9822b", "#5b8c3a", "#8a4f9e", "#7a7a7a", "#b03a48", "#2a9d8f", "#a0522d")


def quoted(text):
    """As a string of gnuplot's, between double quotes, without its markup."""
    text = re.sub(r"([\\\"])", r"\\\1", text)
    return '"' + re.sub(r"([_^@&~{}])", r"\\\\\1", text) + '"'


def draw(path, title, labels, commands, blocks):
    """labels from the top; blocks are the data of $D0, $D1, …"""
    height = 130 + 22 * len(labels)
    ticks = ", ".join(f"{quoted(label)} {len(labels) - at}" for at, label in enumerate(labels))
    script = [
        f"set terminal svg size 1000,{height} dynamic font {quoted(FONT)} background '#ffffff'",
        f"set output {quoted_path(path)}",
        f"set title {quoted(title)}",
        "set logscale x",
        "set grid xtics",
        "set tics nomirror",
        "set border 3",
        f"set yrange [0.4:{len(labels) + 0.6}]",
        f"set ytics ({ticks})",
        "set key below",
    ]
    for at, block in enumerate(blocks):
        script += [f"$D{at} << EOD", *block, "EOD"]
    text = "\n".join([*script, *commands, ""])
    result = subprocess.run(["gnuplot"], input=text, text=True, capture_output=True, check=False)
    if result.returncode != 0 or result.stderr:
        raise ValueError(f"gnuplot: {result.stderr.strip() or result.returncode}")


def quoted_path(path):
    return "'" + str(path).replace("'", "''") + "'"


def draw_bar(path, results):
    """A bar to the right of 1 where the aim is met, to the left where it is not."""
    entries = []
    for result in results:
        for bar in result.figure.bars:
            label = f"{result.short_name}: {bar.text(result.figure.unit)}"
            entries.append((label, bar.attained(result.against(bar))))
    if not entries:
        return False
    met, missed = [], []
    for at, (_, value) in enumerate(entries):
        y = len(entries) - at
        block = met if value >= 1 else missed
        block.append(f"{value:.6g} {y} {min(1, value):.6g} {max(1, value):.6g} {y - 0.35} {y + 0.35}")
    plots = [
        f"$D{at} using 1:2:3:4:5:6 with boxxyerror fill solid 0.8 noborder lc rgb '{colour}'"
        for at, (block, colour) in enumerate(((met, "#5b8c3a"), (missed, "#b03a48")))
        if block
    ]
    ends = [value for _, value in entries]
    commands = [
        f"set xrange [{min(0.5, min(ends) * 0.8):.6g}:{max(2, max(ends) * 1.25):.6g}]",
        "unset key",
        "set arrow from 1, graph 0 to 1, graph 1 nohead lw 1.5 lc rgb '#333333' front",
        "plot " + ", ".join(plots),
    ]
    title = "attained, relative to the bar: met to the right of 1"
    draw(path, title, [label for label, _ in entries], commands, (met, missed))
    return True


def draw_unit(path, unit, results):
    """A point for each side of each figure, from the least to the most."""
    names = list(dict.fromkeys(side for result in results for side in result.values))
    blocks = [[] for _ in names]
    for at, result in enumerate(results):
        for side, values in result.values.items():
            point = f"{result.medians[side]:.6g} {len(results) - at}"
            blocks[names.index(side)].append(f"{point} {min(values):.6g} {max(values):.6g}")
    plots = [
        f"$D{at} using 1:2:3:4 with xerrorbars pt {5 + at} ps 0.9 lc rgb '{colour}' title {quoted(name)}"
        for at, (name, colour) in enumerate(zip(names, itertools.cycle(COLOURS)))
    ]
    draw(path, unit, [result.short_name for result in results], ["plot " + ", ".join(plots)], blocks)


def draw_all(directory, results):
    """The files, with their titles."""
    charts = []
    if draw_bar(directory / "bar.svg", results):
        charts.append(("bar.svg", "attained, relative to the bar"))
    units = dict.fromkeys(result.figure.unit for result in results)
    for unit in units:
        of_unit = [result for result in results if result.figure.unit == unit]
        if all(len(result.values) == 1 for result in of_unit):
            continue
        file = re.sub(r"[^a-z0-9]+", "-", unit.lower().replace("µ", "u")) + ".svg"
        draw_unit(directory / file, unit, of_unit)
        charts.append((file, f"in {unit}"))
    return charts
