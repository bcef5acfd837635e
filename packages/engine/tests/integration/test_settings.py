"""Settings: which source wins, what is refused and where, and that no key gets into the file or out of it."""

import os

import pytest

from autokestra.errors import SettingsError
from autokestra.settings import SETTINGS, default_settings, load_settings, shown
from autokestra_secrets import SecretsError


@pytest.fixture
def written(tmp_path):
    """Write the file and return an environment that leads to it."""

    def write(text, **variables):
        file = tmp_path / "config.toml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        file.chmod(0o600)
        return {"AUTOKESTRA_HOME": str(tmp_path), **variables}

    return write


def refused(environ):
    with pytest.raises(SettingsError) as caught:
        load_settings(environ)
    assert 2 == caught.value.exit_code
    home = environ["AUTOKESTRA_HOME"]
    return caught.value.message.replace(home, "~"), caught.value.hint


ALL = """\
store = "sqlite:////srv/secrets.db"
state = "data/state.db"
max_parallel = 3
mask = "[{name}]"
mask_min_length = 6
keep_for = "30d"
keep_last = 0
plugins = ["plugins", "/srv/plugins"]
require_isolation = true
colour = "never"
"""


def test_without_a_file_all_is_default(tmp_path):
    settings = load_settings({"AUTOKESTRA_HOME": str(tmp_path)})
    assert {"default"} == {value.source for value in settings.values.values()}
    assert (None, None, max(4, os.cpu_count()), "***SECRET***", 4, None, None, "auto") == (
        settings.store, settings.state, settings.max_parallel, settings.mask, settings.mask_min_length,
        settings.keep_for, settings.keep_last, settings.colour,
    )  # fmt: skip
    assert settings.values == default_settings({"AUTOKESTRA_HOME": str(tmp_path)}).values


def test_the_file_comes_before_the_default(written, tmp_path):
    settings = load_settings(written(ALL))
    assert ("sqlite:////srv/secrets.db", f"{tmp_path}/data/state.db", 3, "[{name}]", 6, 2_592_000.0, 0, "never") == (
        settings.store, settings.state, settings.max_parallel, settings.mask, settings.mask_min_length,
        settings.keep_for, settings.keep_last, settings.colour,
    )  # fmt: skip
    assert [f"{tmp_path}/config.toml:{line}" for line in range(1, 11)] == [
        value.source for value in settings.values.values()
    ]


def test_the_variable_comes_before_the_file(written):
    variables = {
        "AUTOKESTRA_STORE": "elsewhere.db",
        "AUTOKESTRA_STATE": "s.db",
        "AUTOKESTRA_MAX_PARALLEL": "7",
        "AUTOKESTRA_MASK": "###",
        "AUTOKESTRA_MASK_MIN_LENGTH": "8",
        "AUTOKESTRA_KEEP_FOR": "12h",
        "AUTOKESTRA_KEEP_LAST": "2",
        "AUTOKESTRA_PLUGINS": "/a:/b",
        "AUTOKESTRA_REQUIRE_ISOLATION": "0",
        "AUTOKESTRA_COLOUR": "always",
    }
    settings = load_settings(written(ALL, **variables))
    assert list(variables) == [value.source for value in settings.values.values()]
    # The library reads the variable of the store itself.
    assert (None, "s.db", 7, "###", 8, 43_200.0, 2, "always") == (
        settings.store, settings.state, settings.max_parallel, settings.mask, settings.mask_min_length,
        settings.keep_for, settings.keep_last, settings.colour,
    )  # fmt: skip
    assert "elsewhere.db" == str(settings.values["store"])
    assert ((), False, "/a:/b") == (settings.plugins, settings.require_isolation, str(settings.values["plugins"]))


def test_folders_and_flags_of_the_file(written, tmp_path):
    settings = load_settings(written(ALL))
    assert ((f"{tmp_path}/plugins", "/srv/plugins"), True) == (settings.plugins, settings.require_isolation)
    assert "true" == str(settings.values["require_isolation"])
    for line, wanted in (
        ("plugins = 'x'", "'plugins' expects a list of paths, got text"),
        ("plugins = [1]", "'plugins' expects a path, got a list"),
        ("require_isolation = 1", "'require_isolation' expects true or false, got a number"),
    ):
        assert f"~/config.toml:1: {wanted}" == refused(written(line))[0]
    variable = "AUTOKESTRA_REQUIRE_ISOLATION"
    assert f"{variable}: expected true or false" == refused(written("", **{variable: "perhaps"}))[0]


def test_each_setting_has_a_variable_of_its_name():
    assert [f"AUTOKESTRA_{each.key.upper()}" for each in SETTINGS] == [each.variable for each in SETTINGS]


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("max_paralel = 3", "~/config.toml:1: unknown key 'max_paralel'", "did you mean 'max_parallel'?"),
        ("# x\n\n[run]\nx = 1", "~/config.toml:3: unknown key 'run'", None),
        ("max_parallel = 3\nmax_parallel = 4", "~/config.toml:2: this is no TOML", None),
        ("max_parallel = ", "~/config.toml:1: this is no TOML", None),
        ("colour = [ ]]", "~/config.toml:1:13: this is no TOML", None),
        ("x = " + "[" * 100_000, "~/config.toml: this is no TOML", None),
        (b"mask = '\xff'", "~/config.toml is not UTF-8 text", "save it as UTF-8"),
        (b"#" * ((1 << 20) + 1), "~/config.toml is larger than 1 MiB", None),
        (
            "\nmax_parallel = '3'",
            "~/config.toml:2: 'max_parallel' expects a whole number from 1 to 1,024, got text",
            None,
        ),
        ("max_parallel = true", "~/config.toml:1: 'max_parallel' expects a whole number from 1 to 1,024, got true or false", None),
        ("max_parallel = 0", "~/config.toml:1: 'max_parallel' expects a whole number from 1 to 1,024, got a number", None),
        ("keep_last = -1", "~/config.toml:1: 'keep_last' expects a whole number from 0 to 1,000,000, got a number", None),
        ("keep_for = 30", "~/config.toml:1: 'keep_for' expects a duration such as 30s, 5m, 2h or 1d, got a number", None),
        ("keep_for = 'x'", "~/config.toml:1: 'keep_for' expects a duration such as 30s, 5m, 2h or 1d, got text", None),
        ("colour = 'red'", "~/config.toml:1: 'colour' expects one of auto, always, never, got text", None),
        ("mask = ''", "~/config.toml:1: 'mask' expects at most 64 printable characters, got text", None),
        ("mask = '\\u001b'\nmask = 1", "~/config.toml:2: this is no TOML", None),
        ("store = 5", "~/config.toml:1: 'store' expects a path, got a number", None),
        ("state = ''", "~/config.toml:1: 'state' expects a path, got text", None),
        ("state = ['a']", "~/config.toml:1: 'state' expects a path, got a list", None),
        ("[state]\na = 1", "~/config.toml:1: 'state' expects a path, got a table", None),
        ("state = 2026-03-01", "~/config.toml:1: 'state' expects a path, got a date", None),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_with_file_and_line(written, text, message, hint):
    said, told = refused(written(text))
    assert message == said
    assert hint is None or hint == told


@pytest.mark.parametrize(
    "line",
    [
        "secret_key = 'akey1-hunter2'", "key = 'hunter2'", "master-key = 'hunter2'", "password = 'hunter2'",
        "db_password = 'hunter2'", "api_token = 'hunter2'", "passphrase = 'hunter2'", "[secrets]\nAPI = 'hunter2'",
        "keys = ['hunter2']", "SECRET_KEY = 'hunter2'",
    ],
)  # fmt: skip
def test_a_key_or_a_secret_is_refused_with_the_reason_and_not_shown(written, line):
    message, hint = refused(written(f"max_parallel = 3\n{line}\n"))
    assert message.startswith("~/config.toml:2: '")
    assert message.endswith("' has no place in this file, which is copied, shared and backed up as no key should be")
    assert "workflow secrets set NAME" in hint
    assert "hunter2" not in message + hint


def test_a_password_within_an_address_is_refused_and_one_of_a_variable_not_shown(written):
    message, hint = refused(written("store = 'postgresql://ada:hunter2@db/x'"))
    assert "~/config.toml:1: 'store' holds a password, and this file is no place for one" == message
    assert "AUTOKESTRA_STORE" in hint
    settings = load_settings(written("", AUTOKESTRA_STORE="postgresql://ada:hunter2@db/x"))
    assert "postgresql://ada:…@db/x" == str(settings.values["store"])


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("AUTOKESTRA_MAX_PARALLEL", "many", "AUTOKESTRA_MAX_PARALLEL: expected a whole number from 1 to 1,024"),
        ("AUTOKESTRA_MAX_PARALLEL", "", "AUTOKESTRA_MAX_PARALLEL: expected a whole number from 1 to 1,024"),
        ("AUTOKESTRA_MAX_PARALLEL", "²", "AUTOKESTRA_MAX_PARALLEL: expected a whole number from 1 to 1,024"),
        ("AUTOKESTRA_MAX_PARALLEL", "1_0", "AUTOKESTRA_MAX_PARALLEL: expected a whole number from 1 to 1,024"),
        ("AUTOKESTRA_KEEP_FOR", "soon", "AUTOKESTRA_KEEP_FOR: expected a duration such as 30s, 5m, 2h or 1d"),
        ("AUTOKESTRA_COLOUR", "", "AUTOKESTRA_COLOUR: expected one of auto, always, never"),
    ],
)
def test_a_variable_that_does_not_fit_is_named(written, variable, text, message):
    assert (message, f"unset {variable}") == refused(written("", **{variable: text}))


def test_a_mask_that_does_not_fit_is_told_in_the_words_of_the_library(written):
    with pytest.raises(SecretsError, match="AUTOKESTRA_MASK"):
        load_settings(written("", AUTOKESTRA_MASK="x" * 65))


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write_is_warned_of(written, tmp_path, mode):
    environ, said = written("max_parallel = 3"), []
    (tmp_path / "config.toml").chmod(mode)
    assert 3 == load_settings(environ, notify=said.append).max_parallel
    assert [
        f"warning: others can write {tmp_path}/config.toml, and so decide how your workflows run: "
        f"chmod go-w {tmp_path}/config.toml"
    ] == said
    (tmp_path / "config.toml").chmod(0o644)
    load_settings(environ, notify=said.append)
    assert 1 == len(said)


def test_a_file_that_cannot_be_read_is_an_error(written, tmp_path):
    (tmp_path / "config.toml").mkdir()
    with pytest.raises(IsADirectoryError):
        load_settings({"AUTOKESTRA_HOME": str(tmp_path)})


def test_a_home_that_is_a_file_is_left_to_who_needs_it(tmp_path):
    (tmp_path / "home").write_text("x")
    assert {"default"} == {
        each.source for each in load_settings({"AUTOKESTRA_HOME": f"{tmp_path}/home"}).values.values()
    }


@pytest.mark.parametrize(
    ("address", "seen"),
    [
        ("postgresql://ann@db/x", "postgresql://ann@db/x"),
        ("postgresql://ann:hunter2@db/x", "postgresql://ann:…@db/x"),
        ("postgresql://ann:hunter2@wo/rd:x@db/x", "postgresql://ann:…@db/x"),
        ("postgresql://db/x?password=hunter2&a=b", "postgresql://db/x?password=…&a=b"),
        ("postgresql://db/x?a=b&sslpassword=hunter2", "postgresql://db/x?a=b&sslpassword=…"),
    ],
)
def test_an_address_is_shown_without_its_password(address, seen):
    assert seen == shown(address)
