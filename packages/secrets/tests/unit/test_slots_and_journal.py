"""Key slots, the journal's chain and the header: what is bound to what, and how a wrong key differs from damage."""

import pickle

import pytest

from autokestra_secrets import DamagedError, MasterKey
from autokestra_secrets.backends import PUT, Header, JournalRow, SecretRow, SlotRow, typed
from autokestra_secrets.encryption import token_bytes
from autokestra_secrets.journal import check_header, first_link, genuine, next_link, seal_header
from autokestra_secrets.keyring import create_store
from autokestra_secrets.slots import check_slot, open_slots, seal_slot

KEY = MasterKey(bytes(range(32)), kind="key", source="test")
OTHER = MasterKey(bytes(32), kind="key", source="test")
PASSPHRASE = MasterKey(b"correct horse battery", kind="passphrase", source="test")
DATA_KEY = b"d" * 32
HEADER = Header(
    format=1,
    store_id=b"s" * 16,
    key_id=b"k" * 16,
    generation=7,
    journal_base=2,
    journal_mac=b"m" * 32,
    header_mac=b"",
)
ROW = JournalRow(generation=8, at=1, operation=PUT, name="A", version=3, tag=b"t" * 16)
SECRET = SecretRow("A", 3, "active", b"k" * 16, 1, 2, "{}", b"i" * 12, b"t" * 16, b"c")


def slot(master_key=KEY, number=1, **changes):
    made = seal_slot(
        DATA_KEY,
        master_key,
        header=HEADER,
        slot=number,
        label="daily",
        kind=changes.pop("kind", master_key.kind),
        created_at=5,
        random=token_bytes,
    )
    return made._replace(**changes)


def edited(value):
    """Return a value of the same type that differs."""
    if isinstance(value, bytes):
        return value[:-1] + bytes([value[-1] ^ 1]) if value else b"x"
    return value + 1 if isinstance(value, int) else value + "~"


def test_each_of_several_keys_opens_its_own_slot():
    slots = [slot(KEY), slot(PASSPHRASE, 2), slot(OTHER, 3, kind="recovery")]
    for key in (KEY, PASSPHRASE, OTHER):
        assert DATA_KEY == open_slots(slots, key, header=HEADER)


def test_a_wrong_key_opens_nothing_and_is_no_damage():
    assert open_slots([slot(KEY), slot(PASSPHRASE, 2)], OTHER, header=HEADER) is None
    assert open_slots([], KEY, header=HEADER) is None


def test_a_passphrase_is_not_tried_on_the_slots_of_keys():
    """A passphrase of 32 bytes that are those of a key is still no key."""
    same_bytes = MasterKey(bytes(range(32)), kind="passphrase", source="test")
    assert open_slots([slot(KEY)], same_bytes, header=HEADER) is None


@pytest.mark.parametrize("column", SlotRow._fields)
def test_a_damaged_slot_is_told_from_a_wrong_key(column):
    whole = slot()
    damaged = whole._replace(**{column: edited(getattr(whole, column))})
    for key in (KEY, OTHER, PASSPHRASE):
        with pytest.raises(DamagedError, match=r"key slot .* is damaged"):
            open_slots([damaged], key, header=HEADER)


def test_a_damaged_slot_does_not_stand_in_the_way_of_a_whole_one():
    assert DATA_KEY == open_slots([slot(KEY, salt=b""), slot(KEY, 2)], KEY, header=HEADER)


def test_a_slot_of_another_store_is_not_taken():
    with pytest.raises(DamagedError):
        open_slots([slot()], KEY, header=HEADER._replace(store_id=b"o" * 16))


@pytest.mark.parametrize("iterations", [0, 99_999, 10_000_001])
def test_absurd_work_is_refused_even_if_the_checksum_was_made_to_match(iterations):
    from autokestra_secrets.slots import _checksum

    cheap = slot()._replace(iterations=iterations)
    cheap = cheap._replace(checksum=_checksum(cheap, HEADER))
    with pytest.raises(DamagedError, match="100,000 to 10,000,000 are allowed"):
        check_slot(cheap, HEADER)


@pytest.mark.parametrize("column", ["label", "kind", "created_at", "salt", "slot", "key_id"])
def test_a_slot_edited_by_someone_who_fixes_the_checksum_does_not_open(column):
    from autokestra_secrets.slots import _checksum

    whole = slot()
    forged = whole._replace(**{column: "recovery" if column == "kind" else edited(getattr(whole, column))})
    forged = forged._replace(checksum=_checksum(forged, HEADER))
    assert open_slots([forged], KEY, header=HEADER) is None


def test_two_slots_of_one_key_share_no_bytes():
    one, two = slot(), slot()
    for column in ("salt", "iv", "wrapped_key", "auth_tag"):
        assert getattr(one, column) != getattr(two, column)


def test_every_column_of_a_journal_row_changes_all_that_follows():
    links = {next_link(b"key", b"before", ROW._replace(**{c: edited(getattr(ROW, c))})) for c in ROW._fields}
    assert 6 == len(links - {next_link(b"key", b"before", ROW)})
    assert next_link(b"key", b"before", ROW) != next_link(b"key", b"Before", ROW)
    assert next_link(b"key", b"before", ROW) != next_link(b"Key", b"before", ROW)


def test_a_chain_begins_with_what_store_and_where():
    bound = ("format", "store_id", "key_id", "journal_base")
    links = {first_link(b"key", HEADER._replace(**{c: edited(getattr(HEADER, c))})) for c in bound}
    assert 4 == len(links - {first_link(b"key", HEADER)})


@pytest.mark.parametrize("column", Header._fields)
def test_an_edited_header_is_noticed_without_a_replay(column):
    header = seal_header(b"key", HEADER)
    check_header(b"key", header)
    with pytest.raises(DamagedError, match="header of the store"):
        check_header(b"key", header._replace(**{column: edited(getattr(header, column))}))


def test_a_row_is_current_only_if_the_journal_saw_it_written_last():
    assert SECRET == genuine("A", SECRET, ROW)
    assert genuine("A", None, None) is None
    assert genuine("A", None, ROW._replace(operation="delete")) is None
    with pytest.raises(DamagedError, match="'A' was dropped"):
        genuine("A", None, ROW)
    for entry in (None, ROW._replace(operation="delete"), ROW._replace(version=4), ROW._replace(tag=b"x" * 16)):
        with pytest.raises(DamagedError, match="'A' is not what was written last"):
            genuine("A", SECRET, entry)


def test_a_column_of_another_type_is_damage():
    assert ROW == typed(JournalRow, tuple(ROW))
    for column, wrong in (("generation", 1.0), ("generation", "8"), ("name", b"A"), ("tag", "tag"), ("at", None)):
        with pytest.raises(DamagedError, match="wrong type"):
            typed(JournalRow, tuple(ROW._replace(**{column: wrong})))


def test_two_new_stores_have_nothing_in_common():
    one, two = (create_store(KEY, at=1, random=token_bytes) for _ in range(2))
    assert one.header.store_id != two.header.store_id
    assert one.header.key_id != two.header.key_id
    sealed = one.keyring.seal_row(SECRET, b"value")
    assert b"value" == one.keyring.open_row(sealed)
    with pytest.raises(DamagedError, match="secret 'A' fails authentication"):
        two.keyring.open_row(sealed)


def test_a_keyring_shows_nothing_and_cannot_be_pickled():
    keyring = create_store(KEY, at=1, random=token_bytes).keyring
    assert "Keyring(***)" == repr(keyring)
    with pytest.raises(TypeError):
        pickle.dumps(keyring)
