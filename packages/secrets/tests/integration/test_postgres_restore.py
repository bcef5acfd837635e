"""Backups of a store in PostgreSQL: files as every backup, and back again."""

import pytest

from autokestra_secrets import ConflictError, MasterKeyProvider, SecretStore, StoreUnavailableError
from autokestra_secrets.testing import FIXED_KEY


@pytest.fixture
def opened(environ, home):
    environ["AUTOKESTRA_SECRET_KEY"] = FIXED_KEY

    def open_at(location):
        return SecretStore.open(location, environ=environ)

    return open_at


def test_a_backup_is_put_back_in_place_of_the_store_and_where_there_was_none(
    postgres_url, postgres_server, opened, environ, tmp_path
):
    with opened(postgres_url) as store:
        store.set("A", "value of A")
        store.backup(tmp_path / "backup.db")
        store.set("A", "newer")
    keys = MasterKeyProvider(environ)
    assert SecretStore.verify_file(tmp_path / "backup.db", keys=keys).ok
    with pytest.raises(ConflictError, match="there is a store at postgresql://"):
        SecretStore.restore(tmp_path / "backup.db", postgres_url, keys=keys)
    assert SecretStore.restore(tmp_path / "backup.db", postgres_url, keys=keys, force=True).ok
    with opened(postgres_url) as store:
        assert "value of A" == store.get("A").reveal()
        assert 2 == store.set("A", "written on").version
    elsewhere = postgres_server.url(schema="restored")
    SecretStore.restore(tmp_path / "backup.db", elsewhere, keys=keys)
    with opened(elsewhere) as store:
        assert "value of A" == store.get("A").reveal()
    with postgres_server.connect() as connection:
        connection.execute("DROP SCHEMA restored CASCADE")
    assert ["anchors"] == [path.name for path in (tmp_path / "home").iterdir() if path.is_dir()]
    assert not list((tmp_path / "home").glob(".restored*"))


def test_a_place_that_cannot_be_reached_is_not_called_a_conflict(opened, environ, tmp_path):
    with opened(tmp_path / "store.db") as store:
        store.set("A", "value of A")
        store.backup(tmp_path / "backup.db")
    with pytest.raises(StoreUnavailableError, match="cannot reach"):
        SecretStore.restore(tmp_path / "backup.db", "postgresql://127.0.0.1:9/db", keys=MasterKeyProvider(environ))
