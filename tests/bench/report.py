# SPDX-License-Identifier: BSD-2-Clause
"""report: the results as Markdown: RESULTS.md, and the part of README.md between its marks."""

BEGIN = "<!-- bench: begin; written by tests/bench/run --publish -->"
END = "<!-- bench: end -->"
HEAD = """<!-- SPDX-License-Identifier: BSD-2-Clause -->
<!-- written by tests/bench/run -->
# Results of the benchmarks

"""
SMOKE = """**A smoke run: sizes are tiny, and the machine may have been busy. These figures say nothing but
that the benchmarks run.**

"""
INTRO = """Each row is measured against its peers by turns in one run; figures are medians. `tests/bench/run`
measures all rows again, or those that are named. Every value is in [samples.csv](results/samples.csv),
medians and extremes are in [results.csv](results/results.csv).

"""


def number(value):
    """Three digits that count."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def ratio(value):
    """Near 1 a third digit, so that what misses a bar does not look as if it met it."""
    return f"{value:.3f}" if 0.95 < value < 1.05 else f"{value:.2f}"


def cell(text):
    return text.replace("|", "\\|")


def verdict(result):
    """(ratios, bars, met): each a text."""
    peers = [side for side in result.values if side != result.subject]
    ratios = " · ".join(ratio(result.ratio(peer)) for peer in peers)
    bars = " · ".join(bar.text(result.figure.unit) for bar in result.figure.bars)
    met = [bar.attained(result.against(bar)) >= 1 for bar in result.figure.bars]
    return ratios or "—", bars or "—", " · ".join("yes" if x else "**no**" for x in met) or "—"


def line(result, with_bound):
    medians = result.medians
    ours = f"{number(medians.pop(result.subject))} {result.figure.unit}"
    peers = " · ".join(f"{side} {number(value)}" for side, value in medians.items()) or "—"
    cells = [f"`{result.row.key}`", result.name, ours, peers, *verdict(result)]
    if with_bound:
        cells.append(result.row.bound or "not looked into yet")
    return "| " + " | ".join(map(cell, cells)) + " |\n"


def table(results, with_bound):
    titles = ["row", "what", "median", "peers", "ratio", "bar", "met"]
    if with_bound:
        titles.append("what bounds it")
    text = "| " + " | ".join(titles) + " |\n" + "|---" * len(titles) + "|\n"
    return text + "".join(line(result, with_bound) for result in results)


def machine(facts):
    return (
        f"{facts['cpus']} CPUs ({facts['cpu']}), {facts['memory']}, Linux {facts['kernel']}, "
        f"{facts['filesystem']}, libfuse {facts['libfuse']}, zlib {facts['zlib']}, {facts['pigz']}, "
        f"{facts['gzip']}"
    )


def commits(results):
    return ", ".join(sorted({commit for result in results for commit in result.commits}))


def results_page(samples, charts):
    """RESULTS.md; charts are (file, title)."""
    results = samples.results()
    text = HEAD + (SMOKE if samples.facts["smoke"] else "") + INTRO
    text += f"Taken on {machine(samples.facts)}; commit {commits(results)}.\n\n"
    text += table(results, True)
    for file, title in charts:
        text += f"\n## {title[:1].upper()}{title[1:]}\n\n![{title}](results/{file})\n"
    text += "\n## What is measured\n"
    for row in {result.row.key: result.row for result in results}.values():
        text += f"\n**`{row.key}`**: {row.title}. {row.measures[:1].upper()}{row.measures[1:]}\n"
    return text


def readme_part(samples, chart):
    results = [result for result in samples.results() if result.figure.bars]
    return (
        f"On {machine(samples.facts)}; medians of what was measured by turns in one run:\n\n"
        f"{table(results, False)}\n![attained, relative to the bar](tests/bench/results/{chart})\n"
    )


def fill_readme(text, part):
    """text with what is between the marks replaced; ValueError without them."""
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md lacks the lines {BEGIN} and {END}")
    return f"{head}{BEGIN}\n{part}{END}{tail}"
