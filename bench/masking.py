"""Masking, ours beside one regular expression and Airflow's masker, all measured in one run.

Every figure comes from a process of its own (`masking_subject.py`), and beside it stands the rate of a plain
`bytes.find` over the same text in the same process: the ratio of the two is what can be compared between machines.
Airflow's masker is measured when `.venv-bench` has it (`requirements/bench.txt`).
"""

import json
import os
import platform
import subprocess
import sys
import time
from math import log10
from pathlib import Path
from typing import Any, Final, NamedTuple

from autokestra_secrets import SecretMasker

COUNTS: Final = (1, 10, 50, 200, 1000, 5000)
ROOT: Final = Path(__file__).parents[1]
SUBJECT: Final = Path(__file__).with_name("masking_subject.py")
BENCH_PYTHON: Final = Path(os.environ.get("BENCH_PYTHON", ROOT / ".venv-bench" / "bin" / "python"))
PLOT: Final = ROOT / "docs" / "explanation" / "masking-speed.svg"
MIB: Final = 1 << 20

Figures = dict[str, float]


class Target(NamedTuple):
    """A figure that is to be reached with so many secrets."""

    secrets: int
    figure: str
    limit: float
    at_least: bool


TARGETS: Final = (
    Target(50, "plain_mb_per_second", 1000, at_least=True),
    Target(1000, "plain_mb_per_second", 700, at_least=True),
    Target(50, "coloured_mb_per_second", 100, at_least=True),
    Target(1000, "plain_us_per_line", 5, at_least=False),
    Target(1000, "coloured_us_per_line", 15, at_least=False),
    Target(50, "build_seconds", 0.1, at_least=False),
    Target(1000, "build_seconds", 2.5, at_least=False),
)

# Values and texts that make a naive matcher quadratic, each a megabyte: seconds.
PATHOLOGICAL: Final = {
    "'a' * 4000 + 'b' in a run of 'a'": (b"a" * 4000 + b"b", b"a" * MIB),
    "'a' * 1 MiB in a run of 'a'": (b"a" * MIB, b"a" * (MIB - 1)),
    "'ab' * 500 + 'c' in a run of 'ab'": (b"ab" * 500 + b"c", b"ab" * (MIB // 2)),
    "'ab ' * 500 + 'c' in a run of 'ab '": (b"ab " * 500 + b"c", b"ab " * (MIB // 3)),
    "'aaaa' in a run of 'a'": (b"aaaa", b"a" * MIB),
    "a megabyte of carriage returns": (b"hunter2-of-the-day", b"\r" * MIB),
    "a megabyte of escapes": (b"hunter2-of-the-day", b"\x1b[0m" * (MIB // 4)),
}


def run() -> dict[str, Any]:
    """Measure everything and return it: engine -> list of figures, pathological inputs, machine."""
    engines = {"ours": sys.executable, "re": sys.executable}
    if BENCH_PYTHON.exists():
        engines["airflow"] = str(BENCH_PYTHON)
    return {
        "machine": machine(),
        "engines": {name: [_measured(python, name, count) for count in COUNTS] for name, python in engines.items()},
        "pathological": {name: _seconds(value, text) for name, (value, text) in PATHOLOGICAL.items()},
    }


def machine() -> str:
    """Return the date and what it was measured on."""
    date = time.strftime("%Y-%m-%d")
    return f"{date}, {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def _measured(python: str, engine: str, count: int) -> Figures:
    command = [python, str(SUBJECT), engine, str(count)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def _seconds(value: bytes, text: bytes) -> float:
    masker = SecretMasker([value])
    stream = masker.stream()
    stream.feed(b"")
    begin = time.perf_counter()
    for at in range(0, len(text), 65536):
        stream.feed(text[at : at + 65536])
    stream.flush()
    return time.perf_counter() - begin


def table(result: dict[str, Any]) -> str:
    """Return the figures as text: per engine and number of secrets, then targets and pathological inputs."""
    lines = [
        result["machine"],
        "one match per 100 lines of 120 bytes; ratio: to a plain bytes.find over the same text",
        "",
        f"{'':8} {'secrets':>7} {'patterns':>8} {'build s':>8} {'peak MiB':>8} {'MB/s':>8} {'ratio':>6} {'us/line':>8}",
    ]
    lines[-1] += f" {'coloured MB/s':>14} {'us/line':>8}"
    for engine, rows in result["engines"].items():
        for row in rows:
            ratio = row["plain_mb_per_second"] / row["find_mb_per_second"]
            colour = (
                f"{row['coloured_mb_per_second']:14.0f} {row['coloured_us_per_line']:8.1f}" if engine == "ours" else ""
            )
            lines.append(
                f"{engine:8} {row['secrets']:7.0f} {row['patterns']:8.0f} {row['build_seconds']:8.3f}"
                f" {row['peak_mib']:8.0f} {row['plain_mb_per_second']:8.1f} {ratio:6.3f}"
                f" {row['plain_us_per_line']:8.2f} {colour}".rstrip()
            )
    lines.append("")
    ours = {row["secrets"]: row for row in result["engines"]["ours"]}
    for target in TARGETS:
        value = ours[target.secrets][target.figure]
        reached = value >= target.limit if target.at_least else value <= target.limit
        bound = "at least" if target.at_least else "at most"
        verdict = "yes" if reached else "NO"
        lines.append(
            f"{target.figure} with {target.secrets} secrets: {value:.3g} ({bound} {target.limit:g}: {verdict})"
        )
    lines.append("")
    lines += [f"{name}: {seconds:.3f} s" for name, seconds in result["pathological"].items()]
    return "\n".join(lines)


def plot(result: dict[str, Any]) -> str:
    """Return the rates in 64 KiB chunks as an SVG, both axes logarithmic."""
    width, height, left, bottom = 640, 380, 70, 50
    decades = (-1, 4)  # 0.1 MB/s to 10 GB/s

    def x(count: float) -> float:
        return left + log10(count) / log10(COUNTS[-1]) * (width - left - 110)

    def y(value: float) -> float:
        share = (log10(max(value, 10 ** decades[0])) - decades[0]) / (decades[1] - decades[0])
        return height - bottom - share * (height - bottom - 30)

    box = f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {box}>',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{left}" y="18">Masking, MB/s in 64 KiB chunks by number of secrets ({result["machine"]})</text>',
    ]
    for decade in range(decades[0], decades[1] + 1):
        level = y(10**decade)
        parts.append(f'<line x1="{left}" x2="{width - 110}" y1="{level:.0f}" y2="{level:.0f}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 8}" y="{level + 4:.0f}" text-anchor="end">{10.0**decade:g}</text>')
    low = height - bottom + 20
    parts += [f'<text x="{x(count):.0f}" y="{low}" text-anchor="middle">{count}</text>' for count in COUNTS]
    colours = {"ours": "#0b6", "re": "#c60", "airflow": "#06c"}
    labels = {"ours": "ours, all forms", "re": "re, values only", "airflow": "Airflow, values only"}
    for number, (engine, rows) in enumerate(result["engines"].items()):
        points = [(x(row["secrets"]), y(row["plain_mb_per_second"])) for row in rows]
        path = " ".join(f"{at:.0f},{level:.0f}" for at, level in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colours[engine]}" stroke-width="2"/>')
        at, level = points[-1]
        label = f'x="{at + 6:.0f}" y="{level - 2 + number * 6:.0f}" fill="{colours[engine]}"'
        parts.append(f"<text {label}>{labels[engine]}</text>")
    return "\n".join([*parts, "</svg>"]) + "\n"


def main() -> None:
    """Print the table; `python -m bench.masking --json` prints everything, `--plot` also writes the SVG of the docs."""
    result = run()
    if "--json" in sys.argv:
        print(json.dumps(result, indent=2))
    else:
        print(table(result))
        if "airflow" not in result["engines"]:
            print(f"\nAirflow's masker was not measured: no {BENCH_PYTHON.relative_to(ROOT)}")
    if "--plot" in sys.argv:
        PLOT.parent.mkdir(parents=True, exist_ok=True)
        PLOT.write_text(plot(result), encoding="utf-8")


if __name__ == "__main__":
    main()
