"""`python -m bench [NAME...]`: measure everything, or what is named, compare it with the last run, and write it down.

Written are `bench/results.json` and the page that comes out of it. `--check` writes nothing and ends with 1 when a
ratio is worse than in the file by more than a quarter. `--page` measures nothing. `--quick` takes sizes that prove
nothing, to try the benchmarks themselves, and prints only.
"""

import argparse
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import cluster, commands, engine, masking, others, page, postgres, startup, vault
from bench.machine import ROOT, commit, machine, now
from bench.results import Absent, Found, Part, Row, compared, load, save
from bench.table import table

BENCHES: Final[Mapping[str, Callable[..., Found]]] = {
    "startup": startup.measure,
    "masking": masking.measure,
    "vault": vault.measure,
    "commands": commands.measure,
    "engine": engine.measure,
    "others": others.measure,
    "postgres": postgres.measure,
    "cluster": cluster.measure,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where results are, and the folder of the pages that come out of them."""

    results: Path = ROOT / "bench" / "results.json"
    docs: Path = ROOT / "docs"


def main(
    arguments: Sequence[str] | None = None,
    *,
    benches: Mapping[str, Callable[..., Found]] = BENCHES,
    place: Place = Place(),
) -> int:
    """Do what the command line says and return the exit code: 1 when something failed or, with --check, got worse."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(benches)}; without one, all")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 when a ratio got worse")
    parser.add_argument("--page", action="store_true", help="only write the page out of the results")
    parser.add_argument("--quick", action="store_true", help="small sizes; write nothing")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in benches]
    if unknown:
        print(f"error: no benchmark {', '.join(unknown)}; there are: {', '.join(benches)}", file=sys.stderr)
        return 2
    if options.page:
        page.write(load(place.results), place.docs)
        return 0
    results, code, of = load(place.results), 0, commit()  # now: what is written below differs from the commit
    writes = not (options.check or options.quick)
    for name in options.names or benches:
        print(f"\n== {name} ==", flush=True)
        part = _measured(benches[name], of=of, quick=options.quick)
        if part is None:
            code = 1
            continue
        part = compared(part, results.get(name))
        print("\n".join(table(part)), flush=True)
        if options.check and any(row.is_worse for row in part.rows):
            code = 1
        if writes:  # at once: what comes after may fail, or be interrupted
            results = {
                other: part if other == name else results[other] for other in benches if other in {*results, name}
            }
            save(place.results, results)
            page.write(load(place.results), place.docs)  # with the figures as they are rounded there
    return code


def _measured(bench: Callable[..., Found], *, of: str | None, quick: bool) -> Part | None:
    """Return what a benchmark finds; one that fails is told and leaves the last results of it as they were."""
    date, on = now(), machine()
    try:
        found = bench(quick=quick)
    except Exception:  # noqa: BLE001  # the others are to be measured in any case
        traceback.print_exc()
        return None
    rows = tuple(one for one in found if isinstance(one, Row))
    absent = tuple(one for one in found if isinstance(one, Absent))
    return Part(date=date, machine=on, commit=of, is_quick=quick, rows=rows, absent=absent)


if __name__ == "__main__":
    sys.exit(main())
