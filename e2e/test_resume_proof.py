"""The attacker can write the state database, and waits for somebody to resume: nothing runs but what was begun."""

import json
import sqlite3
from pathlib import Path
from textwrap import dedent

import pytest

FLOW = """
    id: nightly
    inputs: {stage: {type: string, default: test}}
    secrets: [API_TOKEN]
    tasks:
      - {id: fetch, type: core/shell.run, env: {T: "{{ secrets.API_TOKEN }}"}, inputs: {script: 'echo once >> ran; echo "$T"'}}
      - {id: send, type: core/shell.run, needs: [fetch], inputs: {script: "test -e repaired && echo sent {{ inputs.stage }}"}}
"""


@pytest.fixture
def begun(workflow, user: Path) -> dict:
    """An execution that has failed half way; the store has one more secret than its workflow declares."""
    (user / "nightly.yaml").write_text(dedent(FLOW))
    for name in ("API_TOKEN", "OTHER_TOKEN"):
        workflow.ok("secrets", "set", name, "-q", input=f"value-of-{name}")
    assert 1 == workflow("run", "nightly.yaml").returncode
    (user / "repaired").touch()
    return json.loads(workflow.ok("execution", "show", "latest", "--json"))


def change(home: Path, statement: str, *values: object) -> None:
    database = sqlite3.connect(home / "state.db")
    with database:
        assert 1 == database.execute(statement, values).rowcount
    database.close()


def stolen(home: Path, user: Path) -> None:
    """Have the failed task read a secret that was never declared, and write it where the attacker can read."""
    database = sqlite3.connect(home / "state.db")
    (text,) = database.execute("SELECT workflow FROM execution").fetchone()
    database.close()
    document = json.loads(text)
    document["secrets"] = ["API_TOKEN", "OTHER_TOKEN"]
    document["tasks"][1]["env"] = {"T": "{{ secrets.OTHER_TOKEN }}"}
    document["tasks"][1]["inputs"]["script"] = f'printf %s "$T" > {user}/stolen'
    change(home, "UPDATE execution SET workflow = ?", json.dumps(document))


def refused(workflow, *options: str) -> str:
    before = workflow.ok("execution", "show", "latest", "--json")
    done = workflow("execution", "resume", "latest", *options)
    assert 7 == done.returncode, done.stdout + done.stderr
    assert before == workflow.ok("execution", "show", "latest", "--json"), "it can be looked at as it was"
    assert "once\n" == (workflow.user / "ran").read_text()
    return done.stderr


def test_a_workflow_that_was_changed_in_the_rows_is_not_resumed(workflow, begun, home: Path, user: Path) -> None:
    stolen(home, user)
    message = refused(workflow)
    assert f"error: workflow or inputs of execution '{begun['id']}' were changed in the state database\n" in message
    assert "hint: begin anew, with the file: workflow run FILE\n" in message
    refused(workflow, "--unproven")
    refused(workflow, "--from", "fetch")
    assert not (user / "stolen").exists()


@pytest.mark.parametrize(
    "statement",
    [
        """UPDATE execution SET inputs = '{"stage": "production"}'""",
        "UPDATE execution SET workflow_path = '/tmp/nightly.yaml'",
        "UPDATE execution SET workflow_id = 'weekly'",
        "UPDATE execution SET workflow_seal = x'00'",
        "UPDATE execution SET workflow_seal = zeroblob(length(workflow_seal))",
    ],
    ids=["inputs", "place", "id", "short", "zeros"],
)
def test_nor_with_other_inputs_another_place_or_a_broken_seal(workflow, begun, home: Path, statement: str) -> None:
    change(home, statement)
    assert "were changed in the state database" in refused(workflow)


def test_a_seal_belongs_to_one_execution(workflow, begun, home: Path, user: Path) -> None:
    (user / "other.yaml").write_text(dedent(FLOW).replace("API_TOKEN", "OTHER_TOKEN").replace("once >> ran", "x"))
    (user / "repaired").unlink()
    assert 1 == workflow("run", "other.yaml").returncode
    other = json.loads(workflow.ok("execution", "show", "latest", "--json"))["id"]
    columns = ("workflow_id", "workflow", "workflow_path", "workflow_sha256", "inputs", "workflow_seal")
    change(
        home,
        f"UPDATE execution SET ({', '.join(columns)}) = (SELECT {', '.join(columns)} FROM execution WHERE id = ?) WHERE id = ?",
        other,
        begun["id"],
    )
    done = workflow("execution", "resume", begun["id"])
    assert 7 == done.returncode
    assert "were changed in the state database" in done.stderr


def test_without_a_seal_a_person_has_to_say_so(workflow, begun, home: Path, user: Path) -> None:
    change(home, "UPDATE execution SET workflow_seal = NULL")
    message = refused(workflow)
    assert "nothing proves that execution" in message
    assert "it began without the key" in message
    assert "trusting all who can write the database: --unproven" in message
    assert "[send] sent test" in workflow.ok("execution", "resume", "latest", "--unproven").splitlines()


def test_what_nobody_touched_goes_on_also_under_a_new_key(workflow, begun) -> None:
    workflow.ok("secrets", "key", "reencrypt")
    assert "[send] sent test" in workflow.ok("execution", "resume", "latest").splitlines()
    assert "once\n" == (workflow.user / "ran").read_text()


def test_under_another_store_nothing_is_proven(workflow, begun, user: Path) -> None:
    workflow.ok("secrets", "set", "API_TOKEN", "-q", "--store", "other.db", input="another value")
    message = refused(workflow, "--store", "other.db")
    assert "another store or key has sealed it" in message


def test_what_began_without_a_key_goes_on_without_one_and_else_a_person_has_to_say_so(workflow, user: Path) -> None:
    (user / "plain.yaml").write_text(
        "id: plain\ntasks: [{id: try, type: core/shell.run, inputs: {script: test -e repaired}}]\n"
    )
    assert 1 == workflow("run", "plain.yaml").returncode
    assert 1 == workflow("execution", "resume", "latest").returncode
    workflow.ok("secrets", "set", "API_TOKEN", "-q", input="the first secret makes a key")
    (user / "repaired").touch()
    done = workflow("execution", "resume", "latest")
    assert 7 == done.returncode
    assert "it began without the key" in done.stderr
    workflow.ok("execution", "resume", "latest", "--unproven")
