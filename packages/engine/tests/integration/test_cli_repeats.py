"""What the command line repeats of what was typed: nothing that may be a value put in the wrong place.

A canary stands in the place of each argument and each option of every command of `workflow secrets`, in the shapes
in which people mistype. What fails must not say it.
"""

import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import pytest

from autokestra.cli import main as cli
from autokestra.cli.groups import LazyGroup
from autokestra_secrets import SecretStore

CANARY = "tok4f9c2e7a81"
SHAPES = {
    "NAME=VALUE": f"API_TOKEN={CANARY}",
    "with a space": f"{CANARY} {CANARY}",
    "an address": f"postgres://ada:{CANARY}@x/y",
    "another address": f"{CANARY}://x",
    "with a dot": f"eyJ.{CANARY}.eyJ",
    "base64": f"/{CANARY}/aGVs+bG8=",
    "an option": f"--{CANARY}",
    "a short option": f"-{CANARY}",
    "too long a name": CANARY * 30,
    "controls": f"\x1b[2J{CANARY}\n",
}
# Of a legal name we do say that it is not there: nobody could mend a list of names otherwise.
BARE = {**SHAPES, "bare": CANARY}
NO_NAMES = {shape: text for shape, text in SHAPES.items() if "option" not in shape}  # '-' may be in a name


def commands(group: click.Group, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


SECRETS = import_module("autokestra.cli.secrets").secrets
COMMANDS = dict(commands(SECRETS, ("secrets",)))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with one secret in it, and an empty directory to be in."""
    for name in [name for name in os.environ if name.startswith("AUTOKESTRA_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AUTOKESTRA_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(cli, "protect", lambda: None)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with SecretStore.open() as store:
        store.set("API", "a-value-of-its-own")
    return tmp_path


def refused(words: list[str], capfd: pytest.CaptureFixture[str]) -> bool:
    """Run, expect no word of the canary where it failed, and say whether it did."""
    code = cli.main(words)
    said = capfd.readouterr()
    for file in Path.cwd().glob("*tok*"):  # made by a line that did not fail: from now on it would be a path
        file.unlink()
    if code != 0:
        assert CANARY not in said.out + said.err, (words, said)
        assert said.err.startswith(("error: ", "Usage: ", "warning: ")), (words, said)
    return code != 0


# Words that each command does with where the canary is not.
USUAL = {"name": "API", "names": "API", "old": "API", "new": "NEW", "version": "1", "slot": "0", "value": "x"}
USUAL |= {"file": "absent/file", "paths": "absent/file", "target": "absent/file", "command": "true"}


def lines(path: tuple[str, ...], command: click.Command) -> Iterator[list[str]]:
    """Yield lines of `command` with the canary in each place in turn, and after all of them."""
    arguments = [each for each in command.params if isinstance(each, click.Argument)]
    words = {each.name: USUAL[str(each.name)] for each in arguments if each.required}
    for place in arguments:
        for shape, text in (SHAPES if place.name in ("name", "names", "old", "new") else BARE).items():
            guard = [] if "option" in shape else ["--"]
            yield [*path, *guard, *({**words, place.name: text}.values())]
    for option in command.params:
        if isinstance(option, click.Option) and not option.is_flag and option.name not in ("description", "label"):
            for text in (NO_NAMES if option.name == "only" else BARE).values():
                needed = [] if path != ("secrets", "copy") or option.name == "target" else ["--to", "absent/file"]
                yield [*path, *needed, option.opts[-1], text, *words.values()]
    for option in command.params:
        if isinstance(option, click.Option) and option.is_flag and option.name != "help":
            yield [*path, f"{option.opts[-1]}={CANARY}"]
    if "exec" not in path and not any(each.nargs == -1 for each in arguments):
        for text in BARE.values():
            yield [*path, *words.values(), text, text, text]


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_what_fails_repeats_no_value(path: tuple[str, ...], capfd: pytest.CaptureFixture[str]) -> None:
    failed = [line for line in lines(path, COMMANDS[path]) if refused(line, capfd)]
    assert failed  # of a command that never fails, this has tested nothing


def groups(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name in group.list_commands(click.Context(group)):
        found = group.get_command(click.Context(group), name)
        if isinstance(found, LazyGroup):
            yield from groups(found, (*path, name))


@pytest.mark.parametrize("path", list(groups(cli.root)), ids=" ".join)
def test_no_group_repeats_a_word_that_is_no_command(path: tuple[str, ...], capfd: pytest.CaptureFixture[str]) -> None:
    assert all(refused([*path, text], capfd) for text in BARE.values())


def test_a_run_repeats_no_input_that_the_workflow_has_not(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = home / "here" / "x.yaml"
    file.write_text(
        "id: x\ninputs: {n: {type: integer}}\ntasks: [{id: a, type: core/shell.run, inputs: {script: 'true'}}]\n"
    )
    assert refused(["run", "x.yaml", "-i", f"{CANARY}=1"], capfd)
    assert refused(["run", "x.yaml", "-i", f"n={CANARY}"], capfd)
    assert refused(["run", "x.yaml", f"password={CANARY}"], capfd)
    assert refused(["validate", f"password={CANARY}"], capfd)
    assert refused(["validate", f"postgres://ada:{CANARY}@x/y"], capfd)
    file.write_text(f"id: x\nsecrets: ['API_TOKEN={CANARY}', 'AUTOKESTRA_X={CANARY}']\ntasks: []\n")
    assert refused(["validate", "x.yaml"], capfd)
    task = "{id: a, type: core/shell.run, env: {U: '{{ secrets.API_TOKEN }}'}, inputs: {script: 'true'}}"
    file.write_text(f"id: x\nsecrets: ['API_TOKEN={CANARY[:4]}']\ntasks: [{task}]\n")
    assert 3 == cli.main(["validate", "x.yaml"])
    said = capfd.readouterr().err
    assert "'API_TOKEN' is not declared" in said
    assert "API_TOKEN=" not in said, "not as what may have been meant either"


def test_a_key_in_the_variable_for_its_file_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for text in BARE.values():
        monkeypatch.setenv("AUTOKESTRA_SECRET_KEY_FILE", text)
        assert refused(["secrets", "get", "API"], capfd)
        assert refused(["secrets", "key", "show"], capfd)


def test_a_prefix_is_not_repeated_and_neither_is_a_variable(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(f"APP_{CANARY}.x", "1")
    assert refused(["secrets", "import", "--from-env", "APP_"], capfd)
    assert refused(["secrets", "import", "--from-env", f"API_TOKEN={CANARY}"], capfd)
