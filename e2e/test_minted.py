"""A value that a task makes itself and masks: wherever its output goes, it is masked as well."""

import json
import sqlite3
from pathlib import Path
from textwrap import dedent

import pytest

from autokestra_secrets.testing import assert_no_leak

MINTED = "sess-42-xyzabc"  # no task's text holds it: each makes it

LOGIN = """
      - id: login
        type: core/shell.run
        inputs: {script: 's="sess-$((6*7))-xyzabc"; echo "::add-mask::$s"; echo "$s"'}
"""

# What reads it, and a line that shows that it did.
READERS = {
    "shell": (
        """
          - id: use
            type: core/shell.run
            needs: [login]
            env: {S: "{{ tasks.login.output.stdout }}"}
            inputs: {script: 'echo "again: $S"; echo "$S" | base64'}
        """,
        "[use] again: ***SECRET***",
    ),
    "in the second place": (
        """
          - {id: pass_on, type: core/shell.run, needs: [login], inputs: {script: "echo 'it is {{ tasks.login.output.stdout | trim }}'"}}
          - {id: use, type: core/console.log, needs: [pass_on], inputs: {message: "then {{ tasks.pass_on.output.stdout }}"}}
        """,
        "[use] then it is ***SECRET***",
    ),
    "each item": (
        """
          - id: list
            type: core/python.run
            needs: [login]
            inputs: {script: "output = ['{{ tasks.login.output.stdout | trim }}-' + str(n) for n in range(2)]"}
          - id: use
            type: core/console.log
            needs: [list]
            forEach: "{{ tasks.list.output }}"
            inputs: {message: "item {{ item }}"}
        """,
        "[use[1]] item ***SECRET***-1",
    ),
    "what every item gave": (
        """
          - id: many
            type: core/shell.run
            needs: [login]
            forEach: [1, 2]
            inputs: {script: "echo '{{ tasks.login.output.stdout | trim }}'"}
          - {id: use, type: core/console.log, needs: [many], inputs: {message: "both: {{ tasks.many.output[0].stdout }}"}}
        """,
        "[use] both: ***SECRET***",
    ),
}


def document(reader: str) -> str:
    return (
        "id: mint\ntasks:\n"
        + dedent(LOGIN).replace("\n", "\n  ")
        + "\n"
        + dedent(READERS[reader][0]).replace("\n", "\n  ")
    )


def nothing_shows_it(workflow, home: Path, user: Path) -> None:
    shown = [
        workflow.ok("execution", *command)
        for command in (
            ("logs", "latest", "--debug"),
            ("logs", "latest", "--json"),
            ("show", "latest"),
            ("show", "latest", "--json"),
            ("report", "latest", "--html", user / "page.html"),
        )
    ]
    database = sqlite3.connect(home / "state.db")
    tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    rows = [row for table in tables for row in database.execute(f"SELECT * FROM {table}")]
    database.close()
    assert rows
    assert_no_leak([MINTED], *shown, repr(rows), (user / "page.html").read_text())


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("has_key", [False, True], ids=["without a key", "with a key"])
def test_a_minted_value_is_masked_in_the_task_that_reads_it(
    workflow, home: Path, user: Path, reader: str, has_key: bool
) -> None:
    if has_key:
        workflow.ok("secrets", "set", "OTHER", "-q", input="something else")
    (user / "mint.yaml").write_text(document(reader))
    done = workflow("run", "mint.yaml")
    assert 0 == done.returncode, done.stdout + done.stderr
    assert READERS[reader][1] in done.stdout.splitlines()
    assert_no_leak([MINTED], done.stdout, done.stderr)
    nothing_shows_it(workflow, home, user)


def test_the_line_that_registers_it_is_in_no_output(workflow, user: Path) -> None:
    (user / "mint.yaml").write_text(document("shell"))
    workflow.ok("secrets", "set", "OTHER", "-q", input="something else")
    workflow.ok("run", "mint.yaml")
    (login, _) = json.loads(workflow.ok("execution", "show", "latest", "--json"))["tasks"]
    assert "***SECRET***\n" == login["attempts"][-1]["output"]["stdout"]


def test_it_is_masked_after_a_resume_by_another_process(workflow, home: Path, user: Path) -> None:
    workflow.ok("secrets", "set", "OTHER", "-q", input="something else")
    (user / "mint.yaml").write_text(document("shell").replace('echo "again', 'test -e repaired; echo "again'))
    assert 1 == workflow("run", "mint.yaml").returncode
    (user / "repaired").touch()
    done = workflow("execution", "resume", "latest")
    assert 0 == done.returncode, done.stderr
    assert "[use] again: ***SECRET***" in done.stdout.splitlines()
    assert "[login] started" not in done.stdout, "it is not run again"
    nothing_shows_it(workflow, home, user)


def test_it_is_masked_where_a_workflow_hands_it_on_to_another(workflow, home: Path, user: Path) -> None:
    (user / "mint.yaml").write_text("id: inner\ntasks:\n" + dedent(LOGIN).replace("\n", "\n  "))
    (user / "outer.yaml").write_text(
        dedent("""
            id: outer
            tasks:
              - {id: inner, type: core/workflow.run, inputs: {file: mint.yaml}}
              - id: use
                type: core/console.log
                needs: [inner]
                inputs: {message: "got {{ tasks.inner.output.tasks.login.output.stdout }}"}
        """)
    )
    done = workflow("run", "outer.yaml")
    assert 0 == done.returncode, done.stdout + done.stderr
    assert "[use] got ***SECRET***" in done.stdout.splitlines()
    nothing_shows_it(workflow, home, user)


def test_part_of_a_secret_is_masked_where_an_output_hands_it_on(workflow, user: Path) -> None:
    """What a template makes of a secret is known where it was made, and travels like what a task makes."""
    workflow.ok("secrets", "set", "API_TOKEN", "-q", input="first-half-second-half")
    (user / "cut.yaml").write_text(
        dedent("""
            id: cut
            secrets: [API_TOKEN]
            tasks:
              - {id: cut, type: core/shell.run, env: {P: "{{ secrets.API_TOKEN[:10] }}"}, inputs: {script: 'echo "$P"'}}
              - {id: use, type: core/console.log, needs: [cut], inputs: {message: "part {{ tasks.cut.output.stdout }}"}}
        """)
    )
    done = workflow("run", "cut.yaml")
    assert "[use] part ***SECRET***" in done.stdout.splitlines()
