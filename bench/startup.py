"""How long a command takes to start, as a multiple of `python -c pass` in the same environment.

The rounds interleave all commands, so that a noisy neighbour disturbs them alike; the median of each is compared.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from bench.results import Found, Row

ROUNDS: Final = 21
QUICK_ROUNDS: Final = 3
YARDSTICK: Final = "python -c pass"
WORKFLOW: Final = Path(sys.executable).with_name("workflow")
TARGETS: Final = {"secrets get (key)": 9.0, "run one echo": 35.0}

ECHO: Final = """\
id: one
tasks:
  - id: echo
    type: core/shell.run
    inputs: {script: "echo hello"}
"""


def measure(*, quick: bool = False) -> Found:
    """Return the start-up ratios."""
    with tempfile.TemporaryDirectory(prefix="autokestra-bench-") as folder:
        medians = medians_of(commands(Path(folder)), QUICK_ROUNDS if quick else ROUNDS)
    return [
        Row(
            name=name,
            value=median,
            unit="s",
            better="lower",
            yardstick=YARDSTICK,
            ratio=median / medians[YARDSTICK],
            target=TARGETS.get(name),
            target_of="ratio",
        )
        for name, median in medians.items()
    ]


def commands(folder: Path) -> dict[str, tuple[Sequence[str], Mapping[str, str]]]:
    """Set up one home with a generated key and one with a passphrase, and return what is to be timed."""
    base = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8"}
    generated = {**base, "AUTOKESTRA_HOME": str(folder / "generated")}
    passphrase = {
        **base,
        "AUTOKESTRA_HOME": str(folder / "passphrase"),
        "AUTOKESTRA_SECRET_KEY": "correct horse battery staple",
    }
    for environ in (generated, passphrase):
        subprocess.run(
            [WORKFLOW, "secrets", "set", "TOKEN", "--quiet"],
            input=b"value-of-the-token",
            env=environ,
            check=True,
            stderr=subprocess.DEVNULL,
        )
    echo = folder / "echo.yaml"
    echo.write_text(ECHO, encoding="utf-8")
    get = [str(WORKFLOW), "secrets", "get", "TOKEN", "--quiet"]
    return {
        YARDSTICK: ([sys.executable, "-c", "pass"], base),
        "secrets get (key)": (get, generated),
        "secrets get (passphrase)": (get, passphrase),
        "secrets list": ([str(WORKFLOW), "secrets", "list"], generated),
        "run one echo": ([str(WORKFLOW), "run", str(echo)], generated),
        "run one echo, no store": ([str(WORKFLOW), "run", str(echo)], {**base, "AUTOKESTRA_HOME": str(folder / "new")}),
    }


def medians_of(timed: Mapping[str, tuple[Sequence[str], Mapping[str, str]]], rounds: int) -> dict[str, float]:
    """Return the median wall time of each command in seconds."""
    times: dict[str, list[float]] = {name: [] for name in timed}
    for _ in range(rounds):
        for name, (command, environ) in timed.items():
            start = time.perf_counter()
            subprocess.run(command, env=environ, check=True, stdout=subprocess.DEVNULL)
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}
