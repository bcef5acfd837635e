"""Every example runs as its README says, and the demo shows what it claims to show."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
PENGUINS = EXAMPLES / "penguins"
TOKEN = """pgn/4f9c2e7a81d35b60+='"&"""


@pytest.fixture
def server() -> Iterator[str]:
    """The address of the penguins API, which wants TOKEN."""
    with subprocess.Popen(
        [sys.executable, PENGUINS / "server.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        process.stdin.write(TOKEN + "\n")
        process.stdin.close()
        yield process.stdout.readline().strip()
        process.terminate()


def ask(address: str, authorization: str | None = f"Bearer {TOKEN}") -> tuple[int, object]:
    request = urllib.request.Request(address)
    if authorization is not None:
        request.add_header("Authorization", authorization)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.mark.parametrize("folder", [path for path in sorted(EXAMPLES.iterdir()) if path.is_dir()], ids=lambda p: p.name)
def test_an_example_explains_itself_and_is_valid(workflow, folder: Path, request: pytest.FixtureRequest) -> None:
    page = (folder / "README.md").read_text(encoding="utf-8")
    files = sorted(folder.glob("*.yaml"))
    assert files
    assert [] == [file.name for file in files if f"]({file.name})" not in page]
    if folder.name == "plugin-python":
        workflow.executable = request.getfixturevalue("plugin_environment") / "workflow"
    plugins = ("--plugins", folder / "plugins") if (folder / "plugins").is_dir() else ()
    done = workflow("validate", "--strict", *files, *plugins)
    assert 0 == done.returncode, done.stderr


def test_the_list_has_every_example() -> None:
    listed = re.findall(r"\]\((.+)/README\.md\)", (EXAMPLES / "README.md").read_text(encoding="utf-8"))
    assert sorted(path.parent.name for path in EXAMPLES.glob("*/README.md")) == sorted(listed)


def test_the_penguins_server_answers_only_those_who_know_the_token(server: str) -> None:
    assert 344 == len(ask(f"{server}/penguins")[1])
    status, gentoo = ask(f"{server}/penguins?species=Gentoo")
    assert (200, 124, {"Gentoo"}) == (status, len(gentoo), {bird["species"] for bird in gentoo})
    assert (46.1, None) == (gentoo[0]["bill_length_mm"], ask(f"{server}/penguins")[1][3]["body_mass_g"])
    assert 404 == ask(f"{server}/elephants")[0]
    for wrong in (None, "", TOKEN, f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"bearer {TOKEN}", "Bearer Größe"):
        header = wrong if wrong is None else wrong.encode().decode("latin-1")
        assert (401, {"error": "a valid token is needed"}) == ask(f"{server}/penguins", header)


def test_the_penguins_are_summed_up_in_a_report(workflow, server: str, tmp_path: Path) -> None:
    workflow.ok("secrets", "set", "API_TOKEN", input=TOKEN)
    done = workflow("run", PENGUINS / "penguins.yaml", "-i", f"api={server}", "-i", f"folder={tmp_path}")
    assert (0, "") == (done.returncode, done.stderr), done.stdout
    with (tmp_path / "penguins-report.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    # Means as published by the authors of the data: palmerpenguins, "Get started".
    assert [
        ["species", "penguins", "bill_length_mm", "body_mass_g"],
        ["Adelie", "152", "38.8", "3700.7"],
        ["Chinstrap", "68", "48.8", "3733.1"],
        ["Gentoo", "124", "47.5", "5076.0"],
    ] == rows
    leaked = [line for line in done.stdout.splitlines() if line.startswith("[leak] ")]
    for line in (
        "[leak] plain: ***SECRET***",
        "[leak] in two pieces: ***SECRET***",
        "[leak] in a URL: https://example.org/?token=***SECRET***",
        '[leak] in JSON: {"token": "***SECRET***"}',
        r'[leak] in JSON in JSON: "{\"token\": \"***SECRET***\"}"',
        "[leak] in a shell command: curl -H 'Authorization: Bearer ***SECRET***'",
        "[leak] on stderr: ***SECRET***",
        "[leak] RuntimeError: the server refused ***SECRET***",
    ):
        assert line in leaked
    for begin in ("in colours: ", "in base64: ", "in base64, twice: ", "in hex: ", "in a literal: "):
        assert any(line.startswith(f"[leak] {begin}") and "***SECRET***" in line for line in leaked), begin
    assert any("Traceback" in line for line in leaked)
    assert done.stdout.splitlines()[-1].startswith("masked ")
    for form in ("plain 6", "shell 2", "base64 1", "double base64 1", "hex 1", "json 1", "nested json 1", "percent 1"):
        assert form in done.stdout.splitlines()[-1]
    assert TOKEN not in done.stdout


def test_a_wrong_token_fails_the_fetch_and_skips_the_rest(workflow, server: str, tmp_path: Path) -> None:
    workflow.ok("secrets", "set", "API_TOKEN", input="not-the-right-token")
    text = (PENGUINS / "penguins.yaml").read_text().replace("backoffSeconds: 1", "backoffSeconds: 0")
    file = tmp_path / "penguins.yaml"
    file.write_text(text)
    done = workflow("run", file, "-i", f"api={server}")
    assert done.returncode == 1
    assert "HTTP status 401 Unauthorized, expected 2xx" in done.stdout
    assert not (tmp_path / "penguins-report.csv").exists()


# --- the demo -----------------------------------------------------------------------------------------------------


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """A folder for temporary files that has to be empty in the end."""
    path = tmp_path / "temporary"
    path.mkdir()
    return path


@pytest.fixture
def demo(workflow, temporary: Path) -> Callable[[Path], subprocess.Popen[str]]:
    """Start a demo: `demo(folder)`."""

    def start(folder: Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, folder / "demo.py"],
            env=workflow.environment({"TMPDIR": str(temporary)}),
            cwd=workflow.user,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    return start


def test_the_demo_shows_the_report_and_finds_the_token_nowhere(demo, home: Path, temporary: Path) -> None:
    run = demo(PENGUINS)
    output, errors = run.communicate(timeout=120)
    assert (0, "") == (run.returncode, errors), output
    lines = [line.strip() for line in output.splitlines()]
    assert "[leak] plain: ***SECRET***" in lines
    assert any(line.startswith("masked ") and "API_TOKEN" in line for line in lines)
    assert ["Gentoo", "124", "47.5", "5076.0"] in [line.split() for line in lines]
    assert any(line.startswith("control: planted copies were found") for line in lines)
    searched = {line.split()[0] for line in lines if line.endswith(" bytes")}
    assert {
        "home/secrets.db",
        "home/state.db",
        "home/state.db-wal",
        "home/state.db-shm",
        "penguins-report.csv",
        "run.stdout",
        "run.stderr",
    } <= searched
    assert lines[-1].endswith("found nowhere")
    assert [] == list(temporary.iterdir())
    assert not home.exists(), "it has a home of its own"


def test_the_demo_fails_when_the_token_is_somewhere(demo, tmp_path: Path, temporary: Path) -> None:
    """A task that writes the token into a file beside the report, backwards: no masker can help there."""
    folder = tmp_path / "copy"
    shutil.copytree(PENGUINS, folder)
    file = folder / "penguins.yaml"
    text = file.read_text()
    for before, after in (
        ('inputs: {token: "{{', 'inputs: {folder: "{{ inputs.folder }}", token: "{{'),
        ('print("plain:", token)', 'open(inputs["folder"] + "/leaked", "w").write(token[::-1])'),
    ):
        assert before in text
        text = text.replace(before, after)
    file.write_text(text)
    run = demo(folder)
    output, errors = run.communicate(timeout=120)
    assert run.returncode == 1, output + errors
    assert "FOUND in leaked: reversed" in output
    assert "the token stands in clear" in errors
    assert [] == list(temporary.iterdir())


@pytest.mark.parametrize("everybody", [True, False], ids=["the terminal's Ctrl-C", "a signal to the demo alone"])
def test_an_interrupted_demo_leaves_nothing_behind(demo, temporary: Path, everybody: bool) -> None:
    run = demo(PENGUINS)
    for line in run.stdout:
        if "[summary] started" in line:
            break
    (os.killpg if everybody else os.kill)(run.pid, signal.SIGINT)
    output, errors = run.communicate(timeout=120)
    assert run.returncode == 130, output + errors
    assert "Traceback" not in output + errors
    assert [] == list(temporary.iterdir())
    deadline = time.monotonic() + 30
    while members := [pid for pid in os.listdir("/proc") if pid.isdigit() and session(int(pid)) == run.pid]:
        assert time.monotonic() < deadline, members
        time.sleep(0.05)


def session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None
