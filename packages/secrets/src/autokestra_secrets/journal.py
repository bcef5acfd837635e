"""The journal: what was done to a store, in order, chained by a keyed MAC that ends in the header.

Whoever drops, replays or edits rows without the key cannot make the journal agree. Pure but for `JournalWriter`, which
hands its rows to a backend.
"""

import struct
from collections.abc import Iterable, Sequence
from typing import Final

from autokestra_secrets.backends import (
    DELETE,
    KEY_FORGET,
    KEY_RETIRE,
    PRUNE,
    PUT,
    SLOT_ADD,
    SLOT_REMOVE,
    Backend,
    Header,
    JournalRow,
    SecretRow,
)
from autokestra_secrets.encryption import check_mac, encode_fields, keyed_mac, mac
from autokestra_secrets.errors import DamagedError

_ROW: Final = encode_fields("autokestra journal row")  # encodings of fields, one after the other, are that of all
_NUMBERS: Final = struct.Struct(">I32sIqIqI").pack  # previous link, generation, time, and how long the next field is
_VERSION: Final = struct.Struct(">IqI").pack
VERIFY_HINT: Final = "see what else was changed: workflow secrets verify"


def genuine(name: str, row: SecretRow | None, entry: JournalRow | None) -> SecretRow | None:
    """Return the current row of a secret if it is the one that the journal saw written last (R22); None if neither is.

    Raises DamagedError when it was dropped, or put back from an older copy. A row that somebody edited may still
    pass: opening it tells.
    """
    written = (entry.version, entry.tag) if entry is not None and entry.operation == PUT else None
    if row is None and written is not None:
        raise DamagedError(f"the row of secret '{name}' was dropped from the store", hint=VERIFY_HINT)
    if row is not None and written != (row.version, row.auth_tag):
        raise DamagedError(
            f"secret '{name}' is not what was written last: edited, moved, or put back from an older copy",
            hint=VERIFY_HINT,
        )
    return row


def written(entries: Iterable[JournalRow]) -> dict[str, dict[int, bytes]]:
    """Return the versions that each secret must have after `entries`, with the tags of their rows (R19)."""
    secrets: dict[str, dict[int, bytes]] = {}
    for entry in entries:
        if entry.operation == PUT:
            secrets.setdefault(entry.name, {})[entry.version] = entry.tag
        elif entry.operation == PRUNE:
            kept = secrets.get(entry.name, {})
            secrets[entry.name] = {version: tag for version, tag in kept.items() if version > entry.version}
        elif entry.operation == DELETE:
            secrets.pop(entry.name, None)
    return secrets


def written_slots(entries: Iterable[JournalRow]) -> dict[int, bytes]:
    """Return the key slots that there must be after `entries`, with the tags of their rows (R19)."""
    slots: dict[int, bytes] = {}
    for entry in entries:
        if entry.operation == SLOT_ADD:
            slots[entry.version] = entry.tag
        elif entry.operation == SLOT_REMOVE:
            slots.pop(entry.version, None)
    return slots


def written_retired(entries: Iterable[JournalRow]) -> dict[str, bytes]:
    """Return the retired keys that there must be after `entries`, by id in hex, with the tags of their rows (R19)."""
    retired: dict[str, bytes] = {}
    for entry in entries:
        if entry.operation == KEY_RETIRE:
            retired[entry.name] = entry.tag
        elif entry.operation == KEY_FORGET:
            retired.pop(entry.name, None)
    return retired


def chain_end(key: bytes, header: Header, entries: Iterable[JournalRow]) -> tuple[int, bytes]:
    """Return generation and MAC at the end of the chain of `entries`, stopping where a generation is missing."""
    generation, link = header.journal_base, first_link(key, header)
    compute = keyed_mac(key)
    for entry in entries:
        if entry.generation != generation + 1:
            break
        generation, link = entry.generation, compute(_covered_row(link, entry))
    return generation, link


def chain_fault(key: bytes, header: Header, entries: Sequence[JournalRow]) -> str:
    """Return what is wrong when `entries` are not the journal that `header`, itself genuine, vouches for; else ""."""
    generation, link = chain_end(key, header, entries)
    last = entries[-1].generation if entries else generation
    if generation < last:
        return f"rows of the journal are missing after generation {generation}"
    if generation != header.generation:
        return f"the journal ends at {generation}, its header says {header.generation}"
    if link != header.journal_mac:
        return "the journal was edited: its chain does not end as it was written"
    return ""


def first_link(key: bytes, header: Header) -> bytes:
    """Return the MAC that a chain begins with: it binds store, data key and where in its history it starts (R17)."""
    return mac(
        key, encode_fields("autokestra journal", header.format, header.store_id, header.key_id, header.journal_base)
    )


def next_link(key: bytes, previous: bytes, row: JournalRow) -> bytes:
    """Return the MAC after `row`, given the one before it."""
    return mac(key, _covered_row(previous, row))


def _covered_row(previous: bytes, row: JournalRow) -> bytes:
    """Return `encode_fields` of all that a link covers, spelt out: every process that reads a value replays them all.

    Measured with 10,000 rows: 12 ms for the chain, 24 with `encode_fields`.
    """
    generation, at, operation, name, version, tag = row
    act = operation.encode("utf-8", "surrogatepass")
    subject = name.encode("utf-8", "surrogatepass")
    numbers = _NUMBERS(len(previous), previous, 8, generation, 8, at, len(act))
    return b"".join((_ROW, numbers, act, len(subject).to_bytes(4, "big"), subject, _VERSION(8, version, len(tag)), tag))


def seal_header(key: bytes, header: Header) -> Header:
    """Return `header` with its MAC, so that generation and end of the chain are checkable without a replay (R18)."""
    return header._replace(header_mac=mac(key, _covered(header)))


def check_header(key: bytes, header: Header) -> None:
    """Raise DamagedError when the header is not one that a holder of the key wrote."""
    if not check_mac(key, _covered(header), header.header_mac):
        raise DamagedError("the header of the store fails authentication", hint="restore the store from a backup")


def _covered(header: Header) -> bytes:
    return encode_fields(
        "autokestra header",
        header.format,
        header.store_id,
        header.key_id,
        header.generation,
        header.journal_base,
        header.journal_mac,
    )


class JournalWriter:
    """Appends to the journal within one transaction, at the time `at`.

    `header` is always as it must be written at the end, without its MAC; `removed` says whether rows were removed.
    """

    def __init__(self, backend: Backend, key: bytes, header: Header, *, at: int) -> None:
        self._backend = backend
        self.key = key
        self.header = header
        self.at = at
        self.removed = False

    def append(self, operation: str, name: str, version: int, tag: bytes) -> None:
        """Append one row and chain it to those before."""
        self._append([JournalRow(self.header.generation + 1, self.at, operation, name, version, tag)])

    def append_puts(self, rows: Sequence[SecretRow]) -> None:
        """Append that versions of secrets were written, in this order."""
        first = self.header.generation + 1
        self._append(
            [
                JournalRow(generation, self.at, PUT, row.name, row.version, row.auth_tag)
                for generation, row in enumerate(rows, first)
            ]
        )

    def _append(self, entries: Sequence[JournalRow]) -> None:
        self._backend.put_journal(*entries)
        link = self.header.journal_mac
        for entry in entries:
            link = next_link(self.key, link, entry)
        self.header = self.header._replace(generation=self.header.generation + len(entries), journal_mac=link)

    def restart(self, key: bytes, header: Header) -> None:
        """Begin a new chain under another key, at the generation that the old one has reached."""
        self._backend.clear_journal()
        base = header._replace(journal_base=self.header.generation, generation=self.header.generation)
        self.key = key
        self.header = base._replace(journal_mac=first_link(key, base))
        self.removed = True

    def append_removal(self, operation: str, name: str, version: int) -> None:
        """Append that the versions of a name up to `version` were removed."""
        self.append(operation, name, version, b"")
        self.removed = True
