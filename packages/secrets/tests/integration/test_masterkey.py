"""Where the master key comes from, on real files: order, permissions, and how one is made."""

import contextlib
import os
import resource
import stat

import pytest

from autokestra_secrets import (
    InvalidKeyError,
    KeyMissingError,
    MasterKey,
    MasterKeyProvider,
    PermissionRefusedError,
    StoreUnavailableError,
    shown_path,
)
from autokestra_secrets.keytext import key_text

VARIABLE, FILE, OWN = (key_text(bytes([number]) * 32) for number in range(3))


def key(text):
    return MasterKey.parse(text.encode(), source="test")


def write(path, text, mode=0o600):
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.write_text(text)
    path.chmod(mode)
    return str(path)


@contextlib.contextmanager
def file_size_limit(size):
    """Let no file of this process grow beyond `size` bytes, as if the disk were full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


# -- the order ----------------------------------------------------------------------------------------------------


def test_the_variable_wins_then_the_file_that_it_names_then_the_key_file(home, tmp_path, environ):
    write(home / "secret.key", OWN)
    provider = MasterKeyProvider(environ)
    assert key(OWN) == provider.load()
    assert ("key file", str(home / "secret.key")) == provider.describe()[:2]

    environ["AUTOKESTRA_SECRET_KEY_FILE"] = write(tmp_path / "mounted", FILE)
    assert key(FILE) == provider.load()
    assert ("AUTOKESTRA_SECRET_KEY_FILE", str(tmp_path / "mounted")) == provider.describe()[:2]

    environ["AUTOKESTRA_SECRET_KEY"] = VARIABLE
    assert key(VARIABLE) == provider.load()
    assert ("AUTOKESTRA_SECRET_KEY", None) == provider.describe()[:2]
    assert key(VARIABLE).fingerprint == provider.describe().fingerprint
    assert [key(FILE), key(OWN)] == list(provider.others())


def test_later_sources_that_are_unusable_are_passed_over_when_looking_for_the_right_one(home, tmp_path, environ):
    write(home / "secret.key", OWN)
    environ |= {"AUTOKESTRA_SECRET_KEY": VARIABLE, "AUTOKESTRA_SECRET_KEY_FILE": str(tmp_path / "missing")}
    assert [key(OWN)] == list(MasterKeyProvider(environ).others())


def test_the_home_directory_is_the_variable_the_argument_or_the_default(tmp_path):
    assert str(tmp_path / ".autokestra") == MasterKeyProvider({"HOME": str(tmp_path)}).home
    assert str(tmp_path) == MasterKeyProvider({"AUTOKESTRA_HOME": str(tmp_path)}).home
    assert "/here" == MasterKeyProvider({"AUTOKESTRA_HOME": str(tmp_path)}, home="/here").home
    assert os.path.expanduser("~/.autokestra") == MasterKeyProvider({}).home
    assert os.path.join(os.getcwd(), "relative") == MasterKeyProvider({"AUTOKESTRA_HOME": "relative"}).home


def test_an_empty_home_variable_is_an_error():
    with pytest.raises(StoreUnavailableError, match="AUTOKESTRA_HOME is set but empty"):
        MasterKeyProvider({"AUTOKESTRA_HOME": ""}).load()


@pytest.mark.parametrize("name", ["AUTOKESTRA_SECRET_KEY", "AUTOKESTRA_SECRET_KEY_FILE"])
@pytest.mark.parametrize("value", ["", " ", "\n"])
def test_an_empty_variable_is_an_error_and_not_unset(home, environ, name, value):
    write(home / "secret.key", OWN)
    provider = MasterKeyProvider({**environ, name: value})
    for use in (provider.load, provider.load_or_create, provider.describe):
        with pytest.raises(InvalidKeyError, match=f"{name} is empty"):
            use()


def test_no_source_at_all_is_said_with_the_ways_out(home, environ):
    provider = MasterKeyProvider(environ)
    assert provider.absent
    with pytest.raises(KeyMissingError, match="no master key found") as caught:
        provider.load()
    assert str(home / "secret.key") in caught.value.hint
    assert not home.exists()


def test_a_variable_with_bytes_that_are_no_text_is_refused():
    with pytest.raises(InvalidKeyError, match="binary data"):
        MasterKeyProvider({"AUTOKESTRA_SECRET_KEY": os.fsdecode(b"\xff" * 20)}).load()


# -- the file that a variable names -------------------------------------------------------------------------------


def test_a_named_file_may_be_a_symlink_as_kubernetes_mounts_it(tmp_path):
    write(tmp_path / "..data" / "key", FILE + "\n")
    (tmp_path / "key").symlink_to(tmp_path / "..data" / "key")
    said = []
    provider = MasterKeyProvider({"AUTOKESTRA_SECRET_KEY_FILE": str(tmp_path / "key")}, notify=said.append)
    assert key(FILE) == provider.load()
    assert [] == said


def test_a_named_file_that_others_can_read_is_only_warned_about_and_only_once(tmp_path):
    path = write(tmp_path / "the key", FILE, mode=0o444)
    said = []
    provider = MasterKeyProvider({"AUTOKESTRA_SECRET_KEY_FILE": path}, notify=said.append)
    assert key(FILE) == provider.load() == provider.load()
    assert [f"warning: others can read the key file {path}; unless that is meant: chmod 600 '{path}'"] == said
    assert key(FILE) == MasterKeyProvider({"AUTOKESTRA_SECRET_KEY_FILE": path}).load()


def test_a_named_file_that_is_missing_is_an_error_and_no_reason_to_make_a_key(tmp_path, home, environ):
    provider = MasterKeyProvider({**environ, "AUTOKESTRA_SECRET_KEY_FILE": str(tmp_path / "missing")})
    for use in (provider.load, provider.load_or_create):
        with pytest.raises(KeyMissingError, match=r"AUTOKESTRA_SECRET_KEY_FILE .*/missing does not exist"):
            use()
    assert not provider.absent
    assert not home.exists()


def test_what_is_no_file_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(InvalidKeyError, match="is not a regular file"):
            MasterKeyProvider({"AUTOKESTRA_SECRET_KEY_FILE": str(path)}).load()


@pytest.mark.parametrize("path", ["a\0b", "/etc/hostname/under", "x" * 5000])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(InvalidKeyError, match="cannot read AUTOKESTRA_SECRET_KEY_FILE"):
        MasterKeyProvider({"AUTOKESTRA_SECRET_KEY_FILE": path}).load()


def test_a_file_that_we_may_not_read_is_a_matter_of_permission(bound_directory, as_bound_user):
    path = write(bound_directory / "key", FILE, mode=0o000)
    with as_bound_user(), pytest.raises(PermissionRefusedError, match="permission denied"):
        MasterKeyProvider({"AUTOKESTRA_SECRET_KEY_FILE": path}).load()


# -- the key file at home -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o777])
def test_a_key_file_that_others_can_read_is_refused_with_the_line_to_type(home, environ, mode):
    path = write(home / "secret.key", OWN, mode=mode)
    provider = MasterKeyProvider(environ)
    with pytest.raises(PermissionRefusedError, match=f"expected mode 0600, got {mode:04o}") as caught:
        provider.load()
    assert f"chmod 600 {path}" == caught.value.hint
    assert 9 == caught.value.exit_code
    (home / "secret.key").chmod(0o600)
    assert key(OWN) == provider.load()


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777])
def test_a_home_in_which_others_can_replace_the_key_is_refused(home, environ, mode):
    write(home / "secret.key", OWN)
    home.chmod(mode)
    with pytest.raises(PermissionRefusedError, match="others can replace the key file") as caught:
        MasterKeyProvider(environ).load()
    assert f"chmod 700 {home}" == caught.value.hint


def test_the_hint_can_be_pasted_even_if_the_path_has_a_space(tmp_path):
    path = write(tmp_path / "my home" / "secret.key", OWN, mode=0o644)
    with pytest.raises(PermissionRefusedError) as caught:
        MasterKeyProvider({}, home=tmp_path / "my home").load()
    assert f"chmod 600 '{path}'" == caught.value.hint


def test_a_symlink_in_the_place_of_the_key_file_is_refused(home, tmp_path, environ):
    home.mkdir()
    (home / "secret.key").symlink_to(write(tmp_path / "elsewhere", OWN))
    provider = MasterKeyProvider(environ)
    for use in (provider.load, provider.load_or_create):
        with pytest.raises(PermissionRefusedError, match="symbolic link") as caught:
            use()
        assert f"export AUTOKESTRA_SECRET_KEY_FILE={home / 'secret.key'}" == caught.value.hint


@pytest.mark.parametrize("text", ["", "\n", OWN[:-8], OWN[:3]])
def test_an_empty_or_truncated_key_file_is_an_error_and_never_replaced(home, environ, text):
    path = write(home / "secret.key", text)
    provider = MasterKeyProvider(environ)
    for use in (provider.load, provider.load_or_create):
        with pytest.raises(InvalidKeyError, match=r"secret\.key"):
            use()
    with open(path) as file:
        assert text == file.read()


def test_a_home_that_we_may_not_look_into_is_not_taken_for_one_without_a_key(bound_directory, as_bound_user):
    (bound_directory / "home").mkdir()
    (bound_directory / "home").chmod(0o000)
    provider = MasterKeyProvider({"AUTOKESTRA_HOME": str(bound_directory / "home")})
    with as_bound_user():
        assert not provider.absent
        with pytest.raises(PermissionRefusedError, match="cannot read key file"):
            provider.load()


# -- making one ---------------------------------------------------------------------------------------------------


def test_a_key_is_made_once_whole_and_private(home, environ):
    said = []
    provider = MasterKeyProvider(environ, notify=said.append)
    made = provider.load_or_create()
    assert made == provider.load_or_create() == provider.load() == MasterKeyProvider(environ).load()
    assert "key" == made.kind
    assert {".gitignore", "secret.key"} == set(os.listdir(home))
    assert (0o700, 0o600) == tuple(stat.S_IMODE(path.stat().st_mode) for path in (home, home / "secret.key"))
    assert "*\n" == (home / ".gitignore").read_text()
    text = (home / "secret.key").read_text()
    assert text.startswith("akey1-")
    assert text.endswith("\n")
    assert 1 == len(said)
    assert f"created the master key {home / 'secret.key'}: without it your secrets are lost" in said[0]
    assert text.strip() not in said[0]


def test_the_umask_does_not_make_the_key_readable(home, environ):
    before = os.umask(0)
    try:
        MasterKeyProvider(environ).load_or_create()
    finally:
        os.umask(before)
    assert (0o700, 0o600) == tuple(stat.S_IMODE(path.stat().st_mode) for path in (home, home / "secret.key"))


def test_two_homes_get_two_keys(tmp_path):
    one, two = (MasterKeyProvider({}, home=tmp_path / name).load_or_create() for name in ("one", "two"))
    assert one != two


def test_no_key_is_made_where_another_source_is_there(home, environ):
    provider = MasterKeyProvider({**environ, "AUTOKESTRA_SECRET_KEY": VARIABLE})
    assert key(VARIABLE) == provider.load_or_create()
    assert not home.exists()


def test_what_the_user_has_put_into_the_home_stays(home, environ):
    home.mkdir(mode=0o700)
    (home / ".gitignore").write_text("mine\n")
    MasterKeyProvider(environ).load_or_create()
    assert "mine\n" == (home / ".gitignore").read_text()


def test_a_repository_that_serves_as_home_is_not_hidden_from_git(home, environ):
    (home / ".git").mkdir(parents=True)
    home.chmod(0o700)
    MasterKeyProvider(environ).load_or_create()
    assert {".git", "secret.key"} == set(os.listdir(home))


def test_no_key_is_made_in_a_home_that_others_can_write_to(home, environ):
    home.mkdir()
    home.chmod(0o777)
    with pytest.raises(PermissionRefusedError, match="others can replace"):
        MasterKeyProvider(environ).load_or_create()
    assert not (home / "secret.key").exists()


def test_a_home_that_is_a_file_is_said_so(tmp_path):
    (tmp_path / "home").write_text("")
    with pytest.raises(StoreUnavailableError, match="is not a directory"):
        MasterKeyProvider({}, home=tmp_path / "home").load_or_create()


def test_a_home_below_a_file_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailableError, match=r"cannot create files in .*: Not a directory"):
        MasterKeyProvider({}, home=tmp_path / "file" / "home").load_or_create()


def test_a_home_that_we_may_not_write_to_is_a_matter_of_permission(bound_directory, as_bound_user):
    provider = MasterKeyProvider({}, home=bound_directory)
    bound_directory.chmod(0o500)
    with as_bound_user(), pytest.raises(PermissionRefusedError, match="cannot create files in"):
        provider.load_or_create()
    bound_directory.chmod(0o700)
    (bound_directory / ".gitignore").write_text("*\n")
    bound_directory.chmod(0o500)
    with as_bound_user(), pytest.raises(PermissionRefusedError, match="cannot create the key file"):
        provider.load_or_create()


@pytest.mark.parametrize("room", [0, 10])
def test_a_full_disk_leaves_no_key_and_no_piece_of_one(home, environ, room):
    home.mkdir(mode=0o700)
    (home / ".gitignore").write_text("*\n")
    with file_size_limit(room), pytest.raises(StoreUnavailableError, match="cannot create the key file"):
        MasterKeyProvider(environ).load_or_create()
    assert [".gitignore"] == os.listdir(home)
    assert MasterKeyProvider(environ).load_or_create() == MasterKeyProvider(environ).load()


# -- what a message repeats of a path --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("there/file", "there/file"),
        ("there/new", "there/new"),
        ("./new", "./new"),
        ("there", "there"),
        ("new", "…"),
        ("new.env", "new.env"),
        ("eyJhbGciOi.eyJzdWIiOi.SflKxwRJSMeKKF2QT4", "…"),
        ("TOKEN=value.txt", "…"),
        ("eyJ.tok4f9c.eyJ", "…"),
        ("new/page.html", "new/page.html"),
        ("postgres://ada:password@host/secrets.db", "…"),
        ("", "…"),
        ("/new-at-the-top", "/…"),
        ("new/new", "…"),
        ("there/new/new", "there/…"),
        ("there/file/new", "there/…"),
        ("there/TOKEN=value", "there/…"),
        ("postgres://ada:password@host/db", "…"),
        ("there/" + "x" * 256, "there/…"),
        ("a\0b", "…"),
        ("there/\ud800", "…"),
    ],
)
def test_a_path_is_shown_as_far_as_it_is_one(tmp_path, monkeypatch, path, shown):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").touch()
    monkeypatch.chdir(tmp_path)
    assert shown == shown_path(path)
