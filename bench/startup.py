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

ROUNDS: Final = 21
WORKFLOW: Final = Path(sys.executable).with_name("workflow")
TARGETS: Final = {"secrets get (key)": 9.0, "run one echo": 35.0}

ECHO: Final = """\
id: one
tasks:
  - id: echo
    type: core/shell.run
    inputs: {script: "echo hello"}
"""


def main() -> None:
    """Print the table of start-up ratios."""
    with tempfile.TemporaryDirectory(prefix="autokestra-bench-") as folder:
        medians = measure(commands(Path(folder)))
    yardstick = medians.pop("python -c pass")
    print(f"{'python -c pass':24} {yardstick * 1e3:7.1f} ms   1.0  (the yardstick)")
    for name, median in medians.items():
        ratio = median / yardstick
        target = TARGETS.get(name)
        verdict = "" if target is None else f"  (at most {target:.0f}: {'yes' if ratio <= target else 'NO'})"
        print(f"{name:24} {median * 1e3:7.1f} ms {ratio:5.1f}{verdict}")


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
        "python -c pass": ([sys.executable, "-c", "pass"], base),
        "secrets get (key)": (get, generated),
        "secrets get (passphrase)": (get, passphrase),
        "secrets list": ([str(WORKFLOW), "secrets", "list"], generated),
        "run one echo": ([str(WORKFLOW), "run", str(echo)], generated),
        "run one echo, no store": ([str(WORKFLOW), "run", str(echo)], {**base, "AUTOKESTRA_HOME": str(folder / "new")}),
    }


def measure(timed: Mapping[str, tuple[Sequence[str], Mapping[str, str]]]) -> dict[str, float]:
    """Return the median wall time of each command in seconds."""
    times: dict[str, list[float]] = {name: [] for name in timed}
    for _ in range(ROUNDS):
        for name, (command, environ) in timed.items():
            start = time.perf_counter()
            subprocess.run(command, env=environ, check=True, stdout=subprocess.DEVNULL)
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}
