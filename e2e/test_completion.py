"""Completion in real shells, on a terminal: what a key press offers, and that it runs, makes, opens and tells nothing."""

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pexpect
import pytest

from book.commands import commands
from e2e.conftest import COMMAND, SECONDS, Workflow

SHELLS = ("bash", "zsh", "fish")
TAB, SHOW = "\t", "\x07"  # Ctrl-G, which each shell is told to answer with the line as it stands

BEGIN = {
    "bash": (
        ["--norc", "--noprofile", "-i"],
        """bind 'set enable-bracketed-paste off'; bind -x '"\\C-g": echo "<$READLINE_LINE>"'; source ../completion""",
    ),
    "zsh": (
        ["-f", "-i"],
        "unsetopt zle_bracketed_paste; show() { print -r -- \"<$BUFFER>\" }; zle -N show; bindkey '^G' show;"
        " autoload -U compinit; compinit -u -D; source ../completion",
    ),
    "fish": (["--no-config", "-i"], 'bind \\cg \'echo "<"(commandline)">"\'; source ../completion'),
}
SECRETS = {"API_TOKEN": "value-of-the-token", "api_other": "value-of-another", "Zebra-9": "value-of-a-zebra"}


class Shell(pexpect.spawn):  # type: ignore[misc]  # generic in its stubs only
    """A shell that has read our script: `line(keys)` is what stands on its line after these keys."""

    def line(self, keys: str) -> str:
        """Type `keys` and a TAB, and return the line; the line is then empty again."""
        self.send(keys + TAB + SHOW)
        self.expect(r"<([^<>\r\n]*)>")
        found = self.match[1].decode()
        self.send("\x15")  # Ctrl-U
        return found.rstrip()

    def offers(self, keys: str, *words: str) -> None:
        """Type `keys` and two TABs, and expect all `words` on the screen."""
        self.send(keys + TAB + TAB)
        left = sorted(words)
        while left:
            del left[self.expect([rf"\b{word}\b" for word in left])]
        self.send("\x03")


@pytest.fixture
def filled(workflow: Workflow) -> Workflow:
    """A store with three secrets and one execution."""
    (workflow.user.parent / "secrets.json").write_text(json.dumps(SECRETS), encoding="utf-8")
    workflow.ok("secrets", "import", workflow.user.parent / "secrets.json")
    workflow.ok("init")
    workflow.ok("run", "hello.yaml", "--quiet")
    return workflow


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest, filled: Workflow) -> Iterator[Shell]:
    """One of the three shells, in the user's directory, with the script read."""
    with opened(request.param, filled) as child:
        yield child


class opened:
    """A shell as a context: it is there when it answers, and killed in the end."""

    def __init__(self, name: str, workflow: Workflow, path: str | None = None) -> None:
        if shutil.which(name) is None:
            pytest.skip(f"there is no {name} here; apt-get install {name}")
        script = workflow.user.parent / "completion"
        script.write_text(workflow.ok("completion", name), encoding="utf-8")
        arguments, begin = BEGIN[name]
        environ = workflow.environment({"TERM": "xterm", "PATH": path or f"{COMMAND.parent}:{os.environ['PATH']}"})
        self.child = Shell(
            name, arguments, env=environ, cwd=str(workflow.user), timeout=SECONDS, dimensions=(50, 200), echo=False
        )
        self.child.sendline(f"{begin}; echo rea''dy")
        self.child.expect_exact("ready")

    def __enter__(self) -> Shell:
        return self.child

    def __exit__(self, *_: object) -> None:
        self.child.close(force=True)


def answer(workflow: Workflow, line: str, shell: str = "zsh", **env: str | None) -> list[str]:
    """Return the words that the command offers for a line, without their help."""
    done = workflow("completion", shell, "--answer", input=line, env=env)
    assert (0, "") == (done.returncode, done.stderr)
    return [row.split("\t")[1] if row.startswith("word\t") else f"<{row}>" for row in done.stdout.splitlines()]


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


# --- on a terminal ------------------------------------------------------------------------------------------------


def test_a_shell_completes_commands_options_names_ids_tasks_and_files(shell: Shell, filled: Workflow) -> None:
    assert "workflow validate" == shell.line("workflow val")
    assert "workflow secrets rollback" == shell.line("workflow secrets roll")
    assert "autokestra secrets verify" == shell.line("autokestra secrets ver")
    assert "workflow run --max-parallel" == shell.line("workflow run --max")
    assert "workflow secrets get API_TOKEN" == shell.line("workflow secrets get API")
    assert "workflow secrets delete API_TOKEN Zebra-9" == shell.line("workflow secrets delete API_TOKEN Z")
    assert "workflow execution logs latest --task count" == shell.line("workflow execution logs latest --task c")
    assert "workflow execution logs latest --task=count" == shell.line("workflow execution logs latest --task=c")
    assert "workflow run hello.yaml" == shell.line("workflow run hel")
    id_ = filled.ok("execution", "list").splitlines()[1].split()[0]
    assert f"workflow execution show {id_}" == shell.line(f"workflow execution show {id_[:4]}")


def test_a_shell_offers_all_that_fit(shell: Shell) -> None:
    shell.offers("workflow secrets get ", *SECRETS)


def test_the_value_of_a_secret_is_not_completed(shell: Shell) -> None:
    assert "workflow secrets set API_TOKEN va" == shell.line("workflow secrets set API_TOKEN va")


def test_nothing_in_the_folder_is_run_by_a_key_press(shell: Shell, filled: Workflow) -> None:
    planted = filled.user / "workflow"
    planted.write_text("#!/bin/sh\ntouch planted-was-run\n", encoding="utf-8")
    planted.chmod(0o755)
    shell.line("./workflow secrets get API")
    assert "workflow secrets get API_TOKEN" == shell.line("workflow secrets get API")
    assert not (filled.user / "planted-was-run").exists()


@pytest.mark.parametrize("name", SHELLS)
def test_the_line_is_in_no_argument(name: str, filled: Workflow, tmp_path: Path) -> None:
    """Arguments of processes can be read by every user; a line may hold what should not be."""
    folder, seen = tmp_path / "bin", tmp_path / "seen"
    folder.mkdir()
    spy = folder / "workflow"
    spy.write_text(
        f"""#!/bin/sh\ncat > "{seen}.line"\necho "$*" > "{seen}.arguments"\nenv > "{seen}.environment"\n""",
        encoding="utf-8",
    )
    spy.chmod(0o755)
    with opened(name, filled, path=f"{folder}:{os.environ['PATH']}") as shell:
        shell.line("workflow secrets set NAME hunter2-hunter2")
    read = {kind: Path(f"{seen}.{kind}").read_text(encoding="utf-8") for kind in ("line", "arguments", "environment")}
    assert "workflow secrets set NAME hunter2-hunter2" == read["line"].strip()
    assert f"completion {name} --answer" == read["arguments"].strip()
    assert "hunter2" not in read["environment"]


# --- what is answered ---------------------------------------------------------------------------------------------


def test_names_come_from_the_store_that_the_line_names(filled: Workflow, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    filled.ok("secrets", "set", "ELSEWHERE", "--store", other, input="value-elsewhere")
    assert ["ELSEWHERE"] == answer(filled, f"workflow secrets --store {other} get ")
    assert ["ELSEWHERE"] == answer(filled, f"workflow secrets get --store {other} ")
    assert ["ELSEWHERE"] == answer(filled, "workflow secrets get ", AUTOKESTRA_STORE=str(other))
    assert [] == answer(filled, f"workflow secrets --store {other}.missing get ")


def test_only_fish_and_zsh_get_the_whole_word_of_an_option_with_its_value(filled: Workflow) -> None:
    line = "workflow graph x.yaml --format=me"
    assert (["--format=mermaid"], ["mermaid"]) == (answer(filled, line, "fish"), answer(filled, line, "bash"))


@pytest.mark.parametrize("line", ["", "workflow", "workflow nothing ", 'workflow secrets get "', "workflow --version "])
def test_a_line_that_makes_no_sense_yet_is_no_error(workflow: Workflow, line: str) -> None:
    answer(workflow, line)


def test_without_a_store_and_executions_there_is_nothing_and_nothing_is_made(workflow: Workflow) -> None:
    for line in ("secrets get ", "execution show ", "execution logs latest --task ", "execution resume x --from "):
        assert [] == answer(workflow, f"workflow {line}")
    assert not workflow.home.exists()


def test_a_key_is_not_needed_and_no_file_changes(filled: Workflow) -> None:
    (filled.home / "secret.key").unlink()
    before = tree(filled.home)
    assert sorted(SECRETS) == answer(filled, "workflow secrets get ")
    assert "latest" == answer(filled, "workflow execution cancel ")[0]
    assert ["greet", "count"] == answer(filled, "workflow execution logs latest --task ")
    assert before == tree(filled.home)


def test_latest_has_the_tasks_of_what_a_person_began(filled: Workflow) -> None:
    (filled.user / "sub.yaml").write_text("id: sub\ntasks: [{id: inner, type: core/assert, inputs: {that: true}}]\n")
    (filled.user / "outer.yaml").write_text(
        "id: outer\ntasks: [{id: call, type: core/workflow.run, inputs: {file: sub.yaml}}]\n"
    )
    filled.ok("run", filled.user / "outer.yaml")
    assert ["call"] == answer(filled, "workflow execution logs latest --task ")


def test_a_word_that_a_shell_would_run_is_not_offered(filled: Workflow) -> None:
    """An edited file is read by whoever presses a key; what is then in the line is run by the next Enter."""
    with sqlite3.connect(filled.home / "state.db") as state:
        state.execute("PRAGMA foreign_keys = OFF")
        state.execute("UPDATE task_run SET task_id = '$(touch${IFS}run)' WHERE task_id = 'greet'")
        state.execute("UPDATE task_run SET task_id = '--plugins=/tmp' WHERE task_id = 'count'")
        state.execute("UPDATE execution SET id = 'x;reboot'")
        state.execute("UPDATE task_run SET execution_id = 'x;reboot'")
    state.close()
    assert ["latest"] == answer(filled, "workflow execution show ")
    assert [] == answer(filled, "workflow execution logs latest --task ")
    assert [] == answer(filled, "workflow execution logs 'x;reboot' --task ")
    with sqlite3.connect(filled.home / "secrets.db") as store:
        store.execute("UPDATE secrets SET name = '`reboot`' WHERE name = 'Zebra-9'")
    store.close()
    assert not [word for word in answer(filled, "workflow secrets get ") if "reboot" in word]


def test_a_damaged_file_is_no_error(filled: Workflow) -> None:
    for name in ("state.db", "secrets.db"):
        (filled.home / name).write_bytes(b"no database " * 1000)
    assert [] == answer(filled, "workflow execution show ")
    assert [] == answer(filled, "workflow secrets get ")
    (filled.home / "config.toml").write_text("not = [toml", encoding="utf-8")
    assert [] == answer(filled, "workflow secrets get ")


def test_no_server_is_spoken_with(workflow: Workflow) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"postgresql://somebody:hunter2@127.0.0.1:{server.getsockname()[1]}/x"
        assert [] == answer(workflow, "workflow secrets get ", AUTOKESTRA_STORE=url)
        assert [] == answer(workflow, f"workflow execution show --state {url} ")
        server.settimeout(0.1)
        with pytest.raises(TimeoutError):
            server.accept()


# --- what it costs, and what is left out --------------------------------------------------------------------------


def test_a_command_is_completed_without_the_libraries_that_run_one(workflow: Workflow) -> None:
    program = (
        "import io, sys\n"
        "sys.stdin = io.TextIOWrapper(io.BytesIO(b'workflow secrets ro'))\n"
        "from autokestra.cli.main import main\n"
        "code = main(['completion', 'bash', '--answer'])\n"
        "print(code, *({'pydantic', 'aiosql', 'jinja2', 'hyperscan', 'httpx', 'yaml'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=workflow.environment(), capture_output=True, text=True, check=True
    )
    assert "word\trollback\tStore an earlier version of a secret again, as the newest.\n0\n" == done.stdout


# What only the one who types knows.
FREE: dict[str, set[str]] = {
    "workflow run": {"inputs", "max_parallel", "pool"},
    "workflow execution list": {"most"},
    "workflow execution resume": {"max_parallel", "pool"},
    "workflow execution prune": {"older_than", "keep_last"},
    "workflow worker": {"pool", "tags", "slots"},
    "workflow plugin new": {"name"},
    "workflow secrets set": {"value", "description", "tags", "expires", "if_version", "keep"},
    "workflow secrets get": {"version"},
    "workflow secrets rename": {"new"},
    "workflow secrets rollback": {"version"},
    "workflow secrets describe": {"description", "tags", "expires"},
    "workflow secrets import": {"prefix"},
    "workflow secrets exec": {"only", "prefix"},
    "workflow secrets key add": {"label"},
    "workflow secrets key remove": {"slot"},
}


def test_every_argument_and_option_is_completed_or_known_to_be_free() -> None:
    found: dict[str, set[str]] = {}
    for context in commands():
        for parameter in context.command.params:
            if isinstance(parameter, click.Option) and (parameter.is_flag or parameter.count):
                continue
            suggest: Callable[..., object] | None = parameter._custom_shell_complete
            if suggest is None and not isinstance(parameter.type, click.Choice | click.Path):
                found.setdefault(context.command_path, set()).add(str(parameter.name))
    assert FREE == found
