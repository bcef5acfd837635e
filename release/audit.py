"""Asks whether a pinned version has a known hole, and does not take silence for "no".

pip-audit calls a run clean when the service knew none of the packages: a mirror without that data answers so. Here what
was not looked up is a result of its own, with an exit code of its own, and the first pin decides whether to ask for the
others at all. Runs in the environment that has pip-audit (.venv-audit); `--options` go to pip-audit.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from release.pins import Pin, read_pins

ROOT: Final = Path(__file__).parents[1]
# Each is a superset of others: what runs and what tests, the site, and this tool itself.
FILES: Final = ("requirements/dev.txt", "requirements/docs.txt", "requirements/audit.txt")

EXIT_CLEAN: Final = 0
EXIT_FOUND: Final = 1
EXIT_UNKNOWN: Final = 75  # EX_TEMPFAIL of sysexits.h: try again where the data can be had


@dataclass(slots=True)
class Answer:
    """What is known: lines about holes, how many pins were looked up, and why others were not."""

    holes: list[str] = field(default_factory=list)
    asked: int = 0
    unknown: list[str] = field(default_factory=list)


def look_up(pins: Iterable[Pin], options: Sequence[str]) -> Answer:
    """Ask about pins, all of different packages."""
    pins = list(pins)
    with tempfile.TemporaryDirectory(prefix="autokestra-audit-") as folder:
        file = Path(folder) / "pins.txt"
        file.write_text("".join(map(_line, pins)), encoding="utf-8")
        command = [sys.executable, "-m", "pip_audit", "-r", str(file), "--require-hashes", "--disable-pip"]
        command += ["--format", "json", "--progress-spinner", "off", *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        dependencies = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        reason = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        return Answer(unknown=[f"{pin.name} {pin.version}: {reason}" for pin in pins])
    answer = Answer()
    seen = set()
    for found in dependencies:
        seen.add(found["name"])
        if "skip_reason" in found:
            answer.unknown.append(f"{found['name']}: {found['skip_reason']}")
            continue
        answer.asked += 1
        for hole in found["vulns"]:
            fixed = ", ".join(hole["fix_versions"]) or "no version yet"
            answer.holes.append(f"{found['name']} {found['version']}: {hole['id']}, fixed in {fixed}")
    answer.unknown += [f"{pin.name}: left out of the answer" for pin in pins if pin.name not in seen]
    return answer


def audit(files: Sequence[Path], options: Sequence[str]) -> Answer:
    """Ask about every pin of compiled files, each version once; about none but the first where that is not known."""
    pins = {(pin.name, pin.version): pin for file in files for pin in read_pins(file)}
    total = Answer()
    for batch in _batches(list(pins.values())):
        answer = look_up(batch, options)
        total.holes += answer.holes
        total.asked += answer.asked
        total.unknown += answer.unknown
        if not total.asked:
            break
    total.unknown += [""] * (len(pins) - total.asked - len(total.unknown))
    return total


def main() -> int:
    """Say what was found, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m release.audit", description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, help="compiled requirement files")
    parser.add_argument("--options", nargs=argparse.REMAINDER, default=[], help="what is passed to pip-audit")
    given = parser.parse_args()
    answer = audit(given.files or [ROOT / name for name in FILES], given.options)
    for line in answer.holes:
        print(line)
    for line in filter(None, answer.unknown):
        print(f"not looked up: {line}", file=sys.stderr)
    print(f"{answer.asked} pins looked up, {len(answer.holes)} known holes, {len(answer.unknown)} pins not looked up")
    if answer.holes:
        return EXIT_FOUND
    if answer.unknown:
        print("error: the data about known holes cannot be had here, so this says nothing", file=sys.stderr)
        print("hint: run make audit where pip-audit reaches its service", file=sys.stderr)
        return EXIT_UNKNOWN
    return EXIT_CLEAN


def _line(pin: Pin) -> str:
    return f"{pin.name}=={pin.version} " + " ".join(f"--hash=sha256:{value}" for value in pin.hashes) + "\n"


def _batches(pins: Sequence[Pin]) -> list[list[Pin]]:
    """Return one pin first, and then each package at most once in a batch, as a requirement file has it."""
    batches: list[dict[str, Pin]] = []
    for pin in pins[1:]:
        batch = next((batch for batch in batches if pin.name not in batch), None)
        if batch is None:
            batch = {}
            batches.append(batch)
        batch[pin.name] = pin
    return [list(pins[:1]), *(list(batch.values()) for batch in batches)]


if __name__ == "__main__":
    sys.exit(main())
