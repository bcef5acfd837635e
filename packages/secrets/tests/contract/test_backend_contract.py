"""What every backend does with rows, seen without any cryptography."""

import pytest

from autokestra_secrets.backends import (
    DELETE,
    PRUNE,
    PUT,
    Header,
    JournalRow,
    MetadataRow,
    RetiredRow,
    SecretRow,
    SlotRow,
)

HEADER = Header(format=1, store_id=b"s", key_id=b"k", generation=3, journal_base=0, journal_mac=b"m", header_mac=b"h")
SLOT = SlotRow(
    slot=1,
    label="daily",
    kind="key",
    key_id=b"k",
    created_at=1,
    salt=b"salt",
    iterations=100_000,
    iv=b"iv",
    wrapped_key=b"wrapped",
    auth_tag=b"tag",
    checksum=b"sum",
)
SECRET = SecretRow(
    name="A",
    version=1,
    state="active",
    key_id=b"k",
    created_at=1,
    updated_at=2,
    metadata="{}",
    iv=b"iv",
    auth_tag=b"tag 1",
    encrypted_value=b"\x00\xff",
)
ENTRY = JournalRow(generation=1, at=5, operation=PUT, name="A", version=1, tag=b"tag 1")


@pytest.fixture
def backend(backend):
    with backend.transaction():
        pass
    return backend


def test_an_empty_backend_has_no_rows(backend):
    assert backend.exists()
    assert backend.header() is None
    assert (None, None) == backend.current("A")
    assert 0 == backend.newest("A")
    assert [] == backend.slots() == backend.versions("A") == backend.names() == backend.metadata()
    assert [] == list(backend.journal()) == list(backend.scan()) == backend.retired() == backend.history("A")
    assert (None, None) == backend.version("A", 1)


def test_rows_come_back_as_they_were_put(backend):
    with backend.transaction():
        backend.put_header(HEADER)
        backend.put_slot(SLOT)
        backend.put_secret(SECRET)
        backend.put_journal(ENTRY)
    assert HEADER == backend.header()
    assert [SLOT] == backend.slots()
    assert (SECRET, ENTRY) == backend.current("A")
    assert [SECRET] == backend.versions("A")
    assert ["A"] == backend.names()
    assert [MetadataRow("A", 1, "active", 1, 2, "{}")] == backend.metadata()
    assert [ENTRY] == list(backend.journal())


def test_a_header_is_replaced_and_slots_come_in_order(backend):
    with backend.transaction():
        for generation in (1, 2):
            backend.put_header(HEADER._replace(generation=generation))
        for number in (3, 1, 2):
            backend.put_slot(SLOT._replace(slot=number))
        backend.remove_slot(1)
    assert HEADER._replace(generation=2) == backend.header()
    assert [2, 3] == [slot.slot for slot in backend.slots()]


def test_several_versions_of_a_name_may_be_kept(backend):
    """The format has room for a history: the newest counts, the older ones stay until they are removed."""
    rows = [SECRET._replace(version=number) for number in (1, 2, 3)]
    with backend.transaction():
        for row in rows:
            backend.put_secret(row)
        backend.put_secret(SECRET._replace(name="B"))
    assert rows == backend.versions("A")
    assert rows[-1] == backend.current("A")[0]
    assert [("A", 3), ("B", 1)] == [(row.name, row.version) for row in backend.metadata()]
    assert ["A", "B"] == sorted(backend.names())
    with backend.transaction():
        backend.remove_versions("A", up_to=2)
        backend.remove_versions("C", up_to=2)
    assert rows[2:] == backend.versions("A")
    with backend.transaction():
        backend.remove_versions("A", up_to=3)
    assert ["B"] == backend.names()


def test_the_last_journal_row_of_a_name_is_its_last_write_or_deletion(backend):
    rows = [
        ENTRY,
        ENTRY._replace(generation=2, version=2, tag=b"tag 2"),
        ENTRY._replace(generation=3, operation=PRUNE, tag=b""),
        ENTRY._replace(generation=4, name="B"),
    ]
    with backend.transaction():
        for row in rows:
            backend.put_journal(row)
    assert (None, rows[1]) == backend.current("A")
    assert 2 == backend.newest("A")
    with backend.transaction():
        backend.put_journal(ENTRY._replace(generation=5, operation=DELETE, version=2, tag=b""))
    assert DELETE == backend.current("A")[1].operation
    assert 0 == backend.newest("A")
    assert [1, 2, 3, 4, 5] == [row.generation for row in backend.journal()]


def test_the_newest_version_is_that_of_row_or_journal_whichever_is_higher(backend):
    with backend.transaction():
        backend.put_secret(SECRET._replace(version=7))
        backend.put_journal(ENTRY._replace(version=3))
        backend.put_secret(SECRET._replace(name="B", version=3))
        backend.put_journal(ENTRY._replace(generation=2, name="B", version=7))
    assert (7, 7) == (backend.newest("A"), backend.newest("B"))


def test_a_transaction_that_fails_leaves_no_trace(backend):
    with backend.transaction():
        backend.put_header(HEADER)
        backend.put_secret(SECRET)
        backend.put_journal(ENTRY)

    def fail_half_way():
        with backend.transaction():
            backend.put_header(HEADER._replace(generation=9))
            backend.put_slot(SLOT)
            backend.remove_versions("A", up_to=1)
            backend.put_secret(SECRET._replace(name="B"))
            backend.put_journal(ENTRY._replace(generation=2, operation=DELETE))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert HEADER == backend.header()
    assert [] == backend.slots()
    assert (SECRET, ENTRY) == backend.current("A")
    assert ["A"] == backend.names()
    assert [ENTRY] == list(backend.journal())


def test_a_snapshot_sees_one_state(backend):
    with backend.transaction():
        backend.put_secret(SECRET)
    with backend.snapshot():
        assert ["A"] == backend.names()
        assert (SECRET, None) == backend.current("A")


def test_a_version_comes_with_what_the_journal_said_last_of_it(backend):
    def entry(generation, operation, version):
        return ENTRY._replace(generation=generation, operation=operation, version=version)

    rows = [SECRET._replace(version=number) for number in (1, 2, 3)]
    entries = [entry(1, PUT, 1), entry(2, PUT, 2), entry(3, PUT, 3), entry(4, PRUNE, 1)]
    with backend.transaction():
        for row in rows:
            backend.put_secret(row)
        for one in entries:
            backend.put_journal(one)
        backend.put_journal(ENTRY._replace(generation=5, name="B"))
    assert (rows[0], entries[3]) == backend.version("A", 1)
    assert (rows[1], entries[1]) == backend.version("A", 2)
    assert (None, None) == backend.version("A", 4)
    assert entries == list(backend.journal("A"))
    with backend.transaction():
        backend.put_journal(entry(6, DELETE, 3))
    assert DELETE == backend.version("A", 2)[1].operation


def test_versions_are_scanned_and_listed_without_their_values(backend):
    rows = [SECRET, SECRET._replace(version=2), SECRET._replace(name="B")]
    with backend.transaction():
        for row in rows:
            backend.put_secret(row)
    with backend.snapshot():
        assert rows == list(backend.scan())
    assert [MetadataRow("A", number, "active", 1, 2, "{}") for number in (1, 2)] == backend.history("A")


def test_retired_keys_and_the_journal_are_emptied_as_a_whole(backend):
    row = RetiredRow(b"r", b"k", 3, b"iv", b"wrapped", b"tag")
    with backend.transaction():
        backend.put_retired(row)
        backend.put_retired(row._replace(key_id=b"s"))
        backend.put_journal(ENTRY)
    assert [row, row._replace(key_id=b"s")] == backend.retired()
    with backend.transaction():
        backend.remove_retired()
        backend.clear_journal()
    assert [] == backend.retired() == list(backend.journal())
    assert (None, None) == backend.current("A")


def test_purging_keeps_what_is_there(backend):
    with backend.transaction():
        backend.put_secret(SECRET)
    backend.purge()
    assert [SECRET] == backend.versions("A")
