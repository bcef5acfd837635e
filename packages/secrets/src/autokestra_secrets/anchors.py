# `os.path` on purpose: importing pathlib costs every start-up 5 ms.
# ruff: noqa: PTH103, PTH118, PTH208
"""What this machine has last seen of each store, kept beside the key: an older copy of a whole store is noticed.

An older copy agrees with itself, so nothing inside it can tell. An anchor is a note, not a proof: who may write to
the home directory can remove it, and could take the key as well. It therefore has no MAC of its own; the end of the
journal's chain that it holds is one already (R25 of the envelope).
"""

import os
import re
from contextlib import suppress
from typing import Final, NamedTuple

from autokestra_secrets.backends import Header
from autokestra_secrets.encryption import sha256
from autokestra_secrets.errors import SecretsError
from autokestra_secrets.home import DIRECTORY_MODE, FILE_MODE, make_home

ANCHORS: Final = "anchors"  # directory at home

_ID: Final = re.compile("[0-9a-f]{32}")
_NOTE: Final = re.compile(rb"akanchor1 ([0-9]{20}) ([0-9a-f]{64})\n(?:at ([0-9a-f]{64})\n)?")
_NOTE_BYTES: Final = len("akanchor1 ") + 20 + 1 + 64 + 1 + len("at ") + 64 + 1


class Anchor(NamedTuple):
    """Where a store was: its generation, the end of its journal's chain there, and what `place_of` says of its path.

    Old notes say nothing of the place.
    """

    generation: int
    journal_mac: bytes
    place: str


class Anchors:
    """The anchors in a home directory. Best effort: what cannot be read or written is as if it were not there."""

    def __init__(self, home: str) -> None:
        self._home = home

    def read(self, store_id: bytes) -> Anchor | None:
        """Return what was seen last of a store, None when this machine has not seen it or the note is unreadable."""
        try:
            descriptor = os.open(self._path(store_id), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return None
        try:
            return _parse(descriptor)
        except OSError:
            return None
        finally:
            os.close(descriptor)

    def seen_at(self, location: str) -> Anchor | None:
        """Return what was seen last of a store at a location, None when this machine has seen none there."""
        place, found = place_of(location), []
        with suppress(OSError):
            for name in os.listdir(os.path.join(self._home, ANCHORS)):
                anchor = self.read(bytes.fromhex(name)) if _ID.fullmatch(name) else None
                if anchor is not None and anchor.place == place:
                    found.append(anchor)
        return max(found, default=None)

    def is_stranger(self, store_id: bytes, location: str) -> bool:
        """Return whether this machine has seen another store at a location, and this one never there."""
        own = self.read(store_id)
        return (own is None or own.place != place_of(location)) and self.seen_at(location) is not None

    def record(self, header: Header, *, location: str, lower: bool = False) -> None:
        """Note where a store is now. A note is only ever raised, unless `lower` says that an older copy is accepted."""
        with suppress(OSError, SecretsError):
            make_home(self._home)
            os.makedirs(os.path.join(self._home, ANCHORS), mode=DIRECTORY_MODE, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            descriptor = os.open(self._path(header.store_id), flags, FILE_MODE)
            try:
                self._update(descriptor, header, place_of(location), lower=lower)
            finally:
                os.close(descriptor)

    def _update(self, descriptor: int, header: Header, place: str, *, lower: bool) -> None:
        import fcntl  # noqa: PLC0415  # readers never lock

        fcntl.flock(descriptor, fcntl.LOCK_EX)  # of two writers the later one may get here first
        seen = _parse(descriptor)
        if lower or seen is None or header.generation > seen.generation:
            note = f"akanchor1 {header.generation:020} {header.journal_mac.hex()}\nat {place}\n".encode()
            os.pwrite(descriptor, note, 0)  # of one length always, so never half old and half new
            os.ftruncate(descriptor, len(note))

    def _path(self, store_id: bytes) -> str:
        return os.path.join(self._home, ANCHORS, store_id.hex())


def is_older(header: Header, anchor: Anchor) -> bool:
    """Return whether a store is not where this machine has seen it, and not further either."""
    at_anchor = header.generation == anchor.generation and header.journal_mac != anchor.journal_mac
    return header.generation < anchor.generation or at_anchor


def place_of(location: str) -> str:
    """Return what a note says of a location: a hash, since a path can be long, hold anything, and tell too much."""
    return sha256(os.fsencode(location)).hex()


def _parse(descriptor: int) -> Anchor | None:
    found = _NOTE.fullmatch(os.pread(descriptor, _NOTE_BYTES + 1, 0))
    if found is None:
        return None
    return Anchor(int(found[1]), bytes.fromhex(found[2].decode()), (found[3] or b"").decode())
