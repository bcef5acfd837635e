"""Hyperscan behind one small typed door: compile literals once, scan bytes for them.

The only room that knows the binding and its traps. The binding is loaded by the first index that is compiled; an
empty masker never loads it. Literals only: Vectorscan 5.4.12 loses matches when several expressions have `[ ]+` in
the same place (`a[ ]+b` beside `a[ ]+c`, with more text behind), and a finder that misses is a leak.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

LITERAL_BYTES: Final = 4000  # longest literal of one expression: 16,000 characters when every byte is `\xNN`
_PAD: Final = b"\0" * 16  # bytes behind a short buffer
_SHORT: Final = 1024  # bytes; Vectorscan 5.4.12 can lose a match that ends a buffer of up to 256 bytes


def literal(data: bytes) -> bytes:
    """Return the expression that matches exactly `data`.

    Every byte is hex-escaped: the binding's own literal mode ends a pattern at its first NUL byte.
    """
    return ("\\x" + data.hex("-").replace("-", "\\x")).encode()


class Finder:
    """A compiled set of expressions, safe to scan with from many threads at once.

    Of the expressions whose index is in `once` only one occurrence is reported, no matter which.
    """

    __slots__ = ("_database", "_idle", "_scratch")

    def __init__(self, expressions: Sequence[bytes], *, once: Collection[int] = ()) -> None:
        import hyperscan  # noqa: PLC0415  # loaded by the first value, not by the import of this library

        count = len(expressions)
        flags = [hyperscan.HS_FLAG_SINGLEMATCH if index in once else 0 for index in range(count)]
        self._scratch = hyperscan.Scratch
        self._database: Any = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        self._database.compile(expressions=expressions, ids=list(range(count)), elements=count, flags=flags)
        self._idle: list[Any] = []

    def scan(self, data: bytes) -> list[tuple[int, int]]:
        """Return (end offset, index of the expression) of every occurrence."""
        size = len(data)
        hits: list[tuple[int, int]] = []
        append = hits.append

        def hit(index: int, _start: int, end: int, _flags: int, _context: object) -> None:
            append((end, index))

        # A scratch serves one scan at a time: it is taken out of the pool for the length of this call, so that no
        # two threads ever hold the same one (list.pop and list.append are atomic).
        try:
            scratch = self._idle.pop()
        except IndexError:
            scratch = self._scratch(self._database)
        if size > _SHORT:
            self._database.scan(data, hit, 0, None, scratch)
        else:
            self._database.scan(data + _PAD, hit, 0, None, scratch)
            if hits:  # no match may end in the padding
                hits = [found for found in hits if found[0] <= size]
        self._idle.append(scratch)
        return hits


class Patterns:
    """Collects expressions with their meanings; equal expressions share a place in the database."""

    __slots__ = ("_meanings", "_once")

    def __init__(self) -> None:
        self._meanings: dict[bytes, list[int]] = {}
        self._once: dict[bytes, bool] = {}

    def add(self, expressions: Iterable[bytes], meaning: int, *, once: bool = False) -> None:
        """Let each of `expressions` stand for `meaning`; with `once`, the place of a hit does not matter."""
        for expression in expressions:
            self._meanings.setdefault(expression, []).append(meaning)
            self._once[expression] = self._once.get(expression, True) and once

    def compile(self) -> tuple[Finder | None, list[tuple[int, ...]]]:
        """Return the finder, None without expressions, and the meanings of each index that it reports."""
        expressions = list(self._meanings)
        if not expressions:
            return None, []
        once = {index for index, expression in enumerate(expressions) if self._once[expression]}
        return Finder(expressions, once=once), [tuple(self._meanings[expression]) for expression in expressions]
