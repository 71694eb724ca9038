# SPDX-License-Identifier: BSD-2-Clause
"""rows: what a row of the results is.

A row measures one or more figures of two or more sides, by turns. The first side is the subject, the
others are its peers. It is a function of a Bench that prepares what is needed and yields {side: measure};
measure() does the job once and returns {figure: value}. What comes after the yield, and every context
that the function is in, ends with the row.

	@row("key", "what a reader sees", [Figure(…)], measures="what exactly is timed", bound="what bounds it")
	def any_name(bench):
	    with bench.mount("grace=1h") as mount, bench.native() as native:
	        yield {"notepackfs": lambda: {"speed": …}, "native": lambda: {"speed": …}}

bound is for whoever has looked into it with a profile; it is printed in the results.
"""
import contextlib
import dataclasses
import importlib
import typing


@dataclasses.dataclass(frozen=True)
class Bar:
    """The median, or its ratio to a peer's median, is at least (>=) or at most (<=) a value."""

    op: str
    value: float
    peer: str = None

    def text(self, unit):
        sign = {">=": "≥", "<=": "≤"}[self.op]
        return f"{sign} {self.value:g} × {self.peer}" if self.peer else f"{sign} {self.value:,g} {unit}"

    def attained(self, value):
        """1 and more: met."""
        if self.op == ">=":
            return value / self.value
        return self.value / value


@dataclasses.dataclass(frozen=True)
class Figure:
    key: str
    label: str
    unit: str
    bars: tuple = ()


@dataclasses.dataclass(frozen=True)
class Row:
    key: str
    title: str
    figures: tuple
    measures: str
    bound: str
    most_runs: int
    prepare: typing.Callable


ROWS = {}


def row(key, title, figures, measures, bound="", most_runs=1000):
    """most_runs is for rows that take minutes."""

    def register(function):
        prepare = contextlib.contextmanager(function)
        ROWS[key] = Row(key, title, tuple(figures), measures, bound, most_runs, prepare)
        return function

    return register


def load_rows():
    """All of them, by key; in the order of the results."""
    for module in ("rows_seal", "rows_write", "rows_read", "rows_scale"):
        importlib.import_module(module)
    return ROWS


def speed(*bars):
    return [Figure("speed", "", "MB/s", bars)]
