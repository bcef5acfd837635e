"""Plots as SVG: the same figures give the same bytes.

A screen reader has title and description, light and dark have a background of their own, and colour is never alone:
each line and bar has its name beside it.
"""

from collections.abc import Iterable, Sequence
from html import escape
from math import ceil, floor, log10
from typing import Final

from bench.results import OURS, Row
from bench.table import figure, full_name, number

WIDTH: Final = 760
STYLE: Final = """
.card { fill: #ffffff; } text { fill: #222222; font: 12px sans-serif; } .title { font-size: 14px; font-weight: bold; }
.grid { stroke: #dddddd; } .one { stroke: #222222; stroke-width: 1.5; } .missed { font-weight: bold; }
.f0 { fill: #0072b2; } .f1 { fill: #c25700; } .f2 { fill: #00805e; } .s0 { stroke: #0072b2; } .s1 { stroke: #c25700; }
.s2 { stroke: #00805e; } polyline { fill: none; stroke-width: 2; } .s1 { stroke-dasharray: 7 3; }
.s2 { stroke-dasharray: 2 3; }
@media (prefers-color-scheme: dark) {
  .card { fill: #1e2129; } text { fill: #e4e4e4; } .grid { stroke: #444852; } .one { stroke: #e4e4e4; }
  .f0 { fill: #56b4e9; } .f1 { fill: #f0a030; } .f2 { fill: #2fc59b; } .s0 { stroke: #56b4e9; } .s1 { stroke: #f0a030; }
  .s2 { stroke: #2fc59b; }
}
"""


def _svg(name: str, title: str, description: str, height: int, parts: Iterable[str]) -> str:
    """Return the picture; `name` makes its ids its own where several stand in one page."""
    accessible = f'role="img" aria-labelledby="{name}-title {name}-desc"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" {accessible}>',
            f'<title id="{name}-title">{escape(title)}</title>',
            f'<desc id="{name}-desc">{escape(description)}</desc>',
            f"<style>{STYLE}</style>",
            f'<rect class="card" width="{WIDTH}" height="{height}" rx="6"/>',
            _text(20, 26, title, "title"),
            *parts,
            "</svg>",
            "",
        ]
    )


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    """Return a text; the backticks of Markdown mean nothing here."""
    return f'<text x="{x:.0f}" y="{y:.0f}" class="{kind}" text-anchor="{anchor}">{escape(text.replace("`", ""))}</text>'


def lines(name: str, title: str, rows: Sequence[Row]) -> str:
    """Plot figures that have an `at`, a line for each subject, both axes logarithmic."""
    left, right, top, bottom, height = 70, 190, 50, 50, 400
    xs = sorted({row.at for row in rows if row.at is not None})
    subjects = list(dict.fromkeys(row.subject for row in rows))
    low, high = _decades(row.value for row in rows)
    span = log10(xs[-1] / xs[0]) or 1.0

    def x(at: float) -> float:
        return left + log10(at / xs[0]) / span * (WIDTH - left - right)

    def y(value: float) -> float:
        return height - bottom - (log10(value) - low) / (high - low) * (height - bottom - top)

    parts = []
    for decade in range(low, high + 1):
        level = y(10.0**decade)
        parts.append(f'<line class="grid" x1="{left}" x2="{WIDTH - right}" y1="{level:.1f}" y2="{level:.1f}"/>')
        parts.append(_text(left - 8, level + 4, f"{10.0**decade:,g}", anchor="end"))
    parts += [_text(x(at), height - bottom + 20, f"{at:,g}", anchor="middle") for at in xs]
    told = []
    ends: list[float] = []
    for place, subject in enumerate(subjects):
        points = sorted((row.at, row.value) for row in rows if row.subject == subject and row.at is not None)
        path = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in points)
        parts.append(f'<polyline class="s{place % 3}" points="{path}"/>')
        parts += [f'<circle class="f{place % 3}" cx="{x(at):.1f}" cy="{y(value):.1f}" r="3"/>' for at, value in points]
        level = y(points[-1][1])
        while any(abs(level - other) < 15 for other in ends):
            level += 15
        ends.append(level)
        parts.append(_text(x(points[-1][0]) + 10, level + 4, subject, f"f{place % 3}"))
        told.append(f"{subject}: " + ", ".join(f"{number(value)} at {at:,g}" for at, value in points))
    return _svg(name, title, ". ".join(told) + ".", height, parts)


def bars(name: str, title: str, rows: Sequence[Row]) -> str:
    """Plot figures of one unit as bars, a group for each name; longer is more."""
    left, right, bar, gap = 190, 110, 22, 34
    most = max(row.value for row in rows)
    subjects = list(dict.fromkeys(row.subject for row in rows))
    parts, told, level = [], [], 46
    for group in dict.fromkeys(row.name for row in rows):
        parts.append(_text(20, level + 14, group))
        level += 22
        for row in (row for row in rows if row.name == group):
            place = subjects.index(row.subject) % 3
            length = max(row.value / most * (WIDTH - left - right), 1)
            parts.append(_text(left - 10, level + 15, row.subject, anchor="end"))
            parts.append(f'<rect class="f{place}" x="{left}" y="{level}" width="{length:.1f}" height="{bar - 4}"/>')
            parts.append(_text(left + length + 8, level + 15, figure(row)))
            told.append(f"{group}, {row.subject}: {figure(row)}")
            level += bar
        level += gap - bar
    return _svg(name, title, ". ".join(told) + ".", level + 10, parts)


def targets(name: str, title: str, rows: Sequence[Row]) -> str:
    """Plot how far each figure is from its target, logarithmic: right of the line it is reached, left it is missed."""
    left, right, step, top = 350, 70, 19, 66
    margins = [(row, _margin(row)) for row in rows]
    low, high = _decades([0.5, 2.0, *(margin for _, margin in margins)])
    height = top + step * len(margins) + 20

    def x(margin: float) -> float:
        return left + (log10(margin) - low) / (high - low) * (WIDTH - left - right)

    parts = []
    for decade in range(low, high + 1):
        kind = "one" if decade == 0 else "grid"
        at = x(10.0**decade)
        parts.append(f'<line class="{kind}" x1="{at:.1f}" x2="{at:.1f}" y1="{top - 10}" y2="{height - 20}"/>')
        parts.append(_text(at, top - 16, "target" if decade == 0 else f"{10.0**decade:,g} x", anchor="middle"))
    told = []
    for place, (row, margin) in enumerate(margins):
        level = top + step * place + 6
        kind, label = ("f0", "") if row.is_met else ("f1", "missed")
        name_at = full_name(row)
        parts.append(_text(left - 10, level + 4, _short(name_at), label, "end"))
        parts.append(f'<circle class="{kind}" cx="{x(margin):.1f}" cy="{level}" r="4.5"/>')
        if not row.is_met:
            parts.append(_text(x(margin) + 9, level + 4, "missed", kind))
        told.append(f"{name_at}: {number(margin)} times the target{'' if row.is_met else ', missed'}")
    return _svg(name, title, ". ".join(told) + ".", height, parts)


def _margin(row: Row) -> float:
    """Return how many times better than its target a figure is."""
    reached = row.value if row.target_of == "value" else row.ratio
    assert row.target is not None
    assert reached is not None
    return max(reached / row.target if row.better == "higher" else row.target / max(reached, 1e-9), 1e-3)


def _decades(values: Iterable[float]) -> tuple[int, int]:
    known = list(values)
    low = floor(log10(min(known)))
    return low, max(ceil(log10(max(known))), low + 1)


def _short(text: str) -> str:
    return text if len(text) <= 52 else text[:51] + "…"


def ours_with_target(rows: Iterable[Row]) -> list[Row]:
    """Return the rows that a plot of targets shows."""
    return [row for row in rows if row.subject == OURS and row.is_met is not None]
