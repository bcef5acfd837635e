"""What `workflow secrets` costs from the command line, in multiples of `python -c pass` of the same minute.

Beside it run the programs that others use for the same, where they are installed: `pass show`, `age -d`, `dotenvx get`.
All commands take turns, so that a noisy neighbour disturbs them alike; the median of each is compared.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from bench.results import OURS, Absent, Found, Row

SECRETS: Final = 10_000
QUICK_SECRETS: Final = 500
ROUNDS: Final = 11
BULK_ROUNDS: Final = 3
YARDSTICK: Final = "python -c pass"
WORKFLOW: Final = str(Path(sys.executable).with_name("workflow"))
VALUE: Final = "a value of about fifty bytes, as tokens often are {:06}"

IMPORT_SECONDS: Final = 2.0
LIST_RATIO: Final = 25.0

Environ = Mapping[str, str]


class Command(NamedTuple):
    """What is typed and where, and what must come out of it."""

    argv: Sequence[str]
    environ: Environ
    output: bytes


@contextmanager
def others(folder: Path, base: Environ) -> Iterator[dict[str, Command | None]]:
    """Let every other program keep one value; yield how each shows it, None for one that is not installed."""
    setups: dict[str, tuple[str, Callable[[Path, Environ], Command]]] = {
        "pass show": ("pass", _pass),
        "age -d": ("age", _age),
        "dotenvx get": ("dotenvx", _dotenvx),
    }
    made: dict[str, Command | None] = {}
    for name, (program, setup) in setups.items():
        place = folder / program
        place.mkdir(mode=0o700)
        made[name] = setup(place, base) if shutil.which(program) else None
    yield made
    if made["pass show"] is not None:  # its agent would outlive us
        _run(["gpgconf", "--kill", "all"], made["pass show"].environ)


def _pass(place: Path, base: Environ) -> Command:
    environ = {**base, "GNUPGHOME": str(place), "PASSWORD_STORE_DIR": str(place / "store")}
    _run(["gpg", "--batch", "--passphrase", "", "--quick-gen-key", "bench", "default", "default", "never"], environ)
    _run(["pass", "init", "bench"], environ)
    _run(["pass", "insert", "-m", "TOKEN"], environ, given=b"value-of-the-token\n")
    return Command(["pass", "show", "TOKEN"], environ, b"value-of-the-token\n")


def _age(place: Path, base: Environ) -> Command:
    key, file = str(place / "key"), str(place / "token.age")
    _run(["age-keygen", "-o", key], base)
    recipient = _run(["age-keygen", "-y", key], base).decode().strip()
    _run(["age", "-r", recipient, "-o", file], base, given=b"value-of-the-token")
    return Command(["age", "-d", "-i", key, file], base, b"value-of-the-token")


def _dotenvx(place: Path, base: Environ) -> Command:
    files = ["-f", str(place / ".env"), "-fk", str(place / ".env.keys")]
    _run(["dotenvx", "set", "TOKEN", "value-of-the-token", *files], base)
    return Command(["dotenvx", "get", "TOKEN", *files], base, b"value-of-the-token\n")


def _run(argv: Sequence[str], environ: Environ, *, given: bytes = b"") -> bytes:
    done = subprocess.run(argv, env=environ, input=given, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{argv[0]} failed: {done.stderr.decode(errors='replace')}")
    return done.stdout


def _time(command: Command) -> float:
    start = time.perf_counter()
    output = _run(command.argv, command.environ)
    seconds = time.perf_counter() - start
    if output != command.output and command.output:
        raise RuntimeError(f"{' '.join(command.argv[:3])} showed something else than was stored")
    return seconds


def medians_of(timed: Mapping[str, Command], rounds: int) -> dict[str, float]:
    """Return the median wall time of each command in seconds."""
    times: dict[str, list[float]] = {name: [] for name in timed}
    for _ in range(rounds):
        for name, command in timed.items():
            times[name].append(_time(command))
    return {name: statistics.median(values) for name, values in times.items()}


def _bulk(folder: Path, base: Environ, nothing: Command, *, count: int, rounds: int) -> Iterator[Row]:
    """Import and list many secrets, each round in a store of its own."""
    lines = folder / "many.env"
    lines.write_text("".join(f"N{number:06}={VALUE.format(number)}\n" for number in range(count)), encoding="utf-8")
    found: list[dict[str, float]] = []
    for number in range(rounds):
        environ = {**base, "AUTOKESTRA_HOME": str(folder / f"bulk-{number}")}
        timed = {
            "import": Command([WORKFLOW, "secrets", "import", "--quiet", str(lines)], environ, b""),
            "list": Command([WORKFLOW, "secrets", "list"], environ, b""),
            "list --json": Command([WORKFLOW, "secrets", "list", "--json"], environ, b""),
        }
        one = medians_of({YARDSTICK: nothing}, 3)
        found.append(one | {name: _time(command) for name, command in timed.items()})
    took = {name: statistics.median(one[name] for one in found) for name in found[0]}
    for name in ("import", "list", "list --json"):
        yield Row(
            name=f"secrets {name} of {count:,}",
            value=took[name],
            unit="s",
            better="lower",
            yardstick=YARDSTICK,
            ratio=took[name] / took[YARDSTICK],
            target=IMPORT_SECONDS if name == "import" else LIST_RATIO,
            target_of="value" if name == "import" else "ratio",
        )


def measure(*, quick: bool = False) -> Found:
    """Return the ratios of one `get`, theirs beside ours, and of many secrets."""
    with tempfile.TemporaryDirectory(prefix="akb-") as name:  # short: it holds a socket of gpg's
        folder = Path(name)
        base = {"PATH": os.environ["PATH"], "HOME": name, "LANG": "C.UTF-8"}
        mine = {**base, "AUTOKESTRA_HOME": str(folder / "home")}
        _run([WORKFLOW, "secrets", "set", "TOKEN", "--quiet"], mine, given=b"value-of-the-token")
        nothing = Command([sys.executable, "-c", "pass"], base, b"")
        get = Command([WORKFLOW, "secrets", "get", "TOKEN", "--quiet"], mine, b"value-of-the-token")
        with others(folder, base) as theirs:
            installed = {name: command for name, command in theirs.items() if command is not None}
            timed = {YARDSTICK: nothing, "workflow secrets get": get, **installed}
            medians = medians_of(timed, 2 if quick else ROUNDS)
        found: list[Row | Absent] = [
            Row(
                name="one value, from the command line",
                value=seconds,
                unit="s",
                better="lower",
                yardstick=YARDSTICK,
                ratio=seconds / medians[YARDSTICK],
                subject=OURS if command == "workflow secrets get" else f"`{command}`",
            )
            for command, seconds in medians.items()
        ]
        found += [Absent(name=name, reason="not installed") for name, command in theirs.items() if command is None]
        count, rounds = (QUICK_SECRETS, 1) if quick else (SECRETS, BULK_ROUNDS)
        return [*found, *_bulk(folder, base, nothing, count=count, rounds=rounds)]
