"""What every store does, whatever keeps its rows."""

import os
import threading

import pytest

from autokestra_secrets import (
    ConflictError,
    InvalidSecretNameError,
    InvalidSecretValueError,
    MasterKeyProvider,
    SecretNotFoundError,
    SecretStore,
    SecretValue,
)
from autokestra_secrets.testing import fixed_keys


class Clock:
    """A clock that moves by one microsecond whenever it is read."""

    def __init__(self):
        self.now = 1_000_000

    def __call__(self):
        self.now += 1
        return self.now


@pytest.fixture
def store(backend):
    with SecretStore(backend, keys=fixed_keys(), clock=Clock()) as store:
        yield store


def reopened(backend):
    return SecretStore(backend, keys=fixed_keys(), clock=Clock())


@pytest.mark.parametrize(
    "value",
    ["x", "two\nlines\r\n", "{{ secrets.X }} $(id) 'q' \"", "ü€😀", "a\0b", b"\xff\x00\xfe", "x" * (1 << 20)],
    ids=["short", "lines", "syntax", "unicode", "nul", "bytes", "1MiB"],
)
def test_a_value_comes_back_exactly(store, value):
    store.set("NAME", value)
    expected = value if isinstance(value, bytes) else value.encode()
    assert expected == store.get("NAME").reveal_bytes()


def test_a_secret_value_can_be_stored_as_it_is(store):
    store.set("NAME", SecretValue("value"))
    assert SecretValue("value") == store.get("NAME")


def test_values_survive_closing(backend):
    with reopened(backend) as store:
        store.set("NAME", "value")
    with reopened(backend) as store:
        assert "value" == store.get("NAME").reveal()


def test_a_new_store_is_empty(store):
    assert [] == store.list()
    assert frozenset() == store.names()
    assert {} == store.get_many(["A"])
    assert store.output_cipher() is None
    with pytest.raises(SecretNotFoundError) as caught:
        store.get("A")
    assert "A" == caught.value.name


def test_a_store_is_known_by_its_identity_without_a_key(store, backend):
    assert store.identity() is None
    store.set("NAME", "value")
    identity = SecretStore(backend, keys=MasterKeyProvider({}, home=os.devnull)).identity()
    assert identity is not None
    assert (32, identity) == (len(identity), store.identity())


def test_an_update_keeps_the_time_of_creation_and_counts_the_version(store):
    first = store.set("NAME", "one")
    second = store.set("NAME", "two")
    assert (1, 2) == (first.version, second.version)
    assert first.created_at == first.updated_at == second.created_at < second.updated_at
    assert [second] == store.list()
    assert "two" == store.get("NAME").reveal()


def test_the_list_is_sorted_by_name(store):
    store.set_many({"b": "1", "a": "2", "C": "3", "b-2": "4"})
    assert ["C", "a", "b", "b-2"] == [row.name for row in store.list()]
    assert frozenset({"a", "b", "b-2", "C"}) == store.names()


def test_many_are_read_in_one_go_and_absent_ones_left_out(store):
    store.set_many({"A": "1", "B": "2"})
    assert {"A": SecretValue("1"), "B": SecretValue("2")} == store.get_many(["A", "MISSING", "B"])


def test_setting_nothing_changes_nothing(store):
    assert [] == store.set_many({})
    assert store.output_cipher() is None


def test_many_are_set_all_or_none(store):
    with pytest.raises(InvalidSecretValueError):
        store.set_many({"A": "1", "B": ""})
    with pytest.raises(InvalidSecretNameError):
        store.set_many({"A": "1", "not a name": "2"})
    assert [] == store.list()


def test_a_deleted_secret_is_gone_and_may_come_back(store):
    store.set("A", "1")
    store.set("A", "2")
    store.delete("A")
    assert [] == store.list()
    with pytest.raises(SecretNotFoundError):
        store.get("A")
    with pytest.raises(SecretNotFoundError):
        store.delete("A")
    assert 1 == store.set("A", "3").version
    assert "3" == store.get("A").reveal()


def test_a_renamed_secret_keeps_value_version_and_times(store):
    store.set("OLD", "1")
    before = store.set("OLD", "2")
    store.rename("OLD", "NEW")
    assert [before._replace(name="NEW")] == store.list()
    assert "2" == store.get("NEW").reveal()
    with pytest.raises(SecretNotFoundError):
        store.get("OLD")


def test_a_name_that_is_taken_is_not_overwritten(store):
    store.set_many({"A": "1", "B": "2"})
    with pytest.raises(ConflictError):
        store.rename("A", "B")
    with pytest.raises(ConflictError):
        store.rename("A", "A")
    with pytest.raises(SecretNotFoundError):
        store.rename("C", "D")
    assert {"A": SecretValue("1"), "B": SecretValue("2")} == store.get_many(["A", "B"])


@pytest.mark.parametrize("name", ["", "MY KEY", "a.b", "😀", "x" * 129, "a\n"])
def test_a_bad_name_is_refused_everywhere(store, name):
    for use in (
        lambda: store.get(name),
        lambda: store.set(name, "value"),
        lambda: store.delete(name),
        lambda: store.rename(name, "A"),
        lambda: store.rename("A", name),
        lambda: store.get_many([name]),
    ):
        with pytest.raises(InvalidSecretNameError):
            use()


def test_a_closed_store_refuses_to_work(backend):
    store = reopened(backend)
    store.close()
    with pytest.raises(ValueError, match="closed"):
        store.list()


def test_outputs_open_in_their_own_context_only(store):
    store.set("A", "1")
    cipher = store.output_cipher()
    blob = cipher.seal(b"result", context=("execution", "task"))
    assert b"result" == store.output_cipher().open(blob, context=("execution", "task"))


def test_threads_share_one_store(store):
    def work(number):
        for turn in range(5):
            store.set(f"N{number}", f"{number}-{turn}")
            assert f"{number}-{turn}" == store.get(f"N{number}").reveal()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {f"N{number}": SecretValue(f"{number}-4") for number in range(8)} == store.get_many(store.names())
