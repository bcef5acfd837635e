"""Figures as text: for the terminal, and, cell by cell, for the page."""

from collections.abc import Iterator
from typing import Final

from bench.results import OURS, Part, Row

# Units below which a figure is told in the next smaller one.
SMALLER: Final = {"s": ((1.0, 1e3, "ms"), (1e-3, 1e6, "µs"))}


def table(part: Part) -> Iterator[str]:
    """Yield the lines of one benchmark's table."""
    for row in part.rows:
        who = f"{row.subject}: " if row.subject != OURS or part.is_shared(row) else ""
        at = "" if row.at is None else f" [{row.at:g}]"
        ratio = "" if row.ratio is None else f"{number(row.ratio)} x"
        yield f"{who + row.name + at:58} {figure(row):>14} {ratio:>10}{verdict(row)}{warning(row)}".rstrip()
    for absent in part.absent:
        yield f"{absent.name:58} could not run: {absent.reason}"


def figure(row: Row) -> str:
    """Return the value with its unit."""
    value, unit = row.value, row.unit
    for below, factor, smaller in SMALLER.get(unit, ()):
        if row.value < below:
            value, unit = row.value * factor, smaller
    return f"{number(value)} {unit}".strip()


def full_name(row: Row) -> str:
    """Return the name, with the number of secrets where there is one."""
    if row.at is None:
        return row.name
    return f"{row.name}, {row.at:,g} {'secret' if row.at == 1 else 'secrets'}"


def number(value: float) -> str:
    """Return a number with three digits that count, and whole thousands."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    text = f"{value:.3g}"
    return f"{value:.7f}".rstrip("0") if "e-" in text else text


def target(row: Row) -> str:
    """Return what is promised, in words; empty where nothing is."""
    if row.target is None:
        return ""
    bound = "at least" if row.better == "higher" else "at most"
    if row.target_of == "ratio":
        return f"{bound} {number(row.target)} times"
    plain = Row(name=row.name, value=row.target, unit=row.unit, better=row.better)
    return f"{bound} {figure(plain)}"


def verdict(row: Row) -> str:
    """Return the target and whether it is reached."""
    return "" if row.is_met is None else f"   {'met' if row.is_met else 'MISSED'}: {target(row)}"


def warning(row: Row) -> str:
    """Return a mark when the ratio is worse than the last."""
    return f"   WORSE: was {number(row.last)} x" if row.is_worse and row.last else ""
