"""A store that several machines share: who waits for whom, what is never made by itself, and what errors say."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from urllib.parse import quote

import psycopg
import pytest

from autokestra_secrets import (
    ConflictError,
    DamagedError,
    KeyMissingError,
    PermissionRefusedError,
    SecretsError,
    SecretStore,
    StoreUnavailableError,
    UnknownFormatError,
)
from autokestra_secrets.backends import PUT, JournalRow
from autokestra_secrets.backends.postgres import PostgresBackend
from autokestra_secrets.backends.postgres_address import parse_address
from autokestra_secrets.backends.postgres_database import PostgresDatabase
from autokestra_secrets.testing import FIXED_KEY, fixed_keys

PASSWORD = "hunter:two w%rdy&=xyzzy"


def open_store(url, **options):
    return SecretStore(PostgresBackend(url, **options), keys=fixed_keys())


def schema_of(url):
    return parse_address(url).schema


@pytest.fixture
def filled(postgres_url):
    with open_store(postgres_url) as store:
        store.set("A", "value of A")
    return postgres_url


# -- keys and beginnings ------------------------------------------------------------------------------------------


def test_no_key_is_made_for_it_and_no_table_either(postgres_url, environ, home, postgres_server):
    with SecretStore.open(postgres_url, environ=environ) as store:
        for use in (lambda: store.set("A", "x"), lambda: store.set_many({"A": "x"})):
            with pytest.raises(KeyMissingError, match="none is made by itself") as caught:
                use()
            assert (
                "make one, and copy it to each machine that needs it: workflow secrets key create" == caught.value.hint
            )
    assert not home.exists()
    with postgres_server.connect() as connection:
        found = connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (schema_of(postgres_url),))
        assert found.fetchone() is None


def test_a_database_without_a_store_is_said_so_and_reading_makes_nothing(postgres_url, environ):
    with SecretStore.open(postgres_url, environ=environ) as store:
        for use in (store.list, store.names, store.verify, lambda: store.get("A"), store.output_cipher):
            with pytest.raises(StoreUnavailableError, match="there is no secret store in postgresql://") as caught:
                use()
            assert "workflow secrets set NAME --store" in caught.value.hint


def test_the_variable_names_it_and_it_is_read_once_it_is_there(postgres_url, environ):
    environ |= {"AUTOKESTRA_STORE": postgres_url, "AUTOKESTRA_SECRET_KEY": FIXED_KEY}
    with SecretStore.open(environ=environ) as early, SecretStore.open(environ=environ) as store:
        with pytest.raises(StoreUnavailableError):
            early.list()
        store.set("A", "value of A", description="kept")
        assert "value of A" == early.get("A").reveal()
        assert ["A"] == [row.name for row in early.list()]


def test_of_many_that_begin_at_once_one_makes_the_store(postgres_url):
    errors = []

    def begin(number):
        try:
            with open_store(postgres_url) as store:
                store.set(f"N{number}", f"value {number}")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [] == errors
    with open_store(postgres_url) as store:
        assert {f"N{number}" for number in range(8)} == store.names()
        assert store.verify().ok


# -- writers ------------------------------------------------------------------------------------------------------


def test_of_writers_with_the_same_version_in_mind_one_wins(filled):
    stores = [open_store(filled) for _ in range(4)]
    outcomes = []

    def write(store, number):
        try:
            outcomes.append(store.set("A", f"value {number}", if_version=1).version)
        except ConflictError:
            outcomes.append("conflict")

    threads = [threading.Thread(target=write, args=(store, number)) for number, store in enumerate(stores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in stores:
        store.close()
    assert ["2", "conflict", "conflict", "conflict"] == sorted(map(str, outcomes))


def test_a_writer_that_slept_through_anothers_write_cannot_add_to_the_journal(filled):
    """Its row would stand where another stands, and its header would end a chain that nobody wrote."""
    sleeper = PostgresBackend(filled)
    stale = sleeper.header()
    with open_store(filled) as store:
        store.set("A", "newer")

    def write():
        with sleeper.transaction():
            sleeper.put_journal(JournalRow(stale.generation + 1, 0, PUT, "A", 9, b"tag"))
            sleeper.put_header(stale)

    with pytest.raises(DamagedError, match="duplicate key"):
        write()
    sleeper.close()
    with open_store(filled) as store:
        assert store.verify().ok


def test_a_writer_holds_the_header_and_readers_do_not_wait(filled):
    holder, waiting = PostgresBackend(filled), PostgresBackend(filled, timeout=0.2)
    with holder.transaction(), open_store(filled) as store:
        assert "value of A" == store.get("A").reveal()
        with (
            SecretStore(waiting, keys=fixed_keys()) as second,
            pytest.raises(StoreUnavailableError, match=r"locked by another process for 0\.2 s") as caught,
        ):
            second.set("B", "value")
        assert "pg_stat_activity" in caught.value.hint
    holder.close()


def test_a_snapshot_does_not_see_what_others_write_meanwhile(filled):
    backend = PostgresBackend(filled)
    with backend.snapshot():
        assert ["A"] == backend.names()
        with open_store(filled) as store:
            store.set("B", "value of B")
        assert ["A"] == backend.names()
        assert ["A"] == [row.name for row in backend.scan()]
    assert ["A", "B"] == sorted(backend.names())
    backend.close()


def test_what_a_killed_writer_had_begun_is_undone(filled, environ):
    program = """
import sys, time
from autokestra_secrets import SecretStore
store = SecretStore.open(sys.argv[1])
with store._session.writing() as writing:
    writing.backend.remove_versions("A", up_to=9)
    print("half done", flush=True)
    time.sleep(60)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program, filled],
        env={**environ, "AUTOKESTRA_SECRET_KEY": FIXED_KEY, "PATH": os.defpath},
        stdout=subprocess.PIPE,
    )
    assert b"half done\n" == process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with open_store(filled) as store:
        assert 2 == store.set("A", "newer").version
        assert store.verify().ok


def test_four_processes_write_at_once_and_nothing_is_lost(postgres_url, environ):
    program = """
import sys
from autokestra_secrets import SecretStore
with SecretStore.open(sys.argv[1]) as store:
    for number in range(25):
        store.set(f"P{sys.argv[2]}_{number}", "value")
        store.set("SHARED", sys.argv[2])
"""
    env = {**environ, "AUTOKESTRA_SECRET_KEY": FIXED_KEY, "PATH": os.defpath}
    processes = [
        subprocess.Popen([sys.executable, "-c", program, postgres_url, str(number)], env=env) for number in range(4)
    ]
    assert [0, 0, 0, 0] == [process.wait(120) for process in processes]
    with open_store(postgres_url) as store:
        report = store.verify()
        assert (True, 101) == (report.ok, report.secrets)
        assert 100 == store.history("SHARED")[0].version


def test_a_server_that_comes_back_is_connected_to_again(tmp_path):
    from servers.postgresql import PostgresServer

    server = PostgresServer.started()
    try:
        with open_store(server.url()) as store:
            store.set("A", "value of A")
            server.kill()
            with pytest.raises(StoreUnavailableError, match="cannot reach the secret store") as caught:
                store.get("A")
            assert caught.value.hint.startswith("see whether it runs: pg_isready -d")
            server.start()
            assert "value of A" == store.get("A").reveal()
            server.kill()
            server.start()
            assert 2 == store.set("A", "newer").version
            assert store.verify().ok
    finally:
        server.stop()
    assert not server.directory.exists()


# -- what errors say ----------------------------------------------------------------------------------------------


def failing(url, **options):
    with open_store(url, **options) as store, pytest.raises(SecretsError) as caught:
        store.list()
    error = caught.value
    shown = f"{error!r} {error.hint} {error.__cause__!r} {store!r} {store.location}"
    for piece in re.findall(r"\w{3,}", PASSWORD):
        assert piece not in shown
    assert error.message[0].islower() or error.message.startswith("PostgreSQL")
    assert not error.message.endswith(".")
    assert error.hint
    return error


def test_a_server_that_is_down_is_said_so():
    error = failing(f"postgresql://user:{quote(PASSWORD)}@127.0.0.1:9/db")
    assert isinstance(error, StoreUnavailableError)
    assert error.message.startswith(
        "cannot reach the secret store postgresql://user@127.0.0.1:9/db: Connection refused"
    )
    assert "see whether it runs: pg_isready -d postgresql://user@127.0.0.1:9/db" == error.hint


def test_a_host_without_an_address_is_said_so():
    error = failing("postgresql://user@nowhere.invalid/db")
    assert "nowhere.invalid" in error.message


@pytest.mark.parametrize("password", [PASSWORD, ""], ids=["wrong", "none"])
def test_a_refused_password_is_a_matter_of_permission(postgres_server, password):
    error = failing(postgres_server.url(tcp=True, password=password))
    assert isinstance(error, PermissionRefusedError)
    assert "~/.pgpass" in error.hint


def test_the_right_password_may_come_from_a_password_file(postgres_server, tmp_path, monkeypatch):
    file = tmp_path / "pgpass"
    file.write_text(f"127.0.0.1:*:*:postgres:{postgres_server.password}\n")
    file.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(file))
    backend = PostgresBackend(postgres_server.url(tcp=True, password=""))
    assert not backend.exists()
    backend.close()


@pytest.mark.parametrize(("written", "typed"), [("nothing", "nothing"), ("not%20there", "'not there'")])
def test_a_database_that_is_missing_is_said_with_the_line_to_type(postgres_server, written, typed):
    error = failing(postgres_server.url(written))
    assert isinstance(error, StoreUnavailableError)
    assert f"make it: createdb {typed}" == error.hint


def test_a_user_who_may_not_read_or_make_tables_is_said_so(filled, postgres_server):
    schema = schema_of(filled)
    with postgres_server.connect() as connection:
        connection.execute("DROP ROLE IF EXISTS guest")
        connection.execute("CREATE ROLE guest LOGIN")
    try:
        error = failing(postgres_server.url(user="guest", schema=schema))
        assert isinstance(error, PermissionRefusedError)
        assert f"GRANT USAGE, CREATE ON SCHEMA {schema}" in error.hint
        with (
            open_store(postgres_server.url(user="guest", schema="none_yet")) as store,
            pytest.raises(PermissionRefusedError, match="may not do this"),
        ):
            store.set("A", "value")
    finally:
        with postgres_server.connect() as connection:
            connection.execute("DROP ROLE guest")


def test_a_reader_without_the_right_to_write_reads_and_does_not_write(filled, postgres_server):
    schema = schema_of(filled)
    with postgres_server.connect() as connection:
        connection.execute("CREATE ROLE reader LOGIN")
        connection.execute(f"GRANT USAGE ON SCHEMA {schema} TO reader")
        connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO reader")
    try:
        with open_store(postgres_server.url(user="reader", schema=schema)) as store:
            assert "value of A" == store.get("A").reveal()
            assert store.verify().ok
            with pytest.raises(PermissionRefusedError, match="permission denied"):
                store.set("A", "newer")
    finally:
        with postgres_server.connect() as connection:
            connection.execute("DROP OWNED BY reader")
            connection.execute("DROP ROLE reader")


def test_a_database_that_only_reads_is_said_so(filled):
    with open_store(f"{filled}&options=-cdefault_transaction_read_only%3Don") as store:
        assert "value of A" == store.get("A").reveal()
        with pytest.raises(PermissionRefusedError, match="is read-only") as caught:
            store.set("A", "newer")
    assert "target_session_attrs=read-write" in caught.value.hint


def test_a_newer_schema_is_left_alone(filled, postgres_server):
    with postgres_server.connect() as connection:
        connection.execute(f"UPDATE {schema_of(filled)}.secrets_version SET version = 99")
    error = failing(filled)
    assert isinstance(error, UnknownFormatError)
    assert "schema version 99" in error.message


def test_a_table_of_another_program_is_left_alone(postgres_url, postgres_server):
    schema = schema_of(postgres_url)
    with postgres_server.connect() as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
        connection.execute(f"CREATE TABLE {schema}.secrets (mine TEXT)")
    with open_store(postgres_url) as store, pytest.raises(UnknownFormatError, match="another program") as caught:
        store.set("A", "value")
    assert "?schema=NAME" in caught.value.hint
    with postgres_server.connect() as connection:
        found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", (schema,)).fetchall()
    assert [("secrets",)] == found


def test_a_full_disk_changes_nothing(postgres_server, tmp_path):
    """A tablespace in a file system of its own; skipped where mounting is not allowed."""
    place = postgres_server.directory / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m,mode=0777", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting is not allowed")
    shutil.chown(place, "nobody")
    try:
        with postgres_server.connect() as connection:
            connection.execute(f"CREATE TABLESPACE small LOCATION '{place}'")
            connection.execute("CREATE DATABASE full_disk TABLESPACE small")
        with open_store(postgres_server.url("full_disk")) as store:
            store.set("A", "value of A")
            with pytest.raises(StoreUnavailableError, match="no space left for the secret store"):
                store.set_many({f"N{number}": "x" * 1_000_000 for number in range(12)})
            # With no room at all the server may refuse even to read: it writes pages out to make place in memory.
            subprocess.run(["mount", "-o", "remount,size=64m", place], check=True)
            assert {"A"} == store.names()
            assert store.verify().ok
    finally:
        with postgres_server.connect() as connection:
            connection.execute("DROP DATABASE IF EXISTS full_disk WITH (FORCE)")
            connection.execute("DROP TABLESPACE IF EXISTS small")
        subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_store_is_plain_ascii_so_that_any_encoding_will_do(postgres_server, encoding):
    name = f"encoded_{encoding.lower()}"
    with postgres_server.connect() as connection:
        connection.execute(f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
    try:
        with open_store(postgres_server.url(name)) as store:
            store.set("A", "value", description="Schlüssel 😀")
            assert "Schlüssel 😀" == store.list()[0].description
            assert store.verify().ok
        database = PostgresDatabase(postgres_server.url(name), what="state database")
        if encoding == "LATIN1":  # where other text is kept it has to be UTF-8
            with pytest.raises(StoreUnavailableError, match="another encoding than UTF-8") as caught:
                database.execute("SELECT %s", ("😀",))
            assert "createdb --encoding UTF8" in caught.value.hint
        else:
            assert "😀" == database.execute("SELECT %s", ("😀",)).fetchone()[0]
        database.close()
    finally:
        postgres_server.drop_database(name)


def test_a_server_that_takes_no_more_connections_is_said_so(filled, postgres_server):
    with postgres_server.connect() as connection:
        connection.execute("CREATE ROLE crowd LOGIN CONNECTION LIMIT 0")
        error = failing(postgres_server.url(user="crowd"))
        connection.execute("DROP ROLE crowd")
    assert isinstance(error, StoreUnavailableError)
    assert "does not take connections now" in error.message


def test_a_connection_that_is_cut_in_the_middle_of_a_write_undoes_it(filled, postgres_server):
    backend = PostgresBackend(filled)

    def cut():
        with backend.transaction():
            backend.remove_versions("A", up_to=1)
            pid = backend._database.connection().info.backend_pid
            with postgres_server.connect() as connection:
                connection.execute("SELECT pg_terminate_backend(%s)", (pid,))
            backend.remove_versions("B", up_to=1)

    with pytest.raises(StoreUnavailableError, match="cannot reach the secret store"):
        cut()
    assert backend._database.is_lost
    assert ["A"] == backend.names()
    backend.close()


def test_an_empty_store_has_an_empty_backup(postgres_url, tmp_path):
    with open_store(postgres_url) as store:
        with store._session.backend.transaction():
            pass
        store.backup(tmp_path / "empty.db")
    assert 0 == SecretStore.verify_file(tmp_path / "empty.db", keys=fixed_keys()).secrets


def test_whoever_comes_second_finds_the_tables_that_the_first_has_made(postgres_url):
    first, second = PostgresBackend(postgres_url), PostgresBackend(postgres_url)
    assert not second.exists()
    for backend in (first, second):
        with backend.transaction():
            assert [] == backend.names()
        backend.close()


def test_a_store_that_another_process_has_made_meanwhile_is_not_taken_for_one_that_vanished(postgres_url, environ):
    with SecretStore.open(postgres_url, environ=environ) as early:
        with pytest.raises(KeyMissingError):
            early.set("A", "x")  # connected now, to a database without tables
        environ["AUTOKESTRA_SECRET_KEY"] = FIXED_KEY
        with SecretStore.open(postgres_url, environ=environ) as store:
            store.set("A", "value of A")
        assert 2 == early.set("A", "another value").version


def test_a_connection_that_was_cut_before_there_were_tables_is_said_so(postgres_url, postgres_server):
    backend = PostgresBackend(postgres_url)
    assert not backend.exists()
    process = backend._database.connection().info.backend_pid
    with postgres_server.connect() as connection:
        connection.execute("SELECT pg_terminate_backend(%s, 5000)", (process,))
    with pytest.raises(StoreUnavailableError):
        backend.names()
    assert not backend.exists()
    backend.close()


def test_a_store_that_cannot_be_reached_is_not_taken_for_one_that_is_not_there():
    assert PostgresBackend("postgresql://127.0.0.1:9/db").exists()


def test_a_driver_that_is_not_installed_is_said_with_the_line_to_type():
    program = """
import sys
sys.modules["psycopg"] = None
from autokestra_secrets import SecretStore, StoreUnavailableError
try:
    SecretStore.open("postgresql://host/db")
except StoreUnavailableError as error:
    print(error.message, error.hint, sep="|")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "PostgreSQL needs a driver that is not installed|pip install 'autokestra-secrets[postgres]'\n" == done.stdout


# -- the address --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("postgresql://u:secretword@h:5432/db", "postgresql://u@h:5432/db"),
        ("postgres://u:secretword@h1,h2:6000/db", "postgresql://u@h1,h2:6000/db"),
        ("postgresql:///db?host=/run/pg&user=u&password=secretword", "postgresql://u@%2Frun%2Fpg/db"),
        ("postgresql://h/db?sslmode=verify-full&sslpassword=secretword", "postgresql://h/db"),
        ("postgresql://u@[::1]:5/db?schema=mine", "postgresql://u@[::1]:5/db?schema=mine"),
        ("postgresql://?service=prod", "postgresql:///"),
        ("postgresql://h:7?dbname=d", "postgresql://h:7/d"),
    ],
)
def test_the_location_shows_where_it_is_and_never_the_password(url, location):
    address = parse_address(url)
    assert location == address.location
    assert "secretword" not in repr(address)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:se@cretword@h/db",
        "postgresql://u:secret/word@h/db",
        "postgresql://u:secret?word@h/db",
        "postgresql://u:secret%word@h/db",
        "postgresql://u:12/secretword@h/db",
        "postgresql://u:12@34@h/db",
        "postgresql://h/db?schema=Mine",
        "postgresql://h/db?schema=a;b",
        "postgresql://h/db?nothing",
        "mysql://h/db",
        "postgresql:h/db",
    ],
)
def test_an_address_that_libpq_would_misread_is_refused_without_a_piece_of_it(url):
    with pytest.raises(StoreUnavailableError, match="the PostgreSQL URL is malformed") as caught:
        parse_address(url)
    assert "secret" not in f"{caught.value!r}{caught.value.hint}{caught.value.__cause__!r}".replace("secret store", "")
    assert "word@" not in repr(caught.value)


# -- TLS ----------------------------------------------------------------------------------------------------------


def tls(server, **options):
    return server.url(tcp=True, sslmode="verify-full", sslrootcert=str(server.directory / "ca.crt"), **options)


def test_a_certificate_that_is_ours_is_accepted_and_the_line_is_encrypted(postgres_server):
    backend = PostgresBackend(tls(postgres_server))
    assert not backend.exists()
    found = backend._database.execute("SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()
    assert (True, "TLSv1.3") == found
    backend.close()


def test_a_certificate_of_somebody_else_is_refused(postgres_server, tmp_path):
    from servers.certificates import write_certificates

    write_certificates(tmp_path, client="nobody")
    url = postgres_server.url(tcp=True, sslmode="verify-full", sslrootcert=str(tmp_path / "ca.crt"))
    error = failing(url)
    assert isinstance(error, StoreUnavailableError)
    assert "no secure connection" in error.message
    assert "certificate verify failed" in error.message
    assert "sslrootcert" in error.hint


def test_a_name_that_is_not_in_the_certificate_is_refused(postgres_server):
    error = failing(tls(postgres_server, host="127.0.0.2"))
    assert isinstance(error, StoreUnavailableError)


def test_a_client_without_its_certificate_is_refused_and_with_it_let_in(postgres_server):
    error = failing(tls(postgres_server, user="certified", password=""))
    assert isinstance(error, PermissionRefusedError)
    assert "sslcert=FILE" in error.hint
    files = {
        name: str(postgres_server.directory / f"client.{end}") for name, end in (("sslcert", "crt"), ("sslkey", "key"))
    }
    backend = PostgresBackend(tls(postgres_server, user="certified", password="", **files))
    assert not backend.exists()
    backend.close()


def test_a_server_without_tls_is_refused_where_tls_is_asked_for():
    from servers.postgresql import PostgresServer

    server = PostgresServer.started({"ssl": "off"})
    try:
        error = failing(server.url(tcp=True, sslmode="require"))
        assert "no secure connection" in error.message
    finally:
        server.stop()


def test_a_wrong_option_of_libpq_is_said_so(postgres_server):
    for url in (postgres_server.url(sslmode="sure"), postgres_server.url(nothing="x")):
        error = failing(url)
        assert isinstance(error, StoreUnavailableError)


def test_a_connection_is_named_and_bounded(postgres_url, monkeypatch):
    monkeypatch.setenv("PGOPTIONS", "-c work_mem=5MB")
    backend = PostgresBackend(f"{postgres_url}&application_name=mine&connect_timeout=3&tcp_user_timeout=9000")
    assert backend.location in repr(backend._database.address)
    names = ("application_name", "lock_timeout", "idle_in_transaction_session_timeout", "work_mem", "search_path")
    found = [backend._database.execute("SELECT current_setting(%s)", (name,)).fetchone()[0] for name in names]
    assert ["mine", "10s", "1min", "5MB", f"{schema_of(postgres_url)},pg_temp"] == found
    backend.close()


def test_reading_takes_no_longer_than_a_few_milliseconds(filled):
    with open_store(filled) as store:
        store.get("A")
        began = time.perf_counter()
        for _ in range(100):
            store.get("A")
    assert time.perf_counter() - began < 5


def test_psycopg_is_loaded_for_postgresql_only():
    program = "import sys; from autokestra_secrets import SecretStore; SecretStore.open('/nowhere/x.db'); print('psycopg' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "False\n" == done.stdout
    assert psycopg.capabilities is not None
