"""Where values stand in a stream of bytes: line, name and form, never the value. Pure; bytes are given in pieces."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from autokestra.cli.exec.output import OutputMasker

if TYPE_CHECKING:
    from autokestra_secrets import SecretValue

PIECE: Final = 1 << 16  # bytes searched at once
_STEP: Final = 64  # bytes searched at once behind a finding, and then more and more
_SHORTEST: Final = 4  # bytes; no form is shorter


class Finding(NamedTuple):
    """A value: in which line (from 1), of which secret, in which form of those that a masker knows."""

    line: int
    name: str
    form: str


class Finder:
    """Looks for the values of secrets. Those that cannot be looked for are in `unmaskable`, with the reason."""

    def __init__(self, values: "Mapping[str, SecretValue]") -> None:
        owner = OutputMasker(values)
        self._mark, self._masker = owner.mark, owner.masker
        self._stream = self._masker.stream()
        self._held = b""  # what went into the stream and has not come out
        self._line = 1  # where that begins
        self._step = PIECE

    @property
    def unmaskable(self) -> dict[str, str]:
        """The values that are too short or too common to be looked for: name and reason."""
        return self._masker.unmaskable

    def search(self, pieces: Iterable[bytes]) -> Iterator[Finding]:
        """Yield what is found in a stream, each combination of line, name and form once.

        The masker tells what it replaced and not where. But all bytes before the first placeholder come out unchanged,
        so their number is the place; then a new search begins behind it.
        """
        self._stream, self._held, self._line, self._step = self._masker.stream(), b"", 1, PIECE
        said: set[Finding] = set()
        for piece in _with_end(pieces):
            rest = piece or b""
            while rest or piece is None:
                is_end = not rest
                found, rest = self._advance(rest)
                for finding in found:
                    if finding not in said:
                        said = {one for one in said if one.line == finding.line} | {finding}
                        yield finding
                if is_end and not found:
                    break

    def _advance(self, rest: bytes) -> tuple[list[Finding], bytes]:
        """Go on into `rest`, or to the end of the stream when there is none; return what was found and what is left."""
        piece, rest = rest[: self._step], rest[self._step :]
        self._held += piece
        out = self._stream.feed(piece) if piece else self._stream.flush()
        at = out.find(self._mark)
        if at < 0:
            self._pass(len(out))
            self._step = min(2 * self._step, PIECE)
            return [], rest
        self._pass(at)
        pairs, taken = self._identify(self._held)
        found = [Finding(self._line, name, form) for name, form in pairs]
        self._pass(taken)
        rest, self._held, self._stream = self._held + rest, b"", self._masker.stream()
        self._step = _STEP  # where one is, there are others, and all behind the first is searched again
        return found, rest

    def _pass(self, count: int) -> None:
        self._line += self._held.count(b"\n", 0, count)
        self._held = self._held[count:]

    def _identify(self, data: bytes) -> tuple[list[tuple[str, str]], int]:
        """Return which value, or values, `data` begins with, and how many bytes certainly belong to the first.

        Both are found by halving: whether a prefix of `data` lets a placeholder out can only change once.
        """
        enough = _STEP
        while enough < len(data) and not self._try(data[:enough], final=False)[0]:
            enough *= 2
        enough = min(enough, len(data))
        shown = _smallest(enough, lambda size: bool(self._try(data[:size], final=False)[0]))
        out, pairs = self._try(data[:shown], final=shown == len(data))
        taken = _smallest(shown, lambda size: self._try(data[:size], final=True)[0].startswith(self._mark))
        if out.count(self._mark) != 1:  # another one came out with it, which stands elsewhere
            pairs = self._try(data[:taken], final=True)[1]
        return pairs, max(_SHORTEST, taken)

    def _try(self, data: bytes, *, final: bool) -> tuple[bytes, list[tuple[str, str]]]:
        """Return what becomes of `data`, and which names and forms are replaced in it."""
        before = self._pairs()
        stream = self._masker.stream()
        out = stream.feed(data) + (stream.flush() if final else b"")
        return out, [pair for pair, count in self._pairs().items() if count > before.get(pair, 0)]

    def _pairs(self) -> dict[tuple[str, str], int]:
        return {(name, form): count for name, forms in self._masker.counts.items() for form, count in forms.items()}


def _with_end(pieces: Iterable[bytes]) -> Iterator[bytes | None]:
    yield from pieces
    yield None


def _smallest(most: int, holds: Callable[[int], bool]) -> int:
    """Return the smallest number from 1 for which `holds`, `most` when there is none below it."""
    low, high = 1, most
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return high
