"""Versions, and what is said beside a value: what every store does with them, whatever keeps its rows."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from autokestra_secrets import (
    ConflictError,
    DamagedError,
    InvalidMetadataError,
    InvalidSecretNameError,
    SecretNotFoundError,
    SecretStore,
    VersionNotFoundError,
)
from autokestra_secrets.testing import fixed_keys


@pytest.fixture
def store(backend):
    ticks = iter(range(1_000, 1_000_000))
    with SecretStore(backend, keys=fixed_keys(), clock=lambda: next(ticks)) as store:
        yield store


def write(store, count, **options):
    return [store.set("A", f"value {number}", **options) for number in range(1, count + 1)]


def versions(store, name="A"):
    return [row.version for row in store.history(name)]


def test_the_last_ten_versions_are_kept_newest_first(store):
    written = write(store, 13)
    assert list(range(13, 3, -1)) == versions(store)
    assert [row._replace(current=row.version == 13) for row in reversed(written[3:])] == store.history("A")
    assert [True] + [False] * 9 == [row.current for row in store.history("A")]
    assert {written[0].created_at} == {row.created_at for row in store.history("A")}
    assert ["value 4", "value 13"] == [store.get("A", version=number).reveal() for number in (4, 13)]
    assert "value 13" == store.get("A").reveal()
    assert [store.history("A")[0]] == store.list()


@pytest.mark.parametrize("keep", [1, 2, 5])
def test_as_many_versions_are_kept_as_asked_for(store, keep):
    write(store, 7, keep=keep)
    assert list(range(7, 7 - keep, -1)) == versions(store)


def test_keeping_fewer_removes_the_rest_and_keeping_more_brings_nothing_back(store):
    write(store, 5)
    store.set_many({"A": "value 6"}, keep=2)
    assert [6, 5] == versions(store)
    store.set("A", "value 7", keep=9)
    assert [7, 6, 5] == versions(store)


def test_to_keep_nothing_is_refused_before_anything_is_touched(store):
    for use in (
        lambda: store.set("A", "value", keep=0),
        lambda: store.set_many({"A": "value"}, keep=-1),
        lambda: store.rollback("A", 1, keep=0),
        lambda: store.describe("A", keep=0),
    ):
        with pytest.raises(ValueError, match="at least 1 version"):
            use()
    assert [] == store.list()


def test_a_version_that_is_not_kept_is_told_from_a_secret_that_is_not_there(store):
    write(store, 3, keep=2)
    for use in (lambda v: store.get("A", version=v), lambda v: store.rollback("A", v)):
        for number in (1, 4, 0, -1):
            with pytest.raises(VersionNotFoundError, match=f"secret 'A' has no version {number}") as caught:
                use(number)
            assert (4, "see which are kept: workflow secrets history A") == (caught.value.exit_code, caught.value.hint)
    for use in (
        lambda: store.get("B", version=1),
        lambda: store.rollback("B", 1),
        lambda: store.history("B"),
        lambda: store.describe("B", description="x"),
    ):
        with pytest.raises(SecretNotFoundError):
            use()
    for use in (lambda: store.history("a b"), lambda: store.get("a b", version=1), lambda: store.describe("a b")):
        with pytest.raises(InvalidSecretNameError):
            use()


def test_a_rollback_writes_a_new_version_and_forgets_none(store):
    write(store, 3, description="a description")
    store.describe("A", description="another one", tags=["x"])
    restored = store.rollback("A", 2)
    assert (5, "a description", ()) == (restored.version, restored.description, restored.tags)
    assert "value 2" == store.get("A").reveal()
    assert [5, 4, 3, 2, 1] == versions(store)
    assert "value 3" == store.get("A", version=3).reveal()


def test_a_rollback_may_remove_the_very_version_that_it_brings_back(store):
    write(store, 3)
    assert 4 == store.rollback("A", 1, keep=1).version
    assert ("value 1", [4]) == (store.get("A").reveal(), versions(store))


def test_a_deleted_secret_has_no_history_and_starts_anew(store):
    write(store, 3)
    store.delete("A")
    for use in (lambda: store.history("A"), lambda: store.get("A", version=2), lambda: store.rollback("A", 1)):
        with pytest.raises(SecretNotFoundError):
            use()
    store.set("A", "again")
    assert [1] == versions(store)
    with pytest.raises(VersionNotFoundError):
        store.get("A", version=2)


def test_a_rename_carries_all_versions(store):
    write(store, 3, tags=["kept"])
    before = store.history("A")
    store.rename("A", "B")
    assert [row._replace(name="B") for row in before] == store.history("B")
    assert [f"value {number}" for number in (1, 2, 3)] == [store.get("B", version=n).reveal() for n in (1, 2, 3)]
    with pytest.raises(SecretNotFoundError):
        store.history("A")


def test_a_rename_carries_what_pruning_and_deleting_have_left(store):
    write(store, 2)
    store.delete("A")
    write(store, 5, keep=2)
    store.rename("A", "B")
    assert [5, 4] == versions(store, "B")
    assert "value 4" == store.get("B", version=4).reveal()


# -- who was first ------------------------------------------------------------------------------------------------


def test_a_value_is_stored_only_if_nobody_else_was_first(store):
    assert 1 == store.set("A", "value 1", if_version=0).version
    assert 2 == store.set("A", "value 2", if_version=1).version
    for expected, words in (
        (1, "is at version 2, expected version 1"),
        (3, "is at"),
        (0, "already exists, in version 2"),
    ):
        with pytest.raises(ConflictError, match=words) as caught:
            store.set("A", "late", if_version=expected)
        assert (11, "look at it first: workflow secrets history A") == (caught.value.exit_code, caught.value.hint)
    with pytest.raises(ConflictError, match="secret 'B' does not exist, expected version 1"):
        store.set("B", "late", if_version=1)
    assert "value 2" == store.get("A").reveal()
    store.delete("A")
    assert 1 == store.set("A", "new", if_version=0).version


# -- what is said beside the value --------------------------------------------------------------------------------


def test_a_secret_is_described_tagged_and_given_an_expiry(store):
    made = store.set("A", "value", description="for the API", tags=["prod", "api", "prod"], expires=2_000_000)
    assert ("for the API", ("api", "prod"), 2_000_000) == (made.description, made.tags, made.expires_at)
    assert [made] == store.list() == store.history("A")


def test_a_new_value_keeps_description_and_tags_but_not_the_expiry_of_the_old_value(store):
    store.set("A", "one", description="for the API", tags=["prod"], expires=2_000_000)
    assert ("for the API", ("prod",), None) == store.set("A", "two")[4:7]
    assert ("for the API", ("prod",), None) == store.set_many({"A": "three"})[0][4:7]
    assert ("other", (), 5) == store.set("A", "four", description="other", tags=(), expires=5)[4:7]
    assert ("", (), None) == store.set("A", "five", description="")[4:7]


def test_a_change_of_metadata_is_a_new_version_with_the_same_value(store):
    first = store.set("A", "value", description="for the API", tags=["prod"], expires=5)
    second = store.describe("A", expires=6)
    assert ("for the API", ("prod",), 6) == second[4:7]
    assert (2, first.created_at) == (second.version, second.created_at)
    assert ("", ("prod",), 6) == store.describe("A", description=None)[4:7]
    assert ("", ("x", "y"), None) == store.describe("A", tags=["y", "x"], expires=None)[4:7]
    assert ("", (), None) == store.describe("A", tags=None)[4:7]
    assert [5, 4, 3, 2, 1] == versions(store)
    assert {"value"} == {store.get("A", version=number).reveal() for number in range(1, 6)}
    store.describe("A", keep=2)
    assert [6, 5] == versions(store)


def test_an_expiry_may_be_an_aware_datetime(store):
    moment = datetime(2030, 1, 1, 12, 0, 0, 7, tzinfo=timezone(timedelta(hours=2)))
    stored = store.set("A", "value", expires=moment).expires_at
    assert moment == datetime.fromtimestamp(0, UTC) + timedelta(microseconds=stored)


@pytest.mark.parametrize(
    "metadata",
    [
        {"description": "x" * 501},
        {"description": "two\nlines"},
        {"description": "\x1b[2J"},
        {"description": "\u202e"},
        {"description": "\ud800"},
        {"description": b"bytes"},
        {"tags": [""]},
        {"tags": ["a b"]},
        {"tags": ["a,b"]},
        {"tags": ["x" * 65]},
        {"tags": ["\x07"]},
        {"tags": "word"},
        {"tags": [str(number) for number in range(33)]},
        {"expires": 0},
        {"expires": -1},
        {"expires": 2**53 + 1},
        {"expires": True},
        {"expires": datetime(2030, 1, 1)},  # noqa: DTZ001  # that is the point
    ],
    ids=lambda metadata: repr(metadata)[:40],
)
def test_metadata_that_could_not_be_shown_safely_is_refused_before_anything_is_touched(store, metadata):
    with pytest.raises(InvalidMetadataError) as caught:
        store.set("A", "value", **metadata)
    assert (2, True) == (caught.value.exit_code, bool(caught.value.hint))
    assert "\x1b" not in str(caught.value)
    assert [] == store.list()
    store.set("A", "value")
    with pytest.raises(InvalidMetadataError):
        store.describe("A", **metadata)
    assert [1] == versions(store)


@pytest.mark.parametrize("text", ["ü €", "family 👨‍👩‍👧", 'quote " and \\', "{}", "x" * 500, "null"])
def test_any_text_that_can_be_shown_comes_back(store, text):
    store.set("A", "value", description=text, tags=[text[:60].replace(" ", "_")])
    assert text == store.list()[0].description


def test_a_deleted_secret_put_back_is_not_read_with_a_journal_that_forgot_it(backend, store):
    store.set_many({"A": "value", "B": "value"})
    kept, written = backend.versions("A"), list(backend.journal())
    store.delete("A")
    with backend.transaction():
        backend.clear_journal()
        backend.put_journal(*written)
        backend.put_secret(*kept)
    again = SecretStore(backend, keys=fixed_keys())
    for use in (lambda: again.get("A"), lambda: again.get("A", version=1), lambda: again.set("B", "new")):
        with pytest.raises(DamagedError, match="the journal ends at 3, its header says 4"):
            use()
    assert {"A", "B"} == again.names()
