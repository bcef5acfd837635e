"""Masking, ours beside one regular expression and Airflow's masker, all measured in one run.

One match in 100 lines of 120 bytes; ours looks for all forms of a value, the others for the value. Every figure comes
from a process of its own (`masking_subject.py`), and the yardstick is a plain `bytes.find` over the same text in the
same process, five times in turns; the medians count. That of building is one pass over the whole text. A line is
coloured when it has three colours in it.
Airflow's masker is measured when `.venv-bench` has it (`requirements/bench.txt`).
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from autokestra_secrets import SecretMasker
from bench.results import OURS, Absent, Found, Row

COUNTS: Final = (1, 10, 50, 200, 1000, 5000)
QUICK: Final = (1, 50)
ROOT: Final = Path(__file__).parents[1]
SUBJECT: Final = Path(__file__).with_name("masking_subject.py")
BENCH_PYTHON: Final = Path(os.environ.get("BENCH_PYTHON", ROOT / ".venv-bench" / "bin" / "python"))
MIB: Final = 1 << 20
LINE_BYTES: Final = 120
TEXT_BYTES: Final = 40_000 * LINE_BYTES

Figures = dict[str, float]


RATE: Final = "MB/s in 64 KiB chunks"
COLOURED_RATE: Final = "MB/s in 64 KiB chunks, every line coloured"
LINE: Final = "time per line"
COLOURED_LINE: Final = "time per line, coloured"
BUILD: Final = "time to build"
PATTERNS: Final = "patterns"
PEAK: Final = "peak memory of building and scanning"
FIND: Final = "bytes.find over the same text"

PATHOLOGICAL_SECONDS: Final = 1.0


def target(name: str, secrets: float) -> float | None:
    """Return what is promised of a figure with so many secrets."""
    limits: dict[str, dict[float, float]] = {
        RATE: {50: 1000, 1000: 700},
        COLOURED_RATE: {50: 100},
        LINE: dict.fromkeys((1, 10, 50, 200, 1000), 5e-6),
        COLOURED_LINE: dict.fromkeys((1, 10, 50, 200, 1000), 15e-6),
        BUILD: {50: 0.1, 1000: 2.5},
    }
    return limits.get(name, {}).get(secrets)


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


def measure(*, quick: bool = False) -> Found:
    """Return everything: engine by engine, then the pathological inputs."""
    counts = QUICK if quick else COUNTS
    found: list[Row | Absent] = []
    for name, (python, engine) in {
        OURS: (sys.executable, "ours"),
        "one `re`": (sys.executable, "re"),
        "Airflow": (str(BENCH_PYTHON), "airflow"),
    }.items():
        if not Path(python).exists():
            found.append(Absent(name=name, reason=f"no {BENCH_PYTHON.parents[1].name}, which `make bench` makes"))
            continue
        try:
            for count in counts:
                found += _rows(name, _measured(python, engine, count))
        except subprocess.CalledProcessError as error:
            sys.stderr.write(error.stderr)
            found.append(Absent(name=name, reason=f"ended with code {error.returncode}"))
    return [*found, *(_pathological(name, value, text) for name, (value, text) in PATHOLOGICAL.items())]


def _measured(python: str, engine: str, count: int) -> Figures:
    command = [python, str(SUBJECT), engine, str(count)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def _rows(subject: str, figures: Figures) -> Iterator[Row]:
    find, secrets = figures["find_mb_per_second"], figures["secrets"]

    def row(name: str, value: float, unit: str, ratio: float | None = None) -> Row:
        return Row(
            name=name,
            value=value,
            unit=unit,
            better="higher" if unit == "MB/s" else "lower",
            yardstick=None if ratio is None else FIND,
            ratio=ratio,
            target=target(name, secrets) if subject == OURS else None,
            subject=subject,
            at=secrets,
        )

    for kind, rate, line in (("plain", RATE, LINE), ("coloured", COLOURED_RATE, COLOURED_LINE)):
        if f"{kind}_mb_per_second" in figures:
            speed, seconds = figures[f"{kind}_mb_per_second"], figures[f"{kind}_us_per_line"] / 1e6
            yield row(rate, speed, "MB/s", speed / find)
            yield row(line, seconds, "s", seconds / (LINE_BYTES / (find * 1e6)))
    build = figures["build_seconds"]
    yield row(BUILD, build, "s", build / (TEXT_BYTES / (find * 1e6)))
    yield row(PATTERNS, figures["patterns"], "")
    yield row(PEAK, figures["peak_mib"], "MiB")


def _pathological(name: str, value: bytes, text: bytes) -> Row:
    masker = SecretMasker([value])
    stream = masker.stream()
    stream.feed(b"")
    begin = time.perf_counter()
    for at in range(0, len(text), 65536):
        stream.feed(text[at : at + 65536])
    stream.flush()
    seconds = time.perf_counter() - begin
    return Row(name=name, value=seconds, unit="s", better="lower", target=PATHOLOGICAL_SECONDS)
