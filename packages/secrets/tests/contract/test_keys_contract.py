"""Key slots: several keys for one store, added and taken away without touching a secret."""

import pytest

from autokestra_secrets import (
    ConflictError,
    DamagedError,
    InvalidKeyError,
    InvalidMetadataError,
    KeyMissingError,
    KeySlotNotFoundError,
    MasterKey,
    MasterKeyProvider,
    SecretStore,
    SecretValue,
    StoreUnavailableError,
    WrongKeyError,
)
from autokestra_secrets.keytext import key_text
from autokestra_secrets.reencryption import reencrypt
from autokestra_secrets.testing import FIXED_KEY, fixed_keys

NEW = key_text(b"n" * 32)
PASSPHRASE = "correct horse battery staple"
VALUES = {"A": "value of A", "B": "value of B"}
PURPOSE = ("execution", "task")


@pytest.fixture
def opened(backend):
    """Open the one store with any key."""
    stores = []

    def open_with(text=FIXED_KEY, **environ):
        given = {} if text is None else {"AUTOKESTRA_SECRET_KEY": text}
        stores.append(SecretStore(backend, keys=MasterKeyProvider({**given, **environ}, home="/dev/null")))
        return stores[-1]

    yield open_with
    for store in stores:
        store.close()


@pytest.fixture
def store(opened):
    store = opened()
    for number in (1, 2, 3):
        store.set("A", f"value {number}", description="kept")
    store.set_many(VALUES)
    return store


def seen(store):
    return [(slot.id, slot.label, slot.kind, slot.current) for slot in store.keys.list()]


# -- listing ------------------------------------------------------------------------------------------------------


def test_a_new_store_has_one_slot_and_no_store_has_none(opened, store):
    (slot,) = store.keys.list()
    assert (1, "key", "key", 100_000, True) == (slot.id, slot.label, slot.kind, slot.iterations, slot.current)
    assert slot.created_at > 0


def test_where_there_is_no_store_there_are_no_slots_and_nothing_is_made(opened):
    store = opened()
    assert [] == store.keys.list()
    for use in (lambda: store.keys.remove(1), store.keys.reencrypt, store.keys.prune_retired):
        with pytest.raises(StoreUnavailableError, match="there is no secret store yet"):
            use()
    assert [] == store.keys.list()


def test_listing_needs_no_key_and_says_which_slot_the_key_at_hand_opens(opened, store):
    store.keys.add(PASSPHRASE, label="for people")
    assert [(1, "key", "key", True), (2, "for people", "passphrase", False)] == seen(store)
    assert [(1, "key", "key", False), (2, "for people", "passphrase", True)] == seen(opened(PASSPHRASE))
    for text in (None, "akey1-mistyped", ""):
        assert [None, None] == [slot[3] for slot in seen(opened(text))]
    assert [False, False] == [slot[3] for slot in seen(opened(NEW))]


# -- adding -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("new", [NEW, PASSPHRASE, "ab" * 32, MasterKey(b"n" * 32, kind="key", source="a file")])
def test_each_kind_of_key_opens_the_store_once_it_is_added(opened, store, new):
    slot = store.keys.add(new)
    kind = "passphrase" if new == PASSPHRASE else "key"
    assert (2, kind, kind, False) == (slot.id, slot.label, slot.kind, slot.current)
    assert (600_000 if new == PASSPHRASE else 100_000) == slot.iterations
    text = NEW if isinstance(new, MasterKey) else new
    for key in (FIXED_KEY, text):
        again = opened(key)
        assert "value of A" == again.get("A").reveal()
        again.set("C", key[:20])
    assert slot._replace(current=True) == opened(text).keys.list()[1]


def test_a_recovery_key_is_told_once_and_works_wherever_a_key_does(opened, store):
    slot, text = store.keys.add_recovery()
    assert (2, "recovery", "recovery", False) == (slot.id, slot.label, slot.kind, slot.current)
    assert text.startswith("akey2-")
    assert "value of A" == opened(text).get("A").reveal()
    assert "value of A" == opened(text.lower().replace("-", " ", 3).replace(" ", "-", 1)).get("A").reveal()
    other, another = store.keys.add_recovery("in the safe")
    assert ("in the safe", True) == (other.label, text != another)
    with pytest.raises(InvalidKeyError):
        opened(text[:-1]).get("A")


def test_adding_touches_no_secret_and_is_journaled(backend, store):
    before = [backend.versions(name) for name in ("A", "B")]
    store.keys.add(NEW, label="new")
    assert before == [backend.versions(name) for name in ("A", "B")]
    last = list(backend.journal())[-1]
    assert ("slot-add", "new", 2) == (last.operation, last.name, last.version)
    assert last.tag == backend.slots()[1].checksum


def test_a_key_that_opens_the_store_already_is_not_added_again(store):
    store.keys.add(PASSPHRASE)
    for key, number in ((FIXED_KEY, 1), (PASSPHRASE, 2)):
        with pytest.raises(ConflictError, match=f"opens the store already, in slot {number}"):
            store.keys.add(key)
    assert 2 == len(store.keys.list())


def test_there_are_at_most_eight_slots(store):
    for number in range(7):
        store.keys.add(key_text(bytes([100 + number]) * 32))
    with pytest.raises(ConflictError, match="all 8 key slots are taken") as caught:
        store.keys.add(NEW)
    assert "key remove" in caught.value.hint
    store.keys.remove(4)
    assert 9 == store.keys.add(NEW).id


@pytest.mark.parametrize("label", ["", "x" * 65, "two\nlines", "\x1b[2J"])
def test_a_label_that_could_not_be_shown_is_refused(store, label):
    for use in (lambda: store.keys.add(NEW, label=label), lambda: store.keys.add_recovery(label)):
        with pytest.raises(InvalidMetadataError):
            use()
    assert 1 == len(store.keys.list())


@pytest.mark.parametrize("text", ["", "short", "akey1-mistyped"])
def test_what_is_no_key_is_not_added(store, text):
    with pytest.raises(InvalidKeyError, match="the new key"):
        store.keys.add(text)
    assert 1 == len(store.keys.list())


def test_adding_needs_a_key_that_opens_the_store(opened, store):
    with pytest.raises(WrongKeyError):
        opened(NEW).keys.add(PASSPHRASE)
    with pytest.raises(KeyMissingError):
        opened(None).keys.add(PASSPHRASE)


# -- removing -----------------------------------------------------------------------------------------------------


def test_a_key_is_replaced_by_adding_and_removing(opened, store):
    store.keys.add(NEW)
    with pytest.raises(ConflictError, match="only one that the key at hand opens, from AUTOKESTRA_SECRET_KEY"):
        store.keys.remove(1)
    opened(NEW).keys.remove(1)
    assert "value of A" == opened(NEW).get("A").reveal()
    with pytest.raises(WrongKeyError):
        opened(FIXED_KEY).get("A")
    assert [(2, "key", "key", True)] == seen(opened(NEW))


def test_the_last_slot_is_not_removed_even_by_force(opened, store):
    for force in (False, True):
        with pytest.raises(ConflictError, match="the last one that can open the store") as caught:
            store.keys.remove(1, force=force)
        assert (11, True) == (caught.value.exit_code, "key add" in caught.value.hint)
    assert "value of A" == opened().get("A").reveal()


def test_the_slot_of_the_key_at_hand_is_removed_by_force(opened, store):
    store.keys.add(NEW)
    store.keys.remove(1, force=True)
    assert "value of A" == opened(NEW).get("A").reveal()


def test_a_slot_of_another_key_is_removed_without_force(opened, store):
    store.keys.add(NEW)
    store.keys.remove(2)
    with pytest.raises(WrongKeyError):
        opened(NEW).get("A")
    assert [(1, "key", "key", True)] == seen(store)


def test_a_slot_that_is_not_there_is_said_so(store):
    with pytest.raises(KeySlotNotFoundError, match="there is no key slot 7") as caught:
        store.keys.remove(7)
    assert (4, True) == (caught.value.exit_code, "key list" in caught.value.hint)


def test_a_damaged_slot_counts_for_nothing_and_can_be_removed(backend, store):
    store.keys.add(NEW)
    damaged = backend.slots()[1]._replace(label="\x1b[2J")
    with backend.transaction():
        backend.remove_slot(2)
        backend.put_slot(damaged)
    assert [(1, "key", "key", True), (2, "(damaged)", "(damaged)", False)] == seen(store)
    with pytest.raises(ConflictError, match="the last one that can open"):
        store.keys.remove(1, force=True)
    store.keys.remove(2)
    assert [(1, "key", "key", True)] == seen(store)


# -- a new data key -----------------------------------------------------------------------------------------------


def test_everything_is_sealed_again_and_nothing_is_lost(backend, opened, store):
    history, listed = store.history("A"), store.list()
    other = opened()
    assert "value of A" == other.get("A").reveal()
    before = {row.encrypted_value for name in VALUES for row in backend.versions(name)}
    told = []
    assert 5 == store.keys.reencrypt(progress=lambda done, total: told.append((done, total)))
    assert [(number, 5) for number in (1, 2, 3, 4, 5)] == told
    after = [row for name in VALUES for row in backend.versions(name)]
    assert set() == before & {row.encrypted_value for row in after}
    assert {backend.header().key_id} == {row.key_id for row in after}
    for each in (store, other, opened()):
        assert {name: SecretValue(value) for name, value in VALUES.items()} == each.get_many(VALUES)
        assert ["value 1", "value of A"] == [each.get("A", version=number).reveal() for number in (1, 4)]
        assert (history, listed) == (each.history("A"), each.list())
    other.set("A", "written by a store that was open all the time")
    assert 5 == store.history("A")[0].version


def test_the_journal_begins_anew_and_the_generation_goes_on(backend, store):
    store.delete("B")
    before = backend.header()
    store.keys.reencrypt()
    header, journal = backend.header(), list(backend.journal())
    assert before.generation == header.journal_base < header.generation
    assert ["slot-add", "key-retire", "put", "put", "put", "put"] == [row.operation for row in journal]
    assert header.generation == journal[-1].generation
    assert before.key_id.hex() == journal[1].name
    store.set("C", "new")
    assert header.generation + 1 == backend.header().generation


def test_outputs_that_were_sealed_before_stay_readable_until_the_retired_keys_are_pruned(opened, store):
    blobs = []
    for _ in range(3):
        blobs.append(store.output_cipher().seal(b"output", context=PURPOSE))
        store.keys.reencrypt()
    for each in (store, opened()):
        assert [b"output"] * 3 == [each.output_cipher().open(blob, context=PURPOSE) for blob in blobs]
    blobs.append(store.output_cipher().seal(b"output", context=PURPOSE))
    assert 3 == store.keys.prune_retired()
    for blob in blobs[:3]:
        with pytest.raises(WrongKeyError, match="no longer has"):
            store.output_cipher().open(blob, context=PURPOSE)
    assert b"output" == store.output_cipher().open(blobs[3], context=PURPOSE)
    assert 0 == store.keys.prune_retired()
    assert "value of A" == store.get("A").reveal()


def test_an_output_under_a_retired_key_is_bound_to_its_place_as_before(store):
    blob = store.output_cipher().seal(b"output", context=PURPOSE)
    store.keys.reencrypt()
    with pytest.raises(DamagedError):
        store.output_cipher().open(blob, context=("execution", "other"))


def test_slots_whose_key_is_not_at_hand_are_named_and_given_up_only_on_demand(opened, store):
    store.keys.add(NEW, label="of a colleague")
    _, recovery = store.keys.add_recovery()
    with pytest.raises(ConflictError, match=r"not at hand .*: 2 \('of a colleague'\), 3 \('recovery'\)") as caught:
        store.keys.reencrypt()
    assert "--drop-others" in caught.value.hint
    for key in (FIXED_KEY, NEW, recovery):
        assert "value of A" == opened(key).get("A").reveal()
    store.keys.reencrypt(others=[recovery], drop_others=True)
    assert [(1, "key", "key", True), (3, "recovery", "recovery", False)] == seen(store)
    assert "value of A" == opened(recovery).get("A").reveal()
    with pytest.raises(WrongKeyError):
        opened(NEW).get("A")


def test_the_keys_of_all_sources_are_at_hand(opened, store, tmp_path):
    (tmp_path / "passphrase").write_text(PASSPHRASE)
    (tmp_path / "passphrase").chmod(0o600)
    store.keys.add(PASSPHRASE)
    opened(AUTOKESTRA_SECRET_KEY_FILE=str(tmp_path / "passphrase")).keys.reencrypt()
    assert "value of A" == opened(PASSPHRASE).get("A").reveal()


def test_whoever_stops_it_half_way_has_changed_nothing(backend, opened, store):
    before = (backend.header(), backend.slots(), list(backend.journal()), backend.versions("A"))

    def stop(done, total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.keys.reencrypt(progress=stop)
    assert before == (backend.header(), backend.slots(), list(backend.journal()), backend.versions("A"))
    for each in (store, opened()):
        assert "value of A" == each.get("A").reveal()
    store.set("A", "new")


def test_a_store_in_which_something_was_changed_is_not_sealed_again(backend, store):
    """Sealing it again would make genuine what somebody has put there."""
    store.keys.add(NEW)
    store.keys.reencrypt(drop_others=True)
    store.keys.add(NEW)
    rows, slots, retired = backend.versions("A"), backend.slots(), backend.retired()

    def expect_refusal(change, words):
        with pytest.raises(DamagedError, match=f"nothing was re-encrypted: .*{words}"):
            change_and_reencrypt(change)

    def change_and_reencrypt(change):
        with store._session.writing() as writing:  # what is changed in here is undone with all the rest
            change()
            keys = [fixed_keys().load(), MasterKey.parse(NEW.encode(), source="test")]
            reencrypt(writing, keys, random=bytes, progress=None, drop_others=False)

    def replace_rows(kept):
        backend.remove_versions("A", up_to=9)
        for row in kept:
            backend.put_secret(row)

    expect_refusal(lambda: replace_rows(rows[1:]), "secret 'A' is not what was written")
    expect_refusal(lambda: replace_rows([]), "its secrets are")
    expect_refusal(lambda: backend.put_secret(rows[0]._replace(name="C")), "its secrets are")
    expect_refusal(lambda: replace_rows([rows[0]._replace(version=9), *rows[1:]]), "secret 'A' is not")
    expect_refusal(lambda: backend.remove_slot(2), "its key slots are")
    expect_refusal(backend.remove_retired, "its retired keys are")
    expect_refusal(
        lambda: (backend.remove_retired(), backend.put_retired(retired[0]._replace(auth_tag=b"x"))), "its ret"
    )
    expect_refusal(backend.clear_journal, "its journal is")
    assert (rows, slots) == (backend.versions("A"), backend.slots())
    store.keys.reencrypt(others=[NEW])


def test_a_retired_key_that_was_edited_opens_nothing(backend, store):
    store.keys.reencrypt()
    (row,) = backend.retired()
    with backend.transaction():
        backend.remove_retired()
        backend.put_retired(row._replace(retired_at=row.retired_at + 1))
    with pytest.raises(DamagedError, match="retired data key"):
        store.output_cipher()
    assert "value of A" == store.get("A").reveal()
