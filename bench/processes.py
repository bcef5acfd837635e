"""How much processor time processes have taken, themselves and all below them, in seconds (proc(5), stat).

Time in the kernel counts as well. What a process that has ended took counts with the one that waited for it.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from servers.postgresql import processes

_TICKS: Final = os.sysconf("SC_CLK_TCK")  # a second
_TIMES: Final = slice(11, 15)  # utime, stime, cutime, cstime, counted from the state


def processor_seconds(process: int) -> float:
    """Return the processor time of a process, and of those below it that live or have been waited for."""
    below: dict[int, list[int]] = {}
    for pid, parent in processes():
        below.setdefault(parent, []).append(pid)
    return sum(_ticks(pid) for pid in _family(process, below)) / _TICKS


def _family(process: int, below: Mapping[int, list[int]]) -> Iterator[int]:
    yield process
    for child in below.get(process, ()):
        yield from _family(child, below)


def _ticks(process: int) -> int:
    try:
        text = Path(f"/proc/{process}/stat").read_text(errors="replace")
    except OSError:  # ended just now
        return 0
    return sum(int(field) for field in text[text.rindex(")") + 2 :].split()[_TIMES])
