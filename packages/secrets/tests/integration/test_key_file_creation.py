"""A second key file for a store: made once, whole, and never over another key."""

import errno
import os
import stat
import subprocess
import sys

import pytest

from autokestra_secrets import (
    ConflictError,
    MasterKeyProvider,
    PermissionRefusedError,
    SecretStore,
    StoreUnavailableError,
)

MAKE = """
import sys
from autokestra_secrets import ConflictError, MasterKeyProvider
try:
    print(MasterKeyProvider({}).write_key_file(sys.argv[1]).fingerprint)
except ConflictError:
    print("late")
"""


def no_links(monkeypatch, error):
    def link(*_, **__):
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "link", link)


def test_a_key_file_is_made_private_and_holds_the_key_that_is_returned(tmp_path):
    provider = MasterKeyProvider({})
    made = provider.write_key_file(tmp_path / "new.key")
    assert 0o600 == stat.S_IMODE((tmp_path / "new.key").stat().st_mode)
    assert ["new.key"] == os.listdir(tmp_path)
    assert made == MasterKeyProvider({"AUTOKESTRA_SECRET_KEY_FILE": str(tmp_path / "new.key")}).load()
    assert f"key file {tmp_path}/new.key" == made.origin


def test_a_key_is_overwritten_only_on_demand(tmp_path):
    provider = MasterKeyProvider({})
    first = provider.write_key_file(tmp_path / "key")
    before = (tmp_path / "key").read_bytes()
    with pytest.raises(ConflictError, match="a key that is overwritten is lost"):
        provider.write_key_file(tmp_path / "key")
    assert before == (tmp_path / "key").read_bytes()
    assert first != provider.write_key_file(tmp_path / "key", replace=True)
    assert ["key"] == os.listdir(tmp_path)


def test_of_eight_processes_one_makes_the_file(tmp_path):
    running = [
        subprocess.Popen([sys.executable, "-c", MAKE, tmp_path / "key"], stdout=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    printed = [process.communicate(timeout=60)[0].strip() for process in running]
    (made,) = [line for line in printed if line != "late"]
    assert made == MasterKeyProvider({"AUTOKESTRA_SECRET_KEY_FILE": str(tmp_path / "key")}).load().fingerprint
    assert ["key"] == os.listdir(tmp_path)


@pytest.mark.parametrize("error", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK])
def test_without_hard_links_no_key_is_made_and_the_error_says_what_to_do(tmp_path, home, environ, monkeypatch, error):
    """As on some network file systems: without links two first runs could end with two keys."""
    no_links(monkeypatch, error)
    provider = MasterKeyProvider(environ)
    for use in (provider.load_or_create, lambda: provider.write_key_file(tmp_path / "key")):
        with pytest.raises(
            (PermissionRefusedError, StoreUnavailableError), match="cannot create the key file"
        ) as caught:
            use()
        assert "on a local disk, or give a key in AUTOKESTRA_SECRET_KEY" in caught.value.hint
    assert [".gitignore"] == os.listdir(home)
    assert ["home"] == os.listdir(tmp_path)
    provider.write_key_file(tmp_path / "key", replace=True)


@pytest.mark.parametrize("error", [errno.EPERM, errno.EOPNOTSUPP])
def test_without_hard_links_a_store_works_with_a_key_that_is_given(home, environ, monkeypatch, error):
    no_links(monkeypatch, error)
    environ["AUTOKESTRA_SECRET_KEY"] = "correct horse battery staple"
    with SecretStore.open(environ=environ) as store:
        store.set("A", "value")
        assert "value" == store.get("A").reveal()


def test_a_directory_that_is_missing_is_said_so(tmp_path):
    with pytest.raises(StoreUnavailableError, match="No such file or directory"):
        MasterKeyProvider({}).write_key_file(tmp_path / "missing" / "key")


def test_the_daily_key_is_replaced_without_a_moment_in_which_no_key_opens_the_store(home, environ):
    """Add, rename, remove: after each step one of the two files on disk opens the store."""
    with SecretStore.open(environ=environ) as store:
        store.set("A", "value")
        new = MasterKeyProvider(environ).write_key_file(home / "secret.key.new")
        added = store.keys.add(new)
    os.replace(home / "secret.key.new", home / "secret.key")
    with SecretStore.open(environ=environ) as store:
        assert [False, True] == [slot.current for slot in store.keys.list()]
        store.keys.remove(1)
        assert [added.id] == [slot.id for slot in store.keys.list()]
        assert "value" == store.get("A").reveal()
