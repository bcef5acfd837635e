"""One masker, one number of secrets, one process: prints its figures as JSON.

Run as a program, by whatever interpreter has the masker: `python masking_subject.py ENGINE SECRETS`. It imports
nothing of the project but the masker, so that each process's peak memory is that of the masker.
"""

import json
import random
import re
import statistics
import string
import sys
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

LINES = 40_000
LINE_BYTES = 120
MATCH_EVERY = 100  # lines
CHUNK = 65_536  # bytes
ROUNDS = 5  # of everything in turns; the median counts
SECONDS = 0.15  # of scanning in one of them, at least, where the text lasts that long
PATIENCE = 20.0  # seconds of building; then the rest is put in by hand

Scan = Callable[[bytes], object]


def workload(count: int) -> tuple[list[str], bytes]:
    """Return `count` secrets and a log in which every hundredth line holds one of them."""
    random_ = random.Random(count)
    letters = string.ascii_letters + string.digits + "-_"
    secrets = ["".join(random_.choices(letters, k=32)) for _ in range(count)]
    words = ["".join(random_.choices(string.ascii_lowercase, k=random_.randint(2, 9))) for _ in range(3000)]
    lines = []
    for number in range(LINES):
        text = f"2026-11-24T01:52:{number % 60:02}Z INFO worker-{number % 7} " + " ".join(random_.choices(words, k=16))
        if number % MATCH_EVERY == 0:
            text = text[:70] + " token=" + random_.choice(secrets)
        lines.append(text[: LINE_BYTES - 1].ljust(LINE_BYTES - 1, "."))
    return secrets, ("\n".join(lines) + "\n").encode()


def coloured(data: bytes) -> bytes:
    """Return the log with every line in three colours."""
    return b"".join(
        b"\x1b[32m" + line[:20] + b"\x1b[0m" + line[20:40] + b"\x1b[1;31m" + line[40:] + b"\x1b[0m\n"
        for line in data.splitlines()
    )


def ours(secrets: list[str]) -> tuple[Callable[[], Scan], int]:
    """Return our masker, all forms registered, and the number of patterns."""
    from autokestra_secrets import SecretMasker

    masker = SecretMasker(secrets)
    return lambda: masker.stream().feed, sum(len(index.forms) for index in masker.indexes())


def alternation(secrets: list[str]) -> tuple[Callable[[], Scan], int]:
    """Return what most maskers are: one regular expression of all values, over whole pieces of text."""
    pattern = re.compile("|".join(map(re.escape, sorted(secrets, key=len, reverse=True))).encode())
    pattern.sub(b"***", b"")
    return lambda: lambda data: pattern.sub(b"***", data), len(secrets)


def airflow(secrets: list[str]) -> tuple[Callable[[], Scan], int]:
    """Return Airflow's masker; when adding value by value takes too long, the rest is put in at once."""
    masker = import_module("airflow.sdk._shared.secrets_masker.secrets_masker").SecretsMasker()
    masker.min_length_to_mask = 5
    masker.sensitive_variables_fields = []
    begin = time.perf_counter()
    for secret in secrets:
        if time.perf_counter() - begin > PATIENCE:
            masker.patterns.update(re.escape(secret) for secret in secrets)
            masker.replacer = re.compile("|".join(masker.patterns))
            break
        masker.add_mask(secret)
    return lambda: lambda data: masker.redact(data.decode()), len(masker.patterns)


ENGINES = {"ours": ours, "re": alternation, "airflow": airflow}


def seconds_per_byte(scan: Scan, pieces: Iterator[bytes], *, look: int = 1) -> float:
    """Scan for about SECONDS, with a look at the clock every `look` pieces."""
    size = 0
    begin = time.perf_counter()
    for number, piece in enumerate(pieces, start=1):
        scan(piece)
        size += len(piece)
        if number % look == 0 and time.perf_counter() - begin > SECONDS:
            break
    return (time.perf_counter() - begin) / size


def chunked(data: bytes) -> Iterator[bytes]:
    """Yield `data` three times over, in pieces of 64 KiB."""
    for _ in range(3):
        for at in range(0, len(data), CHUNK):
            yield data[at : at + CHUNK]


def memory(field: str) -> float:
    """Return what the kernel says of this process in MiB: VmRSS is now, VmHWM the peak; 0 where it is not Linux.

    Not from getrusage(2), whose peak counts from the fork and so begins with all that the parent held.
    """
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(field)), 0.0)


def measure(engine: str, count: int) -> dict[str, float]:
    """Return the figures of one engine with `count` secrets."""
    secrets, data = workload(count)
    ENGINES[engine](["imported-before-the-clock-starts"])
    if (peaks := Path("/proc/self/clear_refs")).exists():
        peaks.write_text("5")  # proc(5): the peak counts from here
    baseline = memory("VmRSS")
    begin = time.perf_counter()
    fresh, patterns = ENGINES[engine](secrets)
    build = time.perf_counter() - begin
    texts = {"plain": data} if engine != "ours" else {"plain": data, "coloured": coloured(data)}
    lines = {name: text.splitlines(keepends=True) for name, text in texts.items()}
    took: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        found = {"find": seconds_per_byte(lambda piece: piece.find(b"\0no such thing"), chunked(data))}
        for name, text in texts.items():
            scan = fresh()
            scan(text[:CHUNK])  # a first scan allocates
            found[name] = seconds_per_byte(scan, chunked(text))
            per_line = len(text) / len(lines[name])
            found[f"{name} line"] = per_line * seconds_per_byte(fresh(), iter(lines[name]), look=8)
        for name, seconds in found.items():
            took.setdefault(name, []).append(seconds)
    median = {name: statistics.median(seconds) for name, seconds in took.items()}
    figures: dict[str, float] = {"secrets": count, "patterns": patterns, "build_seconds": build}
    figures["find_mb_per_second"] = 1e-6 / median["find"]
    for name in texts:
        figures[f"{name}_mb_per_second"] = 1e-6 / median[name]
        figures[f"{name}_us_per_line"] = 1e6 * median[f"{name} line"]
    figures["peak_mib"] = memory("VmHWM") - baseline
    return figures


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
