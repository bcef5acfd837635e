"""Whether a store is what was written to it: the journal's chain replayed, every row opened, all in one snapshot.

Nothing is repaired here, and nothing is shown that could hold a value.
"""

from collections.abc import Iterator
from typing import NamedTuple

from autokestra_secrets.anchors import Anchor, is_older
from autokestra_secrets.backends import Backend, Header, JournalRow, Misfit, SecretRow, SlotRow
from autokestra_secrets.errors import DamagedError, InvalidSecretNameError
from autokestra_secrets.journal import chain_end, chain_fault, written, written_retired, written_slots
from autokestra_secrets.keyring import Keyring, open_keyring
from autokestra_secrets.names import secret_name
from autokestra_secrets.session import Session
from autokestra_secrets.slots import check_slot, slot_tags

__all__ = ["Problem", "Report"]


class Problem(NamedTuple):
    """One thing that is not as it was written.

    `kind` is one of "header", "slot", "retired", "journal", "dropped", "replayed" (put back from an older copy),
    "foreign" (sealed by another store or data key), "damaged", "unreadable" (nothing else could be judged),
    "rolled-back", "forked" or "exchanged" (another store). `name` and `version` say which secret, where it is one;
    `name` is safe to show, whatever stands in the database.
    """

    kind: str
    name: str
    version: int
    message: str


class Report(NamedTuple):
    """What `verify` found: `ok` without any problem; how many secrets there are, and how many things were ever done."""

    ok: bool
    problems: tuple[Problem, ...]
    secrets: int
    generation: int


def verify(session: Session, *, anchored: bool = True) -> Report:
    """Do what `SecretStore.verify` promises; `anchored` says whether to compare with what this machine has seen."""
    with session.using() as backend:
        try:
            with backend.snapshot():
                return verify_snapshot(session, anchored=anchored)
        except DamagedError as error:
            # A file that cannot be read, or no data key: nothing else can be judged.
            return Report(ok=False, problems=(Problem("unreadable", "", 0, error.message),), secrets=0, generation=0)


def verify_snapshot(session: Session, *, anchored: bool) -> Report:
    """Do what `verify` does, inside a snapshot that is under way. Raises DamagedError where nothing can be judged."""
    header = session.header()
    if header is None:
        vanished = session.vanished() if anchored else ""
        nothing = (Problem("rolled-back", "", 0, vanished),) if vanished else ()
        return Report(ok=not nothing, problems=nothing, secrets=0, generation=0)
    slots = session.backend.slots()
    keyring = open_keyring(header, slots, session.keys, location=session.location, random=session.random)
    anchor = session.anchors.read(header.store_id) if anchored and session.anchors is not None else None
    audit = _Audit(session.backend, header, keyring)
    problems = tuple(audit.problems(slots, anchor))
    if anchored and session.anchors is not None and session.anchors.is_stranger(header.store_id, session.location):
        what = f"{session.location} is another secret store than the one that this machine has seen there"
        problems = (*problems, Problem("exchanged", "", 0, what))
    return Report(ok=not problems, problems=problems, secrets=len(audit.names), generation=header.generation)


class _Audit:
    def __init__(self, backend: Backend, header: Header, keyring: Keyring) -> None:
        self._backend = backend
        self._header = header
        self._keyring = keyring
        self._entries: list[JournalRow] = []
        self.names: set[str] = set()

    def problems(self, slots: list[SlotRow], anchor: Anchor | None) -> Iterator[Problem]:
        if not self._keyring.wrote(self._header):
            yield Problem("header", "", 0, "the header of the store was edited")
        readable = True
        try:
            self._entries = list(self._backend.journal())
        except DamagedError as error:
            readable = False
            yield Problem("journal", "", 0, f"the journal cannot be read: {error.message}")
        if readable:
            yield from self._journal()
            yield from self._slots(slots)
            yield from self._retired()
        yield from self._rows(written(self._entries) if readable else None)
        if anchor is not None:
            yield from self._age(anchor)

    def _journal(self) -> Iterator[Problem]:
        fault = chain_fault(self._keyring.journal_key, self._header, self._entries)
        if fault:
            yield Problem("journal", "", 0, fault)

    def _slots(self, slots: list[SlotRow]) -> Iterator[Problem]:
        expected = written_slots(self._entries)
        for slot in slots:
            tag = expected.pop(slot.slot, None)
            try:
                check_slot(slot, self._header)
            except DamagedError as error:
                yield Problem("slot", "", 0, error.message)
                continue
            if tag not in slot_tags(slot):
                yield Problem("slot", "", 0, f"key slot {slot.slot} is not one that was added, or was removed since")
        for number in expected:
            yield Problem("slot", "", 0, f"key slot {number} was dropped")

    def _retired(self) -> Iterator[Problem]:
        expected = written_retired(self._entries)
        try:
            for row in self._backend.retired():
                key_id = row.key_id.hex()[:32]
                self._keyring.open_retired(row)
                if expected.pop(row.key_id.hex(), None) != row.auth_tag:
                    yield Problem("retired", "", 0, f"retired data key {key_id} was put back from an older copy")
        except DamagedError as error:
            yield Problem("retired", "", 0, error.message)
            return
        for name in expected:
            yield Problem("retired", "", 0, f"retired data key {_shown(name)} was dropped")

    def _rows(self, expected: dict[str, dict[int, bytes]] | None) -> Iterator[Problem]:
        """Yield what is wrong with secrets; `expected` is None when the journal says nothing."""
        try:
            for row in self._backend.scan():
                self.names.add(row.name)
                tags = {} if expected is None else expected.get(row.name, {})
                found = self._row(row, tags.pop(row.version, None), known=expected is not None)
                if found is not None:
                    yield Problem(found[0], _shown(row.name), row.version, found[1])
        except DamagedError as error:
            yield Problem("unreadable", "", 0, error.message)
            return
        for name, tags in (expected or {}).items():
            for version in tags:
                what = f"version {version} of secret '{_shown(name)}' was dropped"
                yield Problem("dropped", _shown(name), version, what)

    def _row(self, row: SecretRow | Misfit, tag: bytes | None, *, known: bool) -> tuple[str, str] | None:
        what = f"version {row.version} of secret '{_shown(row.name)}'"
        if isinstance(row, Misfit):
            return "damaged", f"{what} holds values of the wrong type"
        try:
            self._keyring.open_row(row)
        except DamagedError:
            if row.key_id != self._keyring.key_id:
                return "foreign", f"{what} was sealed by another store, or under another data key"
            return "damaged", f"{what} was edited, or moved here from elsewhere"
        if known and tag != row.auth_tag:
            return "replayed", f"{what} was put back from an older copy"
        return None

    def _age(self, anchor: Anchor) -> Iterator[Problem]:
        header = self._header
        if is_older(header, anchor):
            yield Problem(
                "rolled-back",
                "",
                0,
                f"this is an older copy of the store: at generation {header.generation}, "
                f"while this machine has seen {anchor.generation}",
            )
        elif header.journal_base < anchor.generation:
            # Somebody may have put an older copy back and written on, beyond where the store was before.
            before = [entry for entry in self._entries if entry.generation <= anchor.generation]
            if chain_end(self._keyring.journal_key, header, before)[1] != anchor.journal_mac:
                yield Problem(
                    "forked", "", 0, f"what was done up to generation {anchor.generation} is not what this machine saw"
                )


def _shown(name: str) -> str:
    try:
        return secret_name(name)
    except InvalidSecretNameError:
        return ascii(name[:40])
