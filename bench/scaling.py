"""The tables on the page about many machines: what each part costs, and what that comes to. Pure.

Each number is a row of `bench/results.json`, or follows from such rows and from the few numbers below.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from bench.cluster import ATTEMPTS, FIRST, LOCAL, PARTS, TIME, WRITES
from bench.masking import BUILD, RATE
from bench.postgres import CLAIMS, EXECUTOR, LINES, SINGLY
from bench.results import OURS, Results, Row
from bench.table import figure, number

NEEDS: Final = ("masking", "postgres", "cluster")  # the benchmarks whose rows stand here
MACHINES: Final = (10, 100, 1_000)
SLOTS: Final = 16  # of each machine
SECONDS: Final = 10  # that a task takes
TASK_LINES: Final = 100  # that it prints
LINE_BYTES: Final = 250  # of a row for 100 bytes of text, with index; weighed once, the page says how
BATCHES: Final = 20  # of log lines a second of a worker process at most, since it waits 50 ms for more to come
BATCH_SECONDS: Final = 0.00011  # of a processor of PostgreSQL, for one of eight lines; measured once, likewise
WAITS: Final = 2  # of an attempt for the disk: its claim and its end
LOOKS: Final = 3  # statements a second of a worker process: a look for cancels each 0.4 s, a heartbeat each 2 s
CONNECTIONS: Final = 6  # of a worker process at most: five for the state, one for secrets


def costs(results: Results) -> tuple[list[list[str]], list[list[str]]]:
    """Return the lines of the table of parts and of that of other measures."""
    found = _Figures(results)
    times = [(part, found.cluster(f"{TIME}, {part}")) for part in PARTS]
    whole = replace(times[0][1], value=sum(row.value for _, row in times))
    parts = [["part", "processor time for an attempt that does nothing", "one core is full at"]]
    parts += [[name, figure(row), f"{number(1 / row.value)}/s"] for name, row in [*times, ("all together", whole)]]
    return parts, [["measure", "figure"], *_measures(found)]


def arithmetic(results: Results) -> list[list[str]]:
    """Return the lines of the table for some machines, with the head."""
    found = _Figures(results)
    times = {part: found.cluster(f"{TIME}, {part}").value for part in PARTS}
    writes = found.cluster(WRITES).value
    each = SLOTS / SECONDS  # attempts a second of a machine
    rates = {
        "attempts/s": each,
        **{f"{part}, cores": each * time for part, time in times.items()},
        "transactions of attempts/s": each * writes,
        "of these, those that wait for the disk": each * WAITS,
        "transactions of more log lines/s, at most": BATCHES,
        "PostgreSQL for these, cores": BATCHES * BATCH_SECONDS,
        "heartbeats and looks, statements/s": LOOKS,
        "log lines/s": each * TASK_LINES,
        "log rows a day, GB": each * TASK_LINES * LINE_BYTES * 86_400 / 1e9,
        "connections at most": CONNECTIONS,
    }
    heads = ["", *(f"{machines:,} machines" for machines in MACHINES)]
    return [heads, *([name, *(number(rate * machines) for machines in MACHINES)] for name, rate in rates.items())]


def is_possible(results: Results) -> bool:
    """Whether all rows are there."""
    names = {row.name for name in NEEDS if name in results for row in results[name].rows}
    return {ATTEMPTS, LOCAL, FIRST, WRITES, RATE, BUILD, CLAIMS, LINES, SINGLY, *_times()} <= names


def _times() -> Iterator[str]:
    return (f"{TIME}, {part}" for part in PARTS)


def _measures(found: "_Figures") -> Iterator[list[str]]:
    cluster, postgres = found.cluster, found.postgres
    beside = f"{_rate(cluster(LOCAL))} for the local pool, {_rate(cluster(f'attempts, {EXECUTOR}'))} for the yardstick"
    yield ["attempts through two workers, all on two cores", f"{_rate(cluster(ATTEMPTS))}, beside {beside}"]
    yield ["first result of a new coordinator", figure(cluster(FIRST))]
    yield ["transactions that write, for an attempt with one line of log", number(cluster(WRITES).value)]
    yield ["commits that wait for the disk: claims of eight threads", _rate(postgres(CLAIMS))]
    yield ["log lines, row by row", _rate(postgres(SINGLY))]
    yield ["log lines, as a worker's log writer batches them", _rate(postgres(LINES))]
    for at in (10, 1_000):
        yield [f"finding {at:,} secrets in a log, on one core", figure(found.masking(RATE, at))]
    for at in (50, 1_000, 5_000):
        yield [f"building the finder for {at:,} secrets", figure(found.masking(BUILD, at))]


def _rate(row: Row) -> str:
    return f"{number(row.value)}/s"


class _Figures:
    """Rows of ours by benchmark and name."""

    def __init__(self, results: Results) -> None:
        self._rows = {
            (bench, row.name, row.at): row for bench in NEEDS for row in results[bench].rows if row.subject == OURS
        }

    def cluster(self, name: str) -> Row:
        return self._rows["cluster", name, None]

    def postgres(self, name: str) -> Row:
        return self._rows["postgres", name, None]

    def masking(self, name: str, at: float) -> Row:
        return self._rows["masking", name, at]
