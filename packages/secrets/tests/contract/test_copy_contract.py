"""Copying a store from any backend to any other: everything arrives, nothing is overwritten, nothing is shared."""

import pytest

from autokestra_secrets import (
    ConflictError,
    CopyReport,
    DamagedError,
    KeyMissingError,
    MasterKeyProvider,
    SecretStore,
    WrongKeyError,
)
from autokestra_secrets.backends import PUT
from autokestra_secrets.backends.memory import MemoryBackend
from autokestra_secrets.backends.sqlite import SQLiteBackend
from autokestra_secrets.keytext import key_text
from autokestra_secrets.testing import fixed_keys


@pytest.fixture(params=["sqlite", "memory", "postgres"])
def other(request, tmp_path, postgres_server):
    """A backend that does not exist yet."""
    if request.param == "postgres":
        from autokestra_secrets.backends.postgres import PostgresBackend

        backend = PostgresBackend(postgres_server.url(schema="copied"))
    else:
        backend = MemoryBackend() if request.param == "memory" else SQLiteBackend(str(tmp_path / "other.db"))
    yield backend
    backend.close()
    with postgres_server.connect() as connection:
        connection.execute("DROP SCHEMA IF EXISTS copied CASCADE")


@pytest.fixture
def store(backend):
    with SecretStore(backend, keys=fixed_keys()) as store:
        for number in range(1, 14):
            store.set("A", f"value {number} of A", description="Schlüssel", tags=["x"])
        store.set("B", b"\x00\xff" * 600, expires=10**15)
        store.set("GONE", "never seen again")
        store.delete("GONE")
        yield store


@pytest.fixture
def target(other):
    with SecretStore(other, keys=fixed_keys()) as target:
        yield target


def content(store):
    return {
        name: [(row, store.get(name, version=row.version)) for row in store.history(name)] for name in store.names()
    }


def test_everything_arrives_with_its_versions_times_and_metadata(store, target, backend, other):
    seen = []
    assert CopyReport(secrets=2, versions=11, replaced=0) == store.copy_to(
        target, progress=lambda done, total: seen.append((done, total))
    )
    assert [(number, 11) for number in range(1, 12)] == seen
    assert content(store) == content(target)
    assert target.verify().ok
    assert 14 == target.set("A", "written on").version
    assert backend.header().store_id != other.header().store_id
    assert backend.header().key_id != other.header().key_id
    sealed = {row.encrypted_value for name in store.names() for row in backend.versions(name)}
    assert sealed.isdisjoint(row.encrypted_value for name in target.names() for row in other.versions(name))


def test_nothing_that_is_there_is_overwritten_unless_asked(store, target):
    target.set("C", "mine")
    for dry_run in (True, False):
        with pytest.raises(ConflictError, match="has 1 secret already") as caught:
            store.copy_to(target, dry_run=dry_run)
        assert "--force" in caught.value.hint
    assert {"C"} == target.names()
    assert CopyReport(2, 11, 1) == store.copy_to(target, force=True, dry_run=True)
    assert {"C"} == target.names()
    assert CopyReport(2, 11, 1) == store.copy_to(target, force=True)
    assert content(store) == content(target)
    assert CopyReport(2, 11, 2) == store.copy_to(target, force=True)
    assert target.verify().ok


def test_a_dry_run_makes_nothing(store, target, other):
    assert CopyReport(2, 11, 0) == store.copy_to(target, dry_run=True)
    assert isinstance(other, MemoryBackend) or not other.exists()


def test_a_store_is_not_copied_onto_itself(store, backend):
    with SecretStore(backend, keys=fixed_keys()) as same, pytest.raises(ConflictError, match="is this store itself"):
        store.copy_to(same, force=True)


def test_what_is_not_what_was_written_is_not_made_genuine_by_a_copy(store, target, backend):
    with backend.transaction():
        rows = backend.versions("A")
        backend.remove_versions("A", up_to=rows[-1].version)
        for row in rows[:-1]:
            backend.put_secret(row)
    with pytest.raises(DamagedError, match="nothing was copied: version 13 of secret 'A' was dropped"):
        store.copy_to(target)


def test_a_target_that_opens_with_another_key_is_left_alone(store, other):
    with SecretStore(other, keys=MasterKeyProvider({"AUTOKESTRA_SECRET_KEY": key_text(b"n" * 32)})) as target:
        target.set("C", "mine")
    with SecretStore(other, keys=fixed_keys()) as target, pytest.raises(WrongKeyError):
        store.copy_to(target, force=True)


def test_a_copy_that_fails_half_way_leaves_no_trace(store, target):
    def fail(done, total):
        if done == 5:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        store.copy_to(target, progress=fail)
    assert CopyReport(2, 11, 0) == store.copy_to(target)


def test_whoever_writes_to_the_target_meanwhile_is_not_overwritten(store, target, other):
    class Sneaking(SecretStore):
        """A target that gets a secret between the look and the copy."""

    sneaking = Sneaking(other, keys=fixed_keys())
    unlocked = sneaking._session.writing

    def writing(**options):
        sneaking._session.writing = unlocked
        sneaking.set("C", "first")
        return unlocked(**options)

    sneaking._session.writing = writing
    with pytest.raises(ConflictError, match="somebody else has just written"):
        store.copy_to(sneaking)
    assert {"C"} == sneaking.names()


def test_a_copy_in_which_something_is_wrong_afterwards_is_said_so(store, target, other):
    purge, put = other.purge, other.put_journal

    def spoil(*rows):
        put(*(row._replace(tag=b"another") if row.operation == PUT else row for row in rows))

    other.put_journal, other.purge = spoil, purge
    with pytest.raises(DamagedError, match="is not what was copied") as caught:
        store.copy_to(target)
    assert "workflow secrets verify --store" in caught.value.hint


def test_no_key_is_made_for_the_copy_of_an_empty_store(other, tmp_path, request):
    with (
        SecretStore(MemoryBackend(), keys=MasterKeyProvider({}, home="/dev/null")) as empty,
        SecretStore(other, keys=MasterKeyProvider({}, home="/dev/null")) as target,
    ):
        assert CopyReport(0, 0, 0) == empty.copy_to(target)
        if not other.may_mint:
            with pytest.raises(KeyMissingError):
                target.set("A", "x")
