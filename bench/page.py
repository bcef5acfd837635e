"""The page of the figures, its plots, and the tables on two other pages: what `bench/results.json` gives.

What a benchmark measures and how is said by the docstring of its module, which the page shows.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from bench import plots, scaling
from bench.masking import RATE
from bench.results import OURS, Part, Results, Row
from bench.table import figure, full_name, number, target

PAGE: Final = "reference/benchmarks.md"
COMPARISON: Final = "explanation/comparison.md"
SCALING: Final = "explanation/scaling.md"
MASKING_PLOT: Final = "explanation/masking-speed.svg"
TARGETS_PLOT: Final = "pictures/bench-targets.svg"
OTHERS_PLOT: Final = "pictures/bench-others.svg"
MARKS: Final = ("<!-- measured: written by `python -m bench --page` -->\n", "<!-- /measured -->\n")  # around each table
NOTE: Final = (
    "<!-- Written by `python -m bench --page` out of bench/results.json: run the benchmarks to change it. -->\n"
)

TITLES: Final = {
    "startup": "Starting a command",
    "masking": "Masking",
    "vault": "The store of secrets, from Python",
    "commands": "The store of secrets, from the command line",
    "engine": "Tasks, memory and logs",
    "others": "Beside Prefect and Luigi",
    "postgres": "Rows in PostgreSQL",
    "cluster": "A cluster on one machine",
}

BUSY: Final = 1.5  # processes for each core; a benchmark before may itself have been one

OPENING: Final = """# Benchmarks

What each part costs, measured by `make bench`. A bare time says more about a machine than about a program, so
beside every figure that can have one stands its ratio to a yardstick that ran in the same minutes: a program that does
nothing, a plain table, a plain search. Ratios are what can be compared between machines and versions.

To measure again, in a checkout:

<!-- not run: it takes minutes; e2e/test_bench.py runs a small one -->
```sh
make bench                          # everything; about eight minutes on two cores
make bench BENCHES="engine vault"   # some of it; the rest stays as it was
.venv/bin/python -m bench --check   # compares and writes nothing; exit code 1 when a ratio is worse by more than 25 %
```

A run writes `bench/results.json` and this page, and marks each ratio of ours that is worse than that of the run before
by more than a quarter of it. Other work on the machine disturbs figures; the load beside the date is how many processes
wanted to run in the minute before.
"""


def pages(results: Results, docs: Path) -> dict[str, str]:
    """Return what the results give, by path in `docs`; what is written by hand has new tables."""
    found = {PAGE: page(results)}
    if "masking" in results:
        rows = [row for row in results["masking"].rows if row.name == RATE]
        found[MASKING_PLOT] = plots.lines("masking", f"Masking: {RATE}, by number of secrets", rows)
    if "others" in results:
        rows = [row for row in results["others"].rows if row.unit == "/s"]
        found[OTHERS_PLOT] = plots.bars("others", "Tasks a second, each starts a program that does nothing", rows)
    promised = plots.ours_with_target(row for part in results.values() for row in part.rows)
    if promised:
        found[TARGETS_PLOT] = plots.targets("targets", "How far from its target each figure is", promised)
    inserts: dict[str, list[str]] = {}
    if "others" in results:
        inserts[COMPARISON] = [_beside(results["others"])]
    if scaling.is_possible(results):
        parts, measures = scaling.costs(results)
        inserts[SCALING] = [
            f"{_table(heads, lines)}\n" for heads, *lines in (parts, measures, scaling.arithmetic(results))
        ]
    for name, tables in inserts.items():
        if (docs / name).exists():
            found[name] = _filled((docs / name).read_text(encoding="utf-8"), tables)
    return found


def _filled(text: str, tables: list[str]) -> str:
    """Return a page with these tables between its marks; raises ValueError when there are not as many pairs."""
    begin, end = MARKS
    head, *places = text.split(begin)
    if len(places) != len(tables) or not all(end in place for place in places):
        raise ValueError(f"expected {len(tables)} pairs of marks, got {len(places)}: {begin.strip()} … {end.strip()}")
    filled = zip(tables, (place.partition(end)[2] for place in places), strict=True)
    return head + "".join(f"{begin}\n{table}\n{end}{rest}" for table, rest in filled)


def write(results: Results, docs: Path) -> None:
    """Write all of it."""
    for name, text in pages(results, docs).items():
        path = docs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def page(results: Results) -> str:
    """Return the page."""
    parts = [OPENING, *_machines(results), *_promises(results)]
    for name, part in results.items():
        parts += [f"## {TITLES.get(name, name)}", *_about(name), *_measured(name, part)]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n\n" + NOTE


def _machines(results: Results) -> Iterator[str]:
    """Yield what it was measured on, once for all parts that agree."""
    yield "## When and on what"
    known: dict[str, list[str]] = {}
    for name, part in results.items():
        known.setdefault(_machine(part.machine), []).append(name)
    for text, names in known.items():
        yield text if len(known) == 1 else f"{', '.join(f'`{name}`' for name in names)}: {text}"
    yield _table(
        ["benchmark", "date, UTC", "commit", "load"],
        [
            [f"`{name}`", part.date, part.commit or "unknown", f"{part.machine.get('load', '')}"]
            for name, part in results.items()
        ],
    )
    busy = [f"`{name}`" for name, part in results.items() if _is_busy(part)]
    if busy:
        yield f"**While the machine had other work, so that rates and times are worse than it can:** {', '.join(busy)}."
    quick = [f"`{name}`" for name, part in results.items() if part.is_quick]
    if quick:
        yield f"**With small sizes, so that it proves nothing:** {', '.join(quick)}."


def _is_busy(part: Part) -> bool:
    return bool(part.machine.get("load", 0) > BUSY * part.machine["cores"])


def _machine(machine: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in machine.get("versions", {}).items())
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB of memory, {machine['system']},"
        f" Python {machine['python']}, {versions}."
    )


def _promises(results: Results) -> Iterator[str]:
    promised = plots.ours_with_target(row for part in results.values() for row in part.rows)
    missed = [row for row in promised if not row.is_met]
    if not promised:
        return
    yield "## What is promised, and what is kept"
    kept = len(promised) - len(missed)
    yield f"{kept} of {len(promised)} figures reach their target." + (" These do not:" if missed else "")
    if missed:
        yield "\n".join(f"* {full_name(row)}: {_reached(row)}, to be {target(row)}" for row in missed)
    yield f"![How far from its target each figure is; the tables below say the same](../{TARGETS_PLOT})"


def _reached(row: Row) -> str:
    return figure(row) if row.target_of == "value" or row.ratio is None else f"{number(row.ratio)} times"


def _about(name: str) -> Iterator[str]:
    """Yield what the benchmark says of itself; one that is no module of ours says nothing."""
    if name in TITLES:
        yield (import_module(f"bench.{name}").__doc__ or "").strip()


def _measured(name: str, part: Part) -> Iterator[str]:
    single = [row for row in part.rows if row.at is None and row.subject == OURS and not part.is_shared(row)]
    if single:
        yield _table(["", "figure", "ratio", "to", "target"], [_cells(row) for row in single])
    company = [row for row in part.rows if row.at is None and row not in single]
    if company:
        yield _beside_table(company)
    for group in dict.fromkeys(row.name for row in part.rows if row.at is not None):
        yield _by_number(group, [row for row in part.rows if row.name == group])
    for absent in part.absent:
        yield f"{absent.name} could not run: {absent.reason}."
    plot = {"masking": f"../{MASKING_PLOT}", "others": f"../{OTHERS_PLOT}"}.get(name)
    if plot and part.rows:
        yield f"![The same as a picture]({plot})"
    worse = [row for row in part.rows if row.is_worse and row.last and row.ratio]
    if worse:
        yield "Worse than in the run before by more than a quarter:"
        yield "\n".join(
            f"* {full_name(row)}: {number(row.ratio or 0)} times, was {number(row.last or 0)}" for row in worse
        )


def _cells(row: Row) -> list[str]:
    verdict = "" if row.is_met is None else f"{target(row)}: {'reached' if row.is_met else '**missed**'}"
    return [row.name, figure(row), _ratio(row), row.yardstick or "", verdict]


def _ratio(row: Row) -> str:
    return "" if row.ratio is None else number(row.ratio)


def _beside_table(rows: list[Row]) -> str:
    subjects = list(dict.fromkeys(row.subject for row in rows))
    cells = {(row.name, row.subject): row for row in rows}
    names = list(dict.fromkeys(row.name for row in rows))
    yardsticks = list(dict.fromkeys(row.yardstick for row in rows if row.yardstick))
    lines = [
        [name, *(_with_ratio(cells[name, who]) if (name, who) in cells else "" for who in subjects)] for name in names
    ]
    table = _table(["", *subjects], lines)
    return table + (f"\n\nIn brackets: the ratio to {', '.join(yardsticks)}." if yardsticks else "")


def _beside(part: Part) -> str:
    """Return the table of engines for another page, with date and machine."""
    absent = "".join(f"\n\n{one.name} could not run: {one.reason}." for one in part.absent)
    when = f"Measured {part.date} UTC on {part.machine['processor']}, {part.machine['cores']} cores"
    when += ", which had other work besides" if _is_busy(part) else ""
    more = f"[how, and the rest](../{PAGE}#beside-prefect-and-luigi)"
    return f"{_beside_table(list(part.rows))}{absent}\n\n{when}; {more}.\n"


def _by_number(name: str, rows: list[Row]) -> str:
    ats = sorted({row.at for row in rows if row.at is not None})
    cells = {(row.subject, row.at): row for row in rows}
    lines = [
        [who, *(_with_ratio(cells[who, at]) if (who, at) in cells else "" for at in ats)]
        for who in dict.fromkeys(row.subject for row in rows)
    ]
    promised: dict[str, list[str]] = {}
    for row in rows:
        if row.target is not None:
            promised.setdefault(target(row), []).append(f"{row.at:,g}")
    said = "; ".join(f"{limit} with {', '.join(numbers)}" for limit, numbers in promised.items())
    said = f" To be {said}." if said else ""
    unit = " In brackets: the ratio to " + rows[0].yardstick + "." if rows[0].yardstick else ""
    return f"### {name[0].upper() + name[1:]}\n\nBy number of secrets.{unit}{said}\n\n" + _table(
        ["", *(f"{at:,g}" for at in ats)], lines
    )


def _with_ratio(row: Row) -> str:
    ratio = "" if row.ratio is None else f" ({number(row.ratio)})"
    return f"{figure(row)}{ratio}" + (" **missed**" if row.is_met is False else "")


def _table(heads: list[str], lines: list[list[str]]) -> str:
    # What else stands in a column are numbers.
    words = {"", "benchmark", "date, UTC", "commit", "to", "target", "part", "measure"}
    rule = ["---" if head in words else "---:" for head in heads]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in [heads, rule, *lines]
    )
