"""The frame of the command line: what is imported when, and what each kind of failure looks like from outside."""

import errno
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest

import autokestra_secrets
from autokestra import errors as engine_errors
from autokestra.cli import main as cli
from autokestra.cli.groups import LazyGroup
from autokestra.errors import AutokestraError


@pytest.fixture(autouse=True)
def debugging(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave this test process open to its debugger; closing is tested in processes of their own."""
    monkeypatch.setattr(cli, "protect", lambda: None)


failures: list[BaseException] = []


def raise_the_failure() -> None:
    raise failures.pop()


fail = click.Command("fail", callback=raise_the_failure)
one = click.Command("one", callback=lambda: 1)
text = click.Command("text", callback=lambda: "text")


@pytest.fixture(autouse=True)
def commands_of_this_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the frame find the commands above, by the same way as all others."""
    own = {name: cli.Entry(f"{__name__}:{name}", name) for name in ("fail", "one", "text")}
    monkeypatch.setattr(cli.root, "entries", {**cli.COMMANDS, **own})


def outcome(failure: BaseException, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Let a command fail and return its code and what it said."""
    failures.append(failure)
    code = cli.main(["fail"])
    captured = capsys.readouterr()
    assert "" == captured.out
    return code, captured.err


@pytest.mark.parametrize(
    ("failure", "code", "said"),
    [
        (click.exceptions.Exit(3), 3, ""),
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
        (click.Abort(), 130, "error: interrupted\n"),
        (AutokestraError("it broke"), 1, "error: it broke\n"),
        (AutokestraError("it broke", hint="mend it"), 1, "error: it broke\nhint: mend it\n"),
        (click.ClickException("Odd."), 2, "error: odd\n"),
        (
            FileNotFoundError(errno.ENOENT, "No such file or directory", "no\nb/c"),
            2,
            "error: no such file or directory\nhint: look at what is there: ls -la .\n",
        ),
        (
            FileNotFoundError(errno.ENOENT, "No such file or directory", "app.env"),
            2,
            "error: no such file or directory: 'app.env'\nhint: look at what is there: ls -la .\n",
        ),
        (
            IsADirectoryError(errno.EISDIR, "Is a directory", b"/etc"),
            2,
            "error: is a directory: '/etc'\nhint: name a file in it\n",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "/etc/p q"),
            9,
            "error: permission denied: '/etc/p q'\nhint: look at: ls -ld '/etc/p q'\n",
        ),
        (
            NotADirectoryError(errno.ENOTDIR, "Not a directory", "/dev/null/a"),
            2,
            "error: not a directory: '/dev/…'\nhint: look at what is there: ls -la /dev\n",
        ),
        (OSError(errno.ENOSPC, "No space left on device"), 8, "error: no space left on device\n"),
        (
            OSError(errno.EXDEV, "Cross-device", "/etc/a", None, "/usr/b=c"),
            8,
            "error: cross-device: '/etc/a' and '/usr/…'\n",
        ),
        (OSError("no number"), 8, "error: oserror\n"),
    ],
)
def test_each_failure_is_one_line_and_a_code(
    failure: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (code, said) == outcome(failure, capsys)


def test_a_working_directory_that_is_gone_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    for names, shown in (((), ""), (("a.txt",), ": 'a.txt'")):
        code, said = outcome(FileNotFoundError(errno.ENOENT, "No such file", *names), capsys)
        assert 2 == code
        first, second = said.splitlines()
        assert f"error: no such file, and the working directory is gone{shown}" == first
        assert "hint: go to one that is there, with: cd" == second


def leaves(base: type[Exception]) -> list[type[Exception]]:
    return [leaf for child in base.__subclasses__() for leaf in [child, *leaves(child)]]


def test_every_leaf_of_both_error_trees_has_a_documented_code() -> None:
    import_module("autokestra_secrets.errors")
    assert engine_errors.UsageError in leaves(AutokestraError)
    documented = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
    for leaf in leaves(AutokestraError) + leaves(autokestra_secrets.SecretsError):
        assert leaf.exit_code in documented, leaf  # type: ignore[attr-defined]


def test_a_secret_error_keeps_its_code_and_hint(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        4,
        "error: secret 'A' not found\nhint: store it with: workflow secrets set A\n",
    ) == outcome(autokestra_secrets.SecretNotFoundError("A"), capsys)


def test_a_bug_is_owned_up_to_by_its_type_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AUTOKESTRA_DEBUG", raising=False)
    code, said = outcome(KeyError("hunter2"), capsys)
    assert 70 == code
    assert said.startswith("error: this is a bug in autokestra: KeyError\nhint: ")
    assert 2 == said.count("\n")
    assert "hunter2" not in said


def test_a_bug_shows_where_but_not_what_when_debugging(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AUTOKESTRA_DEBUG", "1")
    failure = ValueError("hunter2")
    failure.__cause__ = KeyError("hunter2")
    failure.__cause__.__cause__ = failure  # a ring must not hang the report
    failure.add_note("hunter2")
    code, said = outcome(failure, capsys)
    assert 70 == code
    assert "builtins.ValueError at" in said
    assert "builtins.KeyError at" in said
    assert f"{__file__}:" in said
    assert " in raise_the_failure\n" in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["secrts"], "error: no such command\nhint: did you mean secrets?\n"),
        (["zzz"], "error: no such command\nhint: workflow --help\n"),
        (["--nope"], "error: no such option\nhint: workflow --help\n"),
        (["secrets", "get"], "error: missing argument 'NAME'\nhint: workflow secrets get --help\n"),
        (["secrets", "get", "A", "--quite"], "error: no such option\nhint: did you mean --quiet?\n"),
    ],
)
def test_a_usage_error_is_one_line_and_what_to_type(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 2 == cli.main(arguments)
    captured = capsys.readouterr()
    assert ("", said) == (captured.out, captured.err)


def test_no_command_is_a_usage_error_that_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == cli.main([])
    captured = capsys.readouterr()
    assert "" == captured.out
    assert captured.err.startswith("Usage: workflow ")


def test_what_a_command_returns_is_the_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert (1, 0) == (cli.main(["one"]), cli.main(["text"]))
    assert "" == capsys.readouterr().err


def test_the_frame_knows_its_commands_and_no_others() -> None:
    context = click.Context(cli.root, **cli.root.context_settings)
    assert {*cli.COMMANDS} < {*cli.root.list_commands(context)}
    assert cli.root.get_command(context, "nope") is None


def test_the_version_is_that_of_the_distribution(capsys: pytest.CaptureFixture[str]) -> None:
    from importlib.metadata import version

    assert 0 == cli.main(["--version"])
    assert f"autokestra {version('autokestra')}\n" == capsys.readouterr().out


def test_the_summaries_of_the_help_are_those_of_the_commands() -> None:
    """The table in main.py stands for modules that the help does not import; it must not drift from them."""
    tables = [cli.COMMANDS]
    for table in tables:
        for name, entry in table.items():
            module, _, attribute = entry.target.partition(":")
            command = getattr(import_module(module), attribute)
            assert name == command.name
            assert entry.summary == command.help.strip().split("\n")[0]
            if isinstance(command, LazyGroup):
                tables.append(command.entries)
    assert any("get" in table for table in tables)


def imported_by(*arguments: str) -> set[str]:
    script = "import sys; from autokestra.cli.main import main; main(sys.argv[1:]); print(*sorted(sys.modules))"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COV")}  # it imports a lot
    environ |= {"AUTOKESTRA_HOME": "/nonexistent"}
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], env=environ, capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


def test_the_help_lists_all_commands_and_imports_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == cli.main(["-h"])
    shown = capsys.readouterr().out
    for name, entry in cli.COMMANDS.items():
        assert f"  {name} " in shown
        assert entry.summary in shown
    imported = imported_by("--help")
    assert not {entry.target.partition(":")[0] for entry in cli.COMMANDS.values()} & imported
    assert not {name for name in imported if name.startswith("autokestra_secrets")}


@pytest.mark.parametrize("arguments", [["secrets", "--help"], ["secrets", "get", "A"]])
def test_a_secret_is_read_without_templates_finder_models_and_tables(arguments: list[str]) -> None:
    heavy = {"jinja2", "pydantic", "rich", "hyperscan", "aiosql", "yaml", "httpx", "asyncio", "pathlib", "json"}
    assert set() == heavy & imported_by(*arguments)
