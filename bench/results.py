"""What the benchmarks found, as one file, `bench/results.json`, and whether it has become worse.

A figure is a `Row`; it counts by its ratio to a yardstick that ran in the same minute, since other work on a machine,
or another machine, moves both. The rows of one benchmark are a `Part`, with a date, a machine and a commit of their
own, so that a run of some benchmarks replaces just those. Pure but for `load` and `save`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

FORMAT: Final = 1
OURS: Final = "Autokestra"
WORSE: Final = 0.25  # of the last ratio

Direction = Literal["higher", "lower"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure: `value` in `unit`, and `ratio`, how many times the yardstick it is (None where there is none).

    `better` says of value and ratio alike which way is better. `target` is for the value, or for the ratio where
    `target_of` says so; None where nothing is promised. `subject` is whose figure it is, and `at` where on the axis
    of a plot it stands, such as a number of secrets. `last` is the ratio of the run before, once it was compared.
    """

    name: str
    value: float
    unit: str
    better: Direction
    yardstick: str | None = None
    ratio: float | None = None
    target: float | None = None
    target_of: Literal["value", "ratio"] = "value"
    subject: str = OURS
    at: float | None = None
    last: float | None = None

    @property
    def key(self) -> tuple[str, str, float | None]:
        """Which figure it is, in every run."""
        return self.name, self.subject, self.at

    @property
    def is_met(self) -> bool | None:
        """Whether the target is reached; None where there is none."""
        reached = self.value if self.target_of == "value" else self.ratio
        if self.target is None or reached is None:
            return None
        return reached >= self.target if self.better == "higher" else reached <= self.target

    @property
    def is_worse(self) -> bool:
        """Whether the ratio is worse than that of the run before by more than a quarter of it; only ours count."""
        if self.ratio is None or not self.last or self.subject != OURS:
            return False
        change = self.ratio / self.last - 1
        return change < -WORSE if self.better == "higher" else change > WORSE


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """Something that could not be measured here, and why: no path, no name of a machine."""

    name: str
    reason: str


Found = Sequence[Row | Absent]  # what a benchmark returns


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one benchmark found: when (UTC), on which machine, of which commit.

    `is_quick` says that the sizes were so small that the figures prove nothing.
    """

    date: str
    machine: Mapping[str, Any]
    commit: str | None
    is_quick: bool
    rows: tuple[Row, ...]
    absent: tuple[Absent, ...] = ()

    def is_shared(self, row: Row) -> bool:
        """Whether somebody else has the same figure."""
        return any(other.name == row.name and other.subject != row.subject for other in self.rows)


Results = dict[str, Part]  # by name of the benchmark


def compared(part: Part, last: Part | None) -> Part:
    """Return the part with the ratios of the run before in its rows; runs of other sizes are not comparable."""
    if last is None or last.is_quick != part.is_quick:
        return part
    before = {row.key: row.ratio for row in last.rows}
    return replace(part, rows=tuple(replace(row, last=before.get(row.key)) for row in part.rows))


def load(path: Path) -> Results:
    """Return what the file holds, nothing where there is no file; raises ValueError when it is of another format."""
    if not path.exists():
        return {}
    data = json.loads(path.read_text(encoding="utf-8"))
    if data["format"] != FORMAT:
        raise ValueError(f"{path.name}: format {data['format']}, expected {FORMAT}")
    return {
        name: Part(
            **{
                **part,
                "rows": tuple(Row(**row) for row in part["rows"]),
                "absent": tuple(Absent(**one) for one in part["absent"]),
            }
        )
        for name, part in data["benches"].items()
    }


def save(path: Path, results: Results) -> None:
    """Write the file, whole or not at all."""
    data = {"format": FORMAT, "benches": {name: _plain(asdict(part)) for name, part in results.items()}}
    new = path.with_suffix(".new")
    new.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    new.replace(path)


def _plain(value: Any) -> Any:
    """Round to four digits, which is more than any measurement is good for, and leave out what is not said."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, Mapping):
        optional = {"yardstick", "ratio", "target", "at", "last"}
        return {key: _plain(inner) for key, inner in value.items() if inner is not None or key not in optional}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value
