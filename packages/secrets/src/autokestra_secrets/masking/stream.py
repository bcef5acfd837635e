"""StreamMasker: the six laws over a stream of bytes that arrives in pieces.

It keeps only the bytes that may still belong to a match. Where matches are is decided by `index`; this room asks it
about the text and about the view without escapes, merges what overlaps, and releases what is certain.
"""

from threading import Lock
from typing import TYPE_CHECKING, Final

from autokestra_secrets.masking.commands import CommandLines
from autokestra_secrets.masking.view import GAP_BYTES, Unseen, escape_around, has_unseen
from autokestra_secrets.masking.waiting import WORTH_BYTES, Waiting, wait_for

if TYPE_CHECKING:
    from autokestra_secrets.masking.index import Index
    from autokestra_secrets.masking.masker import SecretMasker
    from autokestra_secrets.masking.needle import Needle, Owner

_PIECE: Final = 1 << 24  # bytes scanned at once; Hyperscan counts in 32 bits

Found = tuple[
    int, int, "Needle"
]  # start, minus end (so that of two that start together the longer comes first), what was found


class StreamMasker:
    """Masks one stream: `feed` what arrives, `flush` at its end. Output never depends on how the input was cut.

    Safe to feed from several threads; each call is one piece of the stream.
    """

    def __init__(self, masker: "SecretMasker", *, commands: bool = False, counted: bool = True) -> None:
        self._masker = masker
        self._counted = counted
        self._lock = Lock()
        self._commands = CommandLines(masker.add, masker.refuse) if commands else None
        self._held = b""
        self._covered = 0  # how many of the held bytes belong to a match whose placeholder has been released
        self._match: set[str] = set()  # the names of the secrets in the last match, which may go on
        self._lead = 0  # how many of the held bytes are the rest of an escape that has been released
        self._unseen = Unseen()
        self._era = masker.era
        self._indexes: tuple[Index, ...] = ()
        self._waiting: Waiting | None = None
        self._pieces: list[bytes] = []  # held too, behind `_held`

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes of the stream and return those that are certain by now."""
        with self._lock:
            return self._feed(bytes(data))

    def last(self, data: bytes) -> bytes:
        """Take the last bytes of the stream: the same as `feed` and then `flush`, in one search."""
        if len(data) > _PIECE or self._commands:
            return self.feed(data) + self.flush()
        with self._lock:
            return self._scan(data, final=True)

    def flush(self) -> bytes:
        """Return what was held. The stream may go on afterwards; no match spans the flush."""
        with self._lock:
            tail = b"".join([self._scan(text) for text in self._commands.finish()]) if self._commands else b""
            return tail + self._scan(b"", final=True)

    def _feed(self, data: bytes) -> bytes:
        if len(data) > _PIECE:
            return b"".join([self._feed(data[at : at + _PIECE]) for at in range(0, len(data), _PIECE)])
        if self._commands:
            return b"".join([self._scan(text) for text in self._commands.split(data)])
        return self._scan(data)

    def _scan(self, data: bytes, *, final: bool = False) -> bytes:
        settled = b""
        if self._era != self._masker.era:  # the values are gone: what is held was promised to be masked with them
            self._era = self._masker.era
            held = self._held + b"".join(self._pieces)
            self._waiting, self._pieces = None, []
            settled = self._release(held, *self._search(held, final=True))
        self._indexes = self._masker.indexes()
        if self._waiting is not None:
            if not final and self._waiting.goes_on(data):
                self._pieces.append(data)
                return settled
            self._held += b"".join(self._pieces)
            self._waiting, self._pieces = None, []
        if self._held:
            data = self._held + data
        return settled + self._release(data, *self._search(data, final=final))

    def _search(self, data: bytes, *, final: bool) -> tuple[list[Found], int]:
        # 1. the text as it is: this is the law
        found: list[Found] = []
        hold = len(data)
        for index in self._indexes:
            matches, at = index.search(data, final=final)
            if matches:
                forms = index.forms
                found += [(first, -last, forms[number]) for first, last, number in matches]
            hold = min(hold, at)
        # 2. the text without escapes and carriage returns: this can only add
        if self._indexes and has_unseen(data):
            view, end = self._unseen.without(data, self._lead, final=final)
            hold = min(hold, end)
            for index in self._indexes:
                matches, at = index.search(view.data, final=final)
                for first, last, number in matches:
                    span = view.span(first, last)
                    if span[1] - span[0] - (last - first) <= GAP_BYTES:
                        found.append((span[0], -span[1], index.forms[number]))
                if at < len(view.data) and view.left_out_behind(at) > GAP_BYTES:
                    _, at = index.search(view.data, start=view.roomiest(GAP_BYTES))
                if at < len(view.data):
                    hold = min(hold, view.original(at))
        return found, hold

    def _release(self, data: bytes, found: list[Found], hold: int) -> bytes:
        out: list[bytes] = []
        # 3. What begins before `hold` is certain; what begins behind it is held, and will be found again. Overlapping
        # matches become one: `at` is where the last one ends, which may be in the held part.
        at = self._covered
        if found:
            found.sort(key=_place)
            replaced: list[Owner] = []
            for start, minus_end, needle in found:
                if start >= hold:
                    break
                if start >= at:
                    out += (data[at:start], self._masker.placeholder_for(needle))
                    self._match.clear()
                elif -minus_end <= at:
                    continue
                at = -minus_end
                for owner in needle.owners:
                    if owner[0] not in self._match:  # a secret counts once for each placeholder
                        self._match.add(owner[0])
                        replaced.append(owner)
            if self._counted:
                self._masker.count(replaced)
        # 4. Of a match that reaches into the held part the placeholder is out; the rest of it is only remembered.
        self._covered = max(0, at - hold)
        if hold == len(data):
            self._held, self._lead = b"", 0
            return b"".join((*out, data[at:])) if at or out else data
        self._lead = escape_around(data, self._lead, hold)
        self._held = data[hold:]
        if len(self._held) > WORTH_BYTES:
            self._waiting = wait_for((form for index in self._indexes for form in index.large), self._held)
        out.append(data[at:hold])
        return b"".join(out)


def _place(found: Found) -> tuple[int, int]:
    return found[0], found[1]
