"""What the compiled requirement files say: which version of what, for which machines, by whom needed."""

import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PIN: Final = re.compile(r"^(?P<name>[\w.-]+)(?:\[[^\]]*\])?==(?P<version>[^ ;\\]+)(?: ; (?P<marker>[^\\]*?))? \\$")
HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")
VIA: Final = re.compile(r"^    #(?: via)?\s+(?P<who>[\w.-]+)$")
REQUIREMENT: Final = re.compile(r"^(?P<name>[\w.-]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One line of a compiled file. `hashes` are SHA-256 of the files that may be installed, `via` who asked for it."""

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]
    via: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """One of ours: what it needs by name, and what its extras need besides."""

    name: str
    version: str
    description: str
    license: str
    needs: tuple[str, ...]
    extras: tuple[str, ...]


def normal(name: str) -> str:
    """Return a name as an index spells it: lower case, every run of `-`, `_` and `.` one hyphen."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_pins(path: Path) -> list[Pin]:
    """Return the pins of a compiled file. Raises ValueError for a line that is none.

    A package may have several, each with a marker: not every machine gets the same version.
    """
    return [_pin(block, path) for block in _blocks(path.read_text(encoding="utf-8"))]


def read_package(manifest: Path) -> Package:
    """Return what a manifest says of one of our packages."""
    project = tomllib.loads(manifest.read_text(encoding="utf-8"))["project"]
    extras = [line for lines in project.get("optional-dependencies", {}).values() for line in lines]
    return Package(
        name=project["name"],
        version=project["version"],
        description=project["description"],
        license=project["license"],
        needs=_names(project["dependencies"]),
        extras=tuple(name for name in _names(extras) if name != project["name"]),
    )


def below(names: Sequence[str], pins: Sequence[Pin]) -> set[str]:
    """Return `names` that are pinned, and all that they need."""
    found: set[str] = set()
    waiting = [pin.name for pin in pins if pin.name in names]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [pin.name for pin in pins if name in pin.via]
    return found


def _names(lines: Sequence[str]) -> tuple[str, ...]:
    return tuple(normal(match["name"]) for line in lines if (match := REQUIREMENT.match(line)))


def _blocks(text: str) -> Iterator[list[str]]:
    block: list[str] = []
    for line in text.splitlines():
        if line[:1].strip() and not line.startswith("#"):
            if block:
                yield block
            block = []
        block.append(line)
    if block:
        yield block


def _pin(block: Sequence[str], path: Path) -> Pin:
    match = PIN.match(block[0])
    if match is None:
        raise ValueError(f"{path.name}: expected a pin with hashes, got {block[0]!r}")
    return Pin(
        name=normal(match["name"]),
        version=match["version"],
        marker=(match["marker"] or "").strip(),
        hashes=tuple(sorted(HASH.findall("\n".join(block)))),
        via=tuple(normal(found["who"]) for line in block if (found := VIA.match(line))),
    )
