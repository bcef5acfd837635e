"""`workflow run` with secrets: they arrive, byte for byte, where they were declared and nowhere else, and are masked."""

import base64
import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from autokestra_secrets import SecretMasker
from e2e.runs import saved

TOKEN = "tok-4f9c2e7a81d35b60"


def shown(workflow, *arguments: str):
    return json.loads(workflow.ok("execution", "show", "latest", "--json", *arguments))


# --- from the store, from the environment -------------------------------------------------------------------------

PRINTS = """\
    id: prints
    secrets: [API_TOKEN]
    tasks:
      - id: print
        type: core/shell.run
        env: {TOKEN: "{{ secrets.API_TOKEN }}"}
        inputs:
          script: |
            printf %s "$TOKEN" > arrived
            echo "calling with $TOKEN"
            echo "as base64: $(printf 'user:%s' "$TOKEN" | base64)"
            echo "on stderr: $TOKEN" >&2
"""


def test_the_placeholder_can_be_chosen_and_may_name_the_secret(workflow) -> None:
    workflow.ok("secrets", "set", "API_TOKEN", input=TOKEN)
    done = workflow("run", saved(workflow, PRINTS), env={"AUTOKESTRA_MASK": "<{name}>"})
    assert (0, "") == (done.returncode, done.stderr)
    assert "[print] calling with <API_TOKEN>" in done.stdout.splitlines()
    assert "[print] calling with <API_TOKEN>" in workflow.ok("execution", "logs", "latest").splitlines()
    assert "AUTOKESTRA_MASK" in workflow.fails(
        "run", saved(workflow, PRINTS), env={"AUTOKESTRA_MASK": "x" * 65}, code=2
    )


def test_a_secret_that_is_set_arrives_and_is_masked(workflow) -> None:
    workflow.ok("secrets", "set", "API_TOKEN", input=TOKEN)
    done = workflow("run", saved(workflow, PRINTS))
    assert (0, "") == (done.returncode, done.stderr)
    assert (workflow.user / "arrived").read_text() == TOKEN
    lines = done.stdout.splitlines()
    assert "[print] calling with ***SECRET***" in lines
    assert any(line.startswith("[print] as base64: ") and "***SECRET***" in line for line in lines)
    assert "[print] on stderr: ***SECRET***" in lines
    assert lines[-1] == "masked 3 times: API_TOKEN (plain 2, base64 1) in task print"
    everything = done.stdout + workflow.ok("execution", "logs", "latest") + workflow.ok("execution", "show", "latest")
    assert TOKEN not in everything
    assert base64.b64encode(TOKEN.encode()).decode()[:20] not in everything
    assert shown(workflow)["secrets"] == {"API_TOKEN": "store"}


def test_a_declared_secret_that_no_task_asked_for_is_masked_too(workflow) -> None:
    """A task may find it anywhere: here, in a file of the user's."""
    workflow.ok("secrets", "set", "API_TOKEN", input=TOKEN)
    (workflow.user / "found").write_text(f"old notes: {TOKEN}\n")
    task = {"id": "read", "type": "core/shell.run", "inputs": {"script": "cat found"}}
    lines = workflow.ok("run", saved(workflow, json.dumps({"id": "r", "secrets": ["API_TOKEN"], "tasks": [task]})))
    assert "[read] old notes: ***SECRET***" in lines.splitlines()
    assert {} == shown(workflow)["secrets"], "masking a secret is not using it"


def test_an_environment_variable_stands_in_for_a_secret_that_is_not_stored(workflow, home: Path) -> None:
    done = workflow("run", saved(workflow, PRINTS), env={"API_TOKEN": TOKEN})
    assert done.returncode == 0, done.stderr
    assert (workflow.user / "arrived").read_text() == TOKEN
    assert TOKEN not in done.stdout
    assert not list(home.glob("secret*")), "reading creates neither key nor store"
    assert "secret API_TOKEN came from the environment" in workflow.ok("execution", "show", "latest").splitlines()
    assert shown(workflow)["secrets"] == {"API_TOKEN": "environment"}


def test_the_store_wins_over_the_environment(workflow) -> None:
    workflow.ok("secrets", "set", "API_TOKEN", input=TOKEN)
    workflow.ok("run", saved(workflow, PRINTS), env={"API_TOKEN": "tok-of-the-environment"})
    assert (workflow.user / "arrived").read_text() == TOKEN
    assert shown(workflow)["secrets"] == {"API_TOKEN": "store"}


@pytest.mark.parametrize("variable", ["AUTOKESTRA_TOKEN", "EMPTY"])
def test_variables_of_the_engine_and_empty_ones_never_stand_in(workflow, variable: str) -> None:
    file = saved(workflow, PRINTS.replace("API_TOKEN", variable))
    done = workflow("run", file, env={"AUTOKESTRA_TOKEN": TOKEN, "EMPTY": ""})
    assert done.returncode != 0
    assert variable in done.stderr
    assert not (workflow.user / "arrived").exists()


# --- refused before anything runs ---------------------------------------------------------------------------------


def test_an_undeclared_secret_is_refused_with_its_place(workflow, home: Path) -> None:
    file = saved(
        workflow,
        """\
        id: nightly
        secrets: [API_TOKEN]
        tasks:
          - id: print
            type: core/shell.run
            env: {TOKEN: "{{ secrets.API_TOKN }}"}
            inputs: {script: touch ran}
        """,
    )
    done = workflow("run", file, env={"API_TOKN": TOKEN})
    assert (3, "") == (done.returncode, done.stdout)
    error, hint = done.stderr.splitlines()
    place = f"error: {file}:6:"
    assert error.startswith(place), error
    column = int(error.removeprefix(place).split(":")[0])
    assert file.read_text().splitlines()[5][column - 1 :].startswith(("{{", '"{{', "secrets.API_TOKN"))
    assert "secret 'API_TOKN' is not declared in workflow 'nightly'" in error
    assert "API_TOKEN" in hint
    assert not (workflow.user / "ran").exists()
    assert not home.exists(), "an invalid workflow leaves nothing behind"


def test_all_missing_secrets_are_listed_at_once_and_no_task_runs(workflow) -> None:
    workflow.ok("secrets", "set", "KEY1", input=TOKEN)
    file = saved(
        workflow,
        """\
        id: many
        secrets: [KEY1, KEY2, KEY3]
        tasks:
          - id: touch
            type: core/shell.run
            inputs: {script: touch ran}
        """,
    )
    done = workflow("run", file)
    assert done.returncode == 4
    assert "error: missing secrets: KEY2, KEY3" in done.stderr.splitlines()
    assert not (workflow.user / "ran").exists()
    row = shown(workflow)
    assert ("FAILED", "missing secrets: KEY2, KEY3") == (row["state"], row["message"])
    assert [[]] == [task["attempts"] for task in row["tasks"]]


def test_a_dry_run_says_where_secrets_would_come_from_and_runs_nothing(workflow, home: Path) -> None:
    workflow.ok("secrets", "set", "API_TOKEN", input=TOKEN)
    file = saved(workflow, PRINTS.replace("[API_TOKEN]", "[API_TOKEN, OTHER]"))
    lines = workflow.ok("run", file, "--dry-run", env={"OTHER": "value-of-other"}).splitlines()
    assert ["secret API_TOKEN: from the store", "secret OTHER: from the environment"] == lines[:2]
    assert not (workflow.user / "arrived").exists()
    assert not (home / "state.db").exists()
    assert workflow("run", file, "--dry-run").returncode == 4


# --- scopes -------------------------------------------------------------------------------------------------------

SCOPED = """\
    id: {me}
    secrets: [{me}_STORED, {me}_VARIABLE]
    passEnv: [PASSED]
    tasks:
      - id: meet
        type: core/shell.run
        timeout: 60s
        inputs:
          script: |
            touch {me}.here
            until [ -e {other}.here ]; do sleep 0.02; done
      - id: shell
        type: core/shell.run
        needs: [meet]
        env: {{MINE: "{{{{ secrets.{me}_STORED }}}}"}}
        inputs: {{script: "env -0 > {me}.shell"}}
      - id: python
        type: core/python.run
        needs: [meet]
        inputs:
          inputs: {{mine: "{{{{ secrets.{me}_VARIABLE }}}}"}}
          script: |
            import json, os
            with open("{me}.python", "w") as file:
                json.dump({{"environ": dict(os.environ), "inputs": inputs}}, file)
"""


def test_two_workflows_at_the_same_time_see_their_own_secrets_only(workflow, start) -> None:
    """Each has a secret in the store and one in the environment, which both engines share."""
    values = {name: f"value-of-{name}-7d1f" for name in ("RED_STORED", "RED_VARIABLE", "BLUE_STORED", "BLUE_VARIABLE")}
    stored = {name: value for name, value in values.items() if name.endswith("STORED")}
    workflow.ok("secrets", "import", "-", input=json.dumps(stored))
    variables = {
        **{name: value for name, value in values.items() if name.endswith("VARIABLE")},
        "OF_THE_ENGINE": "value-of-the-engine",
        "PASSED": "value-that-is-passed",
        "AUTOKESTRA_DEBUG": "0",
    }
    runs = []
    for me, other in (("RED", "BLUE"), ("BLUE", "RED")):
        file = saved(workflow, SCOPED.format(me=me, other=other), f"{me}.yaml")
        runs.append(start("run", file, env=variables))
    for run in runs:
        output, errors = run.communicate(timeout=120)
        assert run.returncode == 0, output + errors

    for me in ("RED", "BLUE"):
        raw = (workflow.user / f"{me}.shell").read_bytes().split(b"\0")
        shell = dict(entry.decode().split("=", 1) for entry in raw if entry)
        python = json.loads((workflow.user / f"{me}.python").read_text())
        assert shell["MINE"] == values[f"{me}_STORED"]
        assert {"mine": values[f"{me}_VARIABLE"]} == python["inputs"]
        for environ in (shell, python["environ"]):
            assert environ["PASSED"] == "value-that-is-passed"
            assert not [name for name in environ if name.startswith("AUTOKESTRA_")]
            assert "OF_THE_ENGINE" not in environ
            visible = " ".join(environ.values())
            allowed = {values[f"{me}_STORED"]} if environ is shell else set()
            assert allowed == {value for value in values.values() if value in visible}


# --- whatever the value is ----------------------------------------------------------------------------------------

VALUES = {
    "quotes": """it's "quoted" with ` and \\ in it""",
    "new-line": "first line of it\nsecond line of it",
    "ends-in-newline": "the file ended here\n",
    "crlf": "dos line one\r\ndos line two",
    "template": "{{ secrets.quotes }} {{ 7 * 7 }} {% if x %}",
    "shell": "$(touch pwned) `touch pwned` ${HOME} ; touch pwned & #",
    "non-ascii": "Größe 寿司 🦀 é",
    "percent": "%s %d %(name)s %%",
    "blanks": "  blanks around it\t ",
    "escapes": "\x1b[31mred\x07 bell",
    "-hyphen-first": "name begins with a hyphen",
    "42": "name is a number",
}


@pytest.fixture
def stored(workflow) -> dict[str, str]:
    """A store with every value of VALUES."""
    workflow.ok("secrets", "import", "-", input=json.dumps(VALUES))
    return VALUES


@pytest.mark.usefixtures("stored")
def test_values_arrive_byte_for_byte_in_environment_and_python_inputs(workflow) -> None:
    variables = "\n".join(f'      V{number}: "{{{{ secrets.{name} }}}}"' for number, name in enumerate(VALUES))
    entries = "\n".join(f'        "{name}": "{{{{ secrets.{name} }}}}"' for name in VALUES)
    text = f"""\
id: values
secrets: {json.dumps(list(VALUES))}
tasks:
  - id: environment
    type: core/shell.run
    env:
{variables}
    inputs: {{script: env -0 > environment}}
  - id: inputs
    type: core/python.run
    inputs:
      inputs:
{entries}
      script: |
        import json
        with open("inputs", "w") as file:
            json.dump(inputs, file)
"""
    done = workflow("run", saved(workflow, text))
    assert done.returncode == 0, done.stdout + done.stderr
    entries = (workflow.user / "environment").read_bytes().split(b"\0")
    environ = dict(entry.split(b"=", 1) for entry in entries if entry)
    assert {name: value.encode() for name, value in VALUES.items()} == {
        name: environ[f"V{number}".encode()] for number, name in enumerate(VALUES)
    }
    assert json.loads((workflow.user / "inputs").read_text()) == VALUES
    assert not list(workflow.user.rglob("pwned"))


@contextmanager
def recording_server():
    """Yield the address of an HTTP server, and the list of the `X-Value` headers that it got."""
    received: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            received.append(self.headers["X-Value"].encode("latin-1"))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", received
        server.shutdown()
        thread.join()


def sends(url: str, names: list[str]) -> str:
    """Return a workflow that sends each secret in a header of its own request."""
    tasks = "".join(
        f"""
  - id: t{number}
    type: core/http.get
    inputs: {{url: "{url}", headers: {{X-Value: "{{{{ secrets.{name} }}}}"}}}}"""
        for number, name in enumerate(names)
    )
    return f"id: headers\nsecrets: {names}\ntasks:{tasks}\n"


@pytest.mark.usefixtures("stored")
def test_values_arrive_byte_for_byte_in_a_header(workflow) -> None:
    names = ["quotes", "template", "shell", "non-ascii", "percent"]
    with recording_server() as (url, received):
        workflow.ok("run", "--max-parallel", "1", saved(workflow, sends(url, names)))
    assert [VALUES[name].encode() for name in names] == received


@pytest.mark.usefixtures("stored")
def test_values_that_no_header_can_hold_fail_their_tasks_clearly(workflow) -> None:
    names = ["new-line", "crlf", "ends-in-newline", "escapes"]
    with recording_server() as (url, received):
        done = workflow("run", saved(workflow, sends(url, names)))
    assert (1, []) == (done.returncode, received)
    for number, name in enumerate(names):
        said = f"[t{number}] header 'x-value' contains a line end or another control character"
        assert said in done.stdout.splitlines()
        assert not any(line in done.stdout + done.stderr for line in VALUES[name].splitlines() if len(line) > 3)


# --- how much it costs --------------------------------------------------------------------------------------------


def test_fifty_declared_secrets_are_all_masked(workflow) -> None:
    values = {f"SECRET_{number}": f"value-{number:02}-{number * 7919:08x}" for number in range(50)}
    workflow.ok("secrets", "import", "-", input=json.dumps(values))
    text = f"""\
id: fifty
secrets: {json.dumps(list(values))}
tasks:
  - id: print
    type: core/python.run
    inputs:
      inputs: {{values: {json.dumps([f"{{{{ secrets.{name} }}}}" for name in values])}}}
      script: |
        for value in inputs["values"]:
            print("got", value)
"""
    lines = workflow.ok("run", saved(workflow, text)).splitlines()
    assert ["[print] got ***SECRET***"] * 50 == [line for line in lines if "got" in line]
    assert 50 == sum(line.startswith("masked once: SECRET_") for line in lines)


def test_masking_with_fifty_secrets_takes_less_than_ten_milliseconds_a_line() -> None:
    """A generous bound, so that it can be a test; `make bench` measures."""
    masker = SecretMasker()
    for number in range(50):
        masker.add(f"value-{number:02}-{number * 7919:08x}", f"SECRET_{number}")
    stream = masker.stream()
    lines = [f"2026-01-01T00:00:00Z line {number} value-07-0000d889 of a log\n".encode() for number in range(1000)]
    started = time.perf_counter()
    masked = b"".join(map(stream.feed, lines)) + stream.flush()
    seconds = time.perf_counter() - started
    assert 1000 == masked.count(b"***SECRET***")
    assert seconds / len(lines) < 0.010


# --- none at all --------------------------------------------------------------------------------------------------


def test_a_workflow_without_secrets_needs_no_key_and_creates_none(workflow, home: Path) -> None:
    """On a fresh machine: an empty HOME, and no variable that says where to put things."""
    workflow.ok("init")
    lines = workflow.ok("run", "hello.yaml", env={"AUTOKESTRA_HOME": None}).splitlines()
    assert lines[-1].startswith("SUCCESS")
    assert any(line.startswith("[greet] Hello from ") for line in lines)
    made = {path.name for path in (workflow.user / ".autokestra").iterdir()}
    assert "state.db" in made
    assert not {"secret.key", "secrets.db"} & made
    assert not home.exists()
