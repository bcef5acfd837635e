"""A store as a file: what is created, with which mode, and what is said of a path that cannot be a store."""

import contextlib
import os
import resource
import sqlite3
import stat
import threading

import pytest

from autokestra_secrets import (
    DamagedError,
    InvalidKeyError,
    InvalidSecretNameError,
    InvalidSecretValueError,
    KeyMissingError,
    MasterKeyProvider,
    PermissionRefusedError,
    SecretStore,
    SecretValue,
    StoreUnavailableError,
    UnknownFormatError,
    WrongKeyError,
)
from autokestra_secrets.backends.sqlite import SQLiteBackend
from autokestra_secrets.keytext import key_text
from autokestra_secrets.testing import FIXED_KEY, fixed_keys


def open_store(path, timeout=10.0):
    return SecretStore(SQLiteBackend(str(path), timeout=timeout), keys=fixed_keys())


def filled(path):
    with open_store(path) as store:
        store.set("A", "value of A")
    return path


def files(directory):
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


def modes(directory):
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir() if path.is_file()}


def notes(home):
    """The names below home of the notes that the library makes about stores it has seen."""
    return ["anchors", *(f"anchors/{name}" for name in os.listdir(home / "anchors"))]


# -- what is created ----------------------------------------------------------------------------------------------


def test_reading_and_opening_create_nothing(tmp_path, environ):
    with SecretStore.open(environ=environ) as store:
        assert [] == store.list()
        assert frozenset() == store.names()
        assert {} == store.get_many(["A"])
        assert store.output_cipher() is None
    with SecretStore.open(tmp_path / "named.db", environ=environ) as store:
        with pytest.raises(StoreUnavailableError, match="there is no secret store at"):
            store.list()
        for use in (lambda: store.get("A"), lambda: store.delete("A"), store.output_cipher):
            with pytest.raises(StoreUnavailableError):
                use()
    assert [] == files(tmp_path)


def test_a_missing_default_file_has_no_rows_of_any_kind(tmp_path):
    backend = SQLiteBackend(str(tmp_path / "secrets.db"), home=str(tmp_path))
    assert [] == list(backend.scan()) == backend.retired() == backend.slots() == backend.history("A")
    assert [] == files(tmp_path)


def test_the_first_write_creates_home_key_and_store(home, environ):
    said = []
    with SecretStore.open(keys=MasterKeyProvider(environ, notify=said.append), environ=environ) as store:
        store.set("A", "value of A")
        assert 0o700 == stat.S_IMODE(home.stat().st_mode)
        created = [".gitignore", "secret.key", "secrets.db", "secrets.db-shm", "secrets.db-wal"]
        assert dict.fromkeys(created, 0o600) == modes(home)
    assert 1 == len(said)
    assert [".gitignore", *notes(home), "secret.key", "secrets.db"] == files(home)


def test_the_umask_does_not_open_the_files(home, environ):
    before = os.umask(0)
    try:
        with SecretStore.open(environ=environ) as store:
            store.set("A", "value of A")
            assert {0o600} == {*modes(home).values(), *modes(home / "anchors").values()}
            assert {0o700} == {stat.S_IMODE(path.stat().st_mode) for path in (home, home / "anchors")}
    finally:
        os.umask(before)


def test_nothing_is_created_for_a_bad_name_value_or_key(tmp_path, environ):
    for use in (
        lambda store: store.set("MY KEY", "value"),
        lambda store: store.set("A", ""),
        lambda store: store.set("A", "x" * ((1 << 20) + 1)),
    ):
        with (
            SecretStore.open(environ=environ) as store,
            pytest.raises((InvalidSecretNameError, InvalidSecretValueError)),
        ):
            use(store)
    for broken in ({"AUTOKESTRA_SECRET_KEY": ""}, {"AUTOKESTRA_SECRET_KEY_FILE": str(tmp_path / "missing")}):
        with (
            SecretStore.open(environ={**environ, **broken}) as store,
            pytest.raises((InvalidKeyError, KeyMissingError)),
        ):
            store.set("A", "value")
    assert [] == files(tmp_path)


def test_the_file_is_set_up_for_durable_writes_and_zeroed_deletes(tmp_path):
    backend = SQLiteBackend(str(filled(tmp_path / "store.db")))
    with backend.transaction():
        pass
    connection = backend._file._connection
    for pragma, expected in (("journal_mode", "wal"), ("synchronous", 2), ("secure_delete", 1), ("user_version", 2)):
        assert (expected,) == connection.execute(f"PRAGMA {pragma}").fetchone()
    assert (10_000,) == connection.execute("PRAGMA busy_timeout").fetchone()
    backend.close()


def test_the_columns_are_those_that_are_documented(tmp_path):
    connection = sqlite3.connect(filled(tmp_path / "store.db"))
    columns = {
        table: [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        for table in ("header", "key_slots", "secrets", "journal")
    }
    connection.close()
    assert {
        "name",
        "encrypted_value",
        "iv",
        "auth_tag",
        "created_at",
        "updated_at",
        "version",
        "state",
        "metadata",
    } <= set(columns["secrets"])
    assert {"label", "kind", "salt", "iterations", "iv", "wrapped_key", "auth_tag", "checksum"} <= set(
        columns["key_slots"]
    )
    assert {"generation", "operation", "name", "version", "tag"} <= set(columns["journal"])


def test_a_store_of_the_first_schema_is_read_as_it_is_and_brought_up_to_date_by_the_next_write(tmp_path):
    path = filled(tmp_path / "store.db")
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE retired_keys")
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    with open_store(path) as store:
        blob = store.output_cipher().seal(b"output", context=("e", "t"))
        assert "value of A" == store.get("A").reveal()
        assert 1 == store._session.backend._file.schema_version()
        store.keys.reencrypt()
        assert 2 == store._session.backend._file.schema_version()
        assert b"output" == store.output_cipher().open(blob, context=("e", "t"))


# -- where a store is ---------------------------------------------------------------------------------------------


def test_a_location_is_a_path_an_address_the_variable_or_the_default(tmp_path, environ, monkeypatch):
    monkeypatch.chdir(tmp_path)
    expected = {
        None: str(tmp_path / "home" / "secrets.db"),
        "relative.db": str(tmp_path / "relative.db"),
        tmp_path / "absolute.db": str(tmp_path / "absolute.db"),
        "sqlite:///relative.db": str(tmp_path / "relative.db"),
        f"sqlite:///{tmp_path}/absolute.db": str(tmp_path / "absolute.db"),
        "~/store.db": os.path.expanduser("~/store.db"),
    }
    assert list(expected.values()) == [SecretStore.open(one, environ=environ).location for one in expected]
    environ["AUTOKESTRA_STORE"] = "from-variable.db"
    assert str(tmp_path / "from-variable.db") == SecretStore.open(environ=environ).location
    assert str(tmp_path / "given.db") == SecretStore.open("given.db", environ=environ).location
    assert f"SecretStore('{tmp_path}/given.db')" == repr(SecretStore.open("given.db", environ=environ))


def test_the_default_store_lies_in_the_home_of_the_keys(tmp_path):
    store = SecretStore.open(keys=MasterKeyProvider({}, home=tmp_path / "elsewhere"), environ={})
    assert str(tmp_path / "elsewhere" / "secrets.db") == store.location


@pytest.mark.parametrize("location", ["", " ", "sqlite://", "sqlite:///", "a\0b", "redis://host/1"])
def test_a_location_that_means_nothing_is_refused(location, environ):
    with pytest.raises(StoreUnavailableError):
        SecretStore.open(location, environ=environ)


def test_an_empty_variable_is_an_error_and_not_unset(environ):
    with pytest.raises(StoreUnavailableError, match="empty"):
        SecretStore.open(environ={**environ, "AUTOKESTRA_STORE": ""})


@pytest.mark.parametrize(
    "name", ["what?.db", "50%.db", "a#b.db", "a%20b.db", "with space & 'quote'.db", "ü😀.db", "x;y"]
)
def test_any_file_name_works(tmp_path, name):
    filled(tmp_path / name)
    assert [name] == files(tmp_path)
    assert "value of A" == open_store(tmp_path / name).get("A").reveal()


# -- what is no store ---------------------------------------------------------------------------------------------


def everywhere(path, error, words):
    """Check that reading and writing fail alike, with a hint, and leave the place as it was."""
    before = files(path.parent)
    content = path.read_bytes() if path.is_file() else None
    for use in (
        lambda store: store.list(),
        lambda store: store.get("A"),
        lambda store: store.set("A", "value"),
        lambda store: store.delete("A"),
    ):
        with open_store(path) as store, pytest.raises(error, match=words) as caught:
            use(store)
        assert caught.value.hint
        assert caught.value.__cause__ is None
        assert "\n" not in str(caught.value)
    assert before == files(path.parent)
    assert content == (path.read_bytes() if path.is_file() else None)


def test_a_directory_is_no_store(tmp_path):
    (tmp_path / "store.db").mkdir()
    everywhere(tmp_path / "store.db", StoreUnavailableError, "is a directory")


def test_a_pipe_is_no_store(tmp_path):
    os.mkfifo(tmp_path / "store.db")
    everywhere(tmp_path / "store.db", StoreUnavailableError, "is not a regular file")


def test_a_path_below_a_file_is_no_store(tmp_path):
    (tmp_path / "file").write_text("")
    with open_store(tmp_path / "file" / "store.db") as store:
        for use in (store.list, lambda: store.set("A", "value")):
            with pytest.raises(StoreUnavailableError, match="Not a directory") as caught:
                use()
            assert "give another file with --store" == caught.value.hint


@pytest.mark.parametrize("content", [b"no database" * 100, b"short", b"\0" * 4096])
def test_another_file_is_no_store(tmp_path, content):
    (tmp_path / "store.db").write_bytes(content)
    everywhere(tmp_path / "store.db", (UnknownFormatError, DamagedError), "no secret store|is damaged")


def test_another_database_is_no_store_and_is_not_written_to(tmp_path):
    connection = sqlite3.connect(tmp_path / "store.db")
    connection.execute("CREATE TABLE secrets (name, value)")
    connection.close()
    everywhere(tmp_path / "store.db", UnknownFormatError, "is a SQLite database, but no secret store")


@pytest.mark.parametrize("pragma", ["user_version = 3", "application_id = 7"])
def test_an_empty_database_of_another_program_is_no_store(tmp_path, pragma):
    connection = sqlite3.connect(tmp_path / "store.db")
    connection.execute(f"PRAGMA {pragma}")
    connection.close()
    everywhere(tmp_path / "store.db", UnknownFormatError, "no secret store")


def test_a_store_of_a_newer_version_is_left_alone(tmp_path):
    connection = sqlite3.connect(filled(tmp_path / "store.db"))
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    everywhere(tmp_path / "store.db", UnknownFormatError, "schema version 99, expected at most 2")


def test_a_store_whose_pages_are_damaged_is_said_so(tmp_path):
    path = filled(tmp_path / "store.db")
    content = bytearray(path.read_bytes())
    content[4096:8192] = os.urandom(4096)
    path.write_bytes(content)
    with open_store(path) as store, pytest.raises(DamagedError, match="is damaged"):
        store.get("A")


def test_text_that_is_no_unicode_is_damage(tmp_path):
    connection = sqlite3.connect(filled(tmp_path / "store.db"))
    with connection:
        connection.execute("UPDATE secrets SET metadata = CAST(x'ff' AS TEXT)")
    connection.close()
    with open_store(tmp_path / "store.db") as store, pytest.raises(DamagedError, match="is damaged"):
        store.list()


def test_an_empty_file_is_an_empty_store(tmp_path):
    (tmp_path / "store.db").touch()
    with open_store(tmp_path / "store.db") as store:
        assert [] == store.list()
        assert {} == store.get_many(["A"])
        assert store.output_cipher() is None
        store.set("A", "value")
        assert "value" == store.get("A").reveal()


def test_a_directory_that_is_missing_is_said_with_the_line_to_type(tmp_path):
    with open_store(tmp_path / "missing" / "store.db") as store, pytest.raises(StoreUnavailableError) as caught:
        store.set("A", "value")
    assert f"mkdir -p {tmp_path}/missing" == caught.value.hint
    assert [] == files(tmp_path)


# -- permissions --------------------------------------------------------------------------------------------------


def test_a_store_that_may_not_be_read_is_a_matter_of_permission(bound_directory, as_bound_user):
    path = filled(bound_directory / "store.db")
    path.chmod(0o000)
    with as_bound_user(), open_store(path) as store:
        for use in (store.list, lambda: store.set("A", "value")):
            with pytest.raises(PermissionRefusedError) as caught:
                use()
            assert f"ls -ld {bound_directory} {path}" in caught.value.hint


def test_a_store_in_a_directory_that_may_not_be_entered_is_a_matter_of_permission(bound_directory, as_bound_user):
    path = filled(bound_directory / "store.db")
    bound_directory.chmod(0o000)
    with as_bound_user(), open_store(path) as store, pytest.raises(PermissionRefusedError):
        store.list()


def test_a_store_cannot_be_created_where_we_may_not_write(bound_directory, as_bound_user):
    bound_directory.chmod(0o500)
    with as_bound_user(), open_store(bound_directory / "store.db") as store, pytest.raises(PermissionRefusedError):
        store.set("A", "value")


def test_a_read_only_store_can_be_read_but_not_written(bound_directory, as_bound_user):
    path = filled(bound_directory / "store.db")
    path.chmod(0o444)
    bound_directory.chmod(0o555)
    with as_bound_user(), open_store(path) as store:
        assert "value of A" == store.get("A").reveal()
        assert ["A"] == [row.name for row in store.list()]
        for use in (lambda: store.set("A", "new"), lambda: store.delete("A")):
            with pytest.raises(PermissionRefusedError, match="permission denied, or read-only"):
                use()
        assert "value of A" == store.get("A").reveal()


def test_a_read_only_store_whose_last_writes_wait_in_the_wal_is_not_read_without_them(bound_directory, as_bound_user):
    path = bound_directory / "store.db"
    with open_store(path) as writer:
        writer.set("A", "value of A")
        (bound_directory / "copy").mkdir()
        for name in ("store.db", "store.db-wal"):
            (bound_directory / "copy" / name).write_bytes((bound_directory / name).read_bytes())
    (bound_directory / "copy").chmod(0o555)
    copy = open_store(bound_directory / "copy" / "store.db")
    with as_bound_user(), copy, pytest.raises(PermissionRefusedError):
        copy.get("A")
    (bound_directory / "copy").chmod(0o755)
    assert "value of A" == open_store(bound_directory / "copy" / "store.db").get("A").reveal()


# -- trouble in the middle ----------------------------------------------------------------------------------------


def test_a_store_that_is_locked_for_long_is_said_so(tmp_path):
    path = filled(tmp_path / "store.db")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with open_store(path, timeout=0.2) as store:
        assert "value of A" == store.get("A").reveal()
        with pytest.raises(StoreUnavailableError, match=r"locked by another process for 0.2 s") as caught:
            store.set("A", "new")
        assert 8 == caught.value.exit_code
        other.execute("ROLLBACK")
        store.set("A", "new")
        assert "new" == store.get("A").reveal()
    other.close()


def test_a_short_lock_is_waited_for(tmp_path):
    path = filled(tmp_path / "store.db")
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    threading.Timer(0.3, other.execute, ["ROLLBACK"]).start()
    with open_store(path) as store:
        store.set("A", "new")
    other.close()


def test_a_full_disk_changes_nothing(tmp_path):
    with open_store(filled(tmp_path / "store.db")) as store:
        store.set("B", "value of B")
        # SQLite itself says "full" here, as it does when the file system is.
        store._session.backend._file._connection.execute("PRAGMA max_page_count = 1")
        before = store.list()
        with pytest.raises(StoreUnavailableError, match=r"no space left .* nothing was changed") as caught:
            store.set_many({f"N{number}": "x" * 1000 for number in range(100)})
        assert "df -h" in caught.value.hint
        assert before == store.list()
        assert {"A": SecretValue("value of A"), "B": SecretValue("value of B")} == store.get_many(store.names())


def test_a_write_that_the_system_refuses_changes_nothing(tmp_path):
    path = filled(tmp_path / "store.db")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with open_store(path) as store:
        listed = store.list()
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
        try:
            with pytest.raises(StoreUnavailableError, match="cannot read or write"):
                store.set("B", "x" * 500_000)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert listed == store.list()
        store.set("B", "x")
    assert {"A": SecretValue("value of A"), "B": SecretValue("x")} == open_store(path).get_many(["A", "B"])


def test_an_exception_in_the_middle_undoes_everything(tmp_path):
    backend = SQLiteBackend(str(filled(tmp_path / "store.db")))
    with contextlib.suppress(KeyboardInterrupt), backend.transaction():
        backend.remove_versions("A", up_to=9)
        raise KeyboardInterrupt
    assert ["A"] == backend.names()
    backend.close()


def test_a_snapshot_does_not_see_what_others_write_meanwhile(tmp_path):
    path = filled(tmp_path / "store.db")
    backend = SQLiteBackend(str(path))
    with backend.snapshot():
        assert ["A"] == backend.names()
        with open_store(path) as other:
            other.set("B", "value of B")
        assert ["A"] == backend.names()
    assert ["A", "B"] == sorted(backend.names())
    backend.close()


def test_a_snapshot_that_the_database_has_ended_by_itself_ends_quietly(tmp_path):
    backend = SQLiteBackend(str(filled(tmp_path / "store.db")))
    with backend.snapshot():
        backend._file.execute("ROLLBACK")  # as SQLite does after some errors
    assert ["A"] == backend.names()
    backend.close()


# -- keys ---------------------------------------------------------------------------------------------------------


def test_the_wrong_key_is_told_from_damage(tmp_path):
    path = filled(tmp_path / "store.db")
    wrong = MasterKeyProvider({"AUTOKESTRA_SECRET_KEY": key_text(bytes(32))}, home=tmp_path / "home")
    with SecretStore.open(path, keys=wrong) as store:
        assert ["A"] == [row.name for row in store.list()]
        for use in (
            lambda: store.get("A"),
            lambda: store.set("A", "new"),
            lambda: store.delete("A"),
            store.output_cipher,
        ):
            with pytest.raises(
                WrongKeyError, match="from AUTOKESTRA_SECRET_KEY does not open the secret store"
            ) as caught:
                use()
            assert 6 == caught.value.exit_code
    assert "value of A" == open_store(path).get("A").reveal()


def test_a_later_source_that_would_open_the_store_is_named(home, environ, tmp_path):
    with SecretStore.open(environ=environ) as store:
        store.set("A", "value of A")
    (tmp_path / "mounted").write_text("correct horse battery staple")
    environ["AUTOKESTRA_SECRET_KEY_FILE"] = str(tmp_path / "mounted")
    with SecretStore.open(environ=environ) as store, pytest.raises(WrongKeyError) as caught:
        store.get("A")
    assert f"but the one from key file {home}/secret.key does" in str(caught.value)
    assert "unset AUTOKESTRA_SECRET_KEY_FILE" == caught.value.hint


def test_a_later_source_that_would_not_open_the_store_either_is_not_named(tmp_path):
    path = filled(tmp_path / "store.db")
    (tmp_path / "mounted").write_text("correct horse battery staple")
    wrong = {"AUTOKESTRA_SECRET_KEY": key_text(bytes(32)), "AUTOKESTRA_SECRET_KEY_FILE": str(tmp_path / "mounted")}
    store = SecretStore.open(path, keys=MasterKeyProvider(wrong, home=tmp_path))
    with store, pytest.raises(WrongKeyError) as caught:
        store.get("A")
    assert "mounted" not in str(caught.value)
    assert "workflow secrets key show" in caught.value.hint


def test_a_lost_key_is_never_replaced_by_a_new_one(home, environ):
    with SecretStore.open(environ=environ) as store:
        store.set("A", "value of A")
    (home / "secret.key").rename(home / "kept")
    with SecretStore.open(environ=environ) as store:
        for use in (lambda: store.set("B", "value"), lambda: store.get("A"), lambda: store.delete("A")):
            with pytest.raises(KeyMissingError, match="no master key found for the secret store") as caught:
                use()
            assert f"put the key file back at {home}/secret.key" in caught.value.hint
    assert [".gitignore", *notes(home), "kept", "secrets.db"] == files(home)
    (home / "kept").rename(home / "secret.key")
    with SecretStore.open(environ=environ) as store:
        assert "value of A" == store.get("A").reveal()


def test_no_key_is_made_for_a_backend_that_machines_share(tmp_path, environ):
    class SharedBackend(SQLiteBackend):
        may_mint = False

    backend = SharedBackend(str(tmp_path / "store.db"))
    with SecretStore(backend, keys=MasterKeyProvider(environ)) as store, pytest.raises(KeyMissingError):
        store.set("A", "value")
    assert [] == files(tmp_path)
    backend = SharedBackend(str(tmp_path / "store.db"))
    with SecretStore(backend, keys=fixed_keys()) as store:
        store.set("A", "value")
        assert "value" == store.get("A").reveal()


@pytest.mark.parametrize("text", [FIXED_KEY, "ab" * 32, "correct horse battery staple"])
def test_every_form_of_key_opens_what_it_closed(tmp_path, text):
    environ = {"AUTOKESTRA_HOME": str(tmp_path / "home"), "AUTOKESTRA_SECRET_KEY": text}
    with SecretStore.open(environ=environ) as store:
        store.set("A", "value of A")
    with SecretStore.open(environ={**environ, "AUTOKESTRA_SECRET_KEY": text + "\n"}) as store:
        assert "value of A" == store.get("A").reveal()
    connection = sqlite3.connect(tmp_path / "home" / "secrets.db")
    kind, iterations = connection.execute("SELECT kind, iterations FROM key_slots").fetchone()
    connection.close()
    assert (("passphrase", 600_000) if " " in text else ("key", 100_000)) == (kind, iterations)
    assert not (tmp_path / "home" / "secret.key").exists()
