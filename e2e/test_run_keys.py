"""A run and its key: what is lost or wrong is found before the first task, and outputs are sealed with it."""

import json

LOGIN = """\
id: login
secrets: [API_TOKEN]
tasks:
  - id: login
    type: core/python.run
    inputs:
      script: |
        open("ran.txt", "a").write("ran")
        output = {"access": "minted-" + "token-0123456789", "with": "{{ secrets.API_TOKEN }}"}
  - id: use
    type: core/python.run
    needs: [login]
    inputs:
      inputs: {token: "{{ tasks.login.output.access }}"}
      script: |
        assert inputs["token"] == "minted-" + "token-0123456789"
        output = len(inputs["token"])
"""
MINTED = b"minted-token-0123456789"


def databases(home):
    return b"".join(file.read_bytes() for file in sorted(home.glob("state.db*")))


def test_a_lost_key_is_found_before_any_task_starts(workflow, home, tmp_path):
    workflow.ok("secrets", "set", "API_TOKEN", input="value-of-the-token")
    (home / "secret.key").rename(tmp_path / "lost.key")
    (tmp_path / "login.yaml").write_text(LOGIN)
    done = workflow("run", tmp_path / "login.yaml")
    assert 5 == done.returncode
    assert done.stderr.startswith("error: no master key found for the secret store")
    assert not (tmp_path / "ran.txt").exists()
    (row,) = json.loads(workflow.ok("execution", "list", "--json"))
    assert ("FAILED", "unreadable-secrets") == (row["state"], row["reason"])
    assert not (home / "secret.key").exists()


def test_a_wrong_key_is_found_before_any_task_starts(workflow, home, tmp_path):
    workflow.ok("secrets", "set", "API_TOKEN", input="value-of-the-token")
    (tmp_path / "login.yaml").write_text(LOGIN)
    other = {"AUTOKESTRA_SECRET_KEY": "another passphrase than that"}
    assert 6 == workflow("run", tmp_path / "login.yaml", env=other).returncode
    assert not (tmp_path / "ran.txt").exists()


def test_what_a_task_minted_itself_is_sealed_at_rest_and_shown_with_the_key_only(workflow, home, tmp_path):
    workflow.ok("secrets", "set", "API_TOKEN", input="value-of-the-token")
    (tmp_path / "login.yaml").write_text(LOGIN)
    workflow.ok("run", tmp_path / "login.yaml")
    assert MINTED not in databases(home)
    shown = json.loads(workflow.ok("execution", "show", "latest", "--json"))
    login, use = shown["tasks"]
    assert {"access": MINTED.decode(), "with": "***SECRET***"} == login["attempts"][0]["output"]
    assert len(MINTED) == use["attempts"][0]["output"]
    (home / "secret.key").rename(tmp_path / "lost.key")
    done = workflow("execution", "show", "latest", "--json")
    assert 0 == done.returncode
    assert "warning:" in done.stderr
    assert json.loads(done.stdout)["tasks"][0]["attempts"][0]["output"] is None


def test_without_a_key_outputs_beside_secrets_stay_in_memory(workflow, home, tmp_path):
    (tmp_path / "login.yaml").write_text(LOGIN)
    workflow.ok("run", tmp_path / "login.yaml", env={"API_TOKEN": "value-from-outside"})
    assert MINTED not in databases(home)
    assert not (home / "secrets.db").exists()
    shown = json.loads(workflow.ok("execution", "show", "latest", "--json"))
    assert [None, None] == [task["attempts"][0]["output"] for task in shown["tasks"]]


def test_resume_masks_what_a_secret_was_when_the_execution_began(workflow, home, tmp_path):
    workflow.ok("secrets", "set", "ROT", input="old-value-7Yh3Kd92")
    (tmp_path / "flow.yaml").write_text(
        """\
id: flow
secrets: [ROT]
tasks:
  - {id: get, type: core/python.run, inputs: {script: "output = 'url?t={{ secrets.ROT }}'"}}
  - id: use
    type: core/shell.run
    needs: [get]
    env: {URL: "{{ tasks.get.output }}"}
    inputs: {script: "echo using $URL; test -e repaired"}
"""
    )
    assert 1 == workflow("run", tmp_path / "flow.yaml").returncode
    workflow.ok("secrets", "set", "ROT", input="new-value-Qm4Tz8")
    (tmp_path / "repaired").touch()
    said = workflow.ok("execution", "resume", "latest")
    assert "using url?t=***SECRET***" in said
    assert b"old-value-7Yh3Kd92" not in databases(home)


def test_a_secret_is_refused_as_an_input_since_inputs_are_kept_in_clear(workflow, home, tmp_path):
    workflow.ok("secrets", "set", "API_TOKEN", input="value-of-the-token")
    (tmp_path / "flow.yaml").write_text(
        """\
id: flow
inputs: {t: {type: string}}
secrets: [API_TOKEN]
tasks:
  - {id: a, type: core/console.log, inputs: {message: "{{ inputs.t }}"}}
"""
    )
    said = workflow.fails("run", tmp_path / "flow.yaml", "-i", "t=x-value-of-the-token", code=2)
    assert "input 't' holds the value of a secret" in said
    assert b"value-of-the-token" not in databases(home)
    workflow.ok("run", tmp_path / "flow.yaml", "-i", "t=harmless-value")
