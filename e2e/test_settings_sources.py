"""Settings at work: flag, variable, file, default; `config`, `doctor`; and what commands do where they are wrong."""

import json
import os
from pathlib import Path

import pytest

HELLO = "id: hello\ntasks: [{id: a, type: core/console.log, inputs: {message: hello}}]\n"


@pytest.fixture
def configured(workflow, home: Path):
    """Write the file and return the command."""

    def write(text: str):
        home.mkdir(mode=0o700, exist_ok=True)
        file = home / "config.toml"
        file.write_text(text)
        file.chmod(0o600)
        return workflow

    return write


def effective(workflow, **options) -> dict[str, tuple[object, str]]:
    return {
        each["id"]: (each["value"], each["source"])
        for each in json.loads(workflow.ok("config", "list", "--json", **options))
    }


def test_a_fresh_machine_has_defaults_and_stays_fresh(workflow, home: Path) -> None:
    assert {"default"} == {source for _, source in effective(workflow).values()}
    assert f"{home}/config.toml\n" == workflow.ok("config", "path")
    assert not home.exists()


def test_flag_variable_file_and_default_decide_in_this_order(configured, home: Path, user: Path) -> None:
    workflow = configured("state = 'from-file.db'\n")
    file = user / "hello.yaml"
    file.write_text(HELLO)
    workflow.ok("run", file, "-q")
    workflow.ok("run", file, "-q", env={"AUTOKESTRA_STATE": "from-variable.db"})
    workflow.ok("run", file, "-q", "--state", "from-flag.db", env={"AUTOKESTRA_STATE": "from-variable.db"})
    for place in (home / "from-file.db", user / "from-variable.db", user / "from-flag.db"):
        assert 1 == len(json.loads(workflow.ok("execution", "list", "--json", "--state", place)))
    assert not (home / "state.db").exists()
    assert ("from-variable.db", "AUTOKESTRA_STATE") == effective(
        workflow, env={"AUTOKESTRA_STATE": "from-variable.db"}
    )["state"]
    assert (f"{home}/from-file.db", f"{home}/config.toml:1") == effective(workflow)["state"]


def test_the_store_of_the_file_is_used_by_secrets_and_by_runs(configured, home: Path, user: Path) -> None:
    workflow = configured("store = 'other.db'\nmask = '<{name}>'\nmask_min_length = 12\n")
    workflow.ok("secrets", "set", "LONG", "-q", input="canary-4f9c2e7a81")
    workflow.ok("secrets", "set", "SHORT", "-q", input="tok4f9c")
    assert (home / "other.db").exists()
    assert not (home / "secrets.db").exists()
    (user / "w.yaml").write_text(
        "id: w\nsecrets: [LONG, SHORT]\ntasks: [{id: a, type: core/console.log, "
        'inputs: {message: "{{ secrets.LONG }} {{ secrets.SHORT }}"}}]\n'
    )
    assert "[a] <LONG> tok4f9c" in workflow.ok("run", "w.yaml")
    assert "<LONG>\n" == workflow.ok("secrets", "exec", "--only", "LONG", "--", "sh", "-c", 'echo "$LONG"')
    elsewhere = {"AUTOKESTRA_STORE": str(user / "third.db")}
    workflow.ok("secrets", "set", "A", "-q", input="value-of-a", env=elsewhere)
    assert ["LONG", "SHORT"] == [each["name"] for each in json.loads(workflow.ok("secrets", "list", "--json"))]
    assert ["A"] == [each["name"] for each in json.loads(workflow.ok("secrets", "list", "--json", env=elsewhere))]


def test_parallel_tasks_are_as_many_as_the_setting_says(configured, user: Path) -> None:
    workflow = configured("max_parallel = 1\n")
    task = "  - {{id: {}, type: core/shell.run, inputs: {{script: 'mkdir lock && sleep 0.2 && rmdir lock'}}}}\n"
    (user / "w.yaml").write_text("id: w\ntasks:\n" + "".join(task.format(name) for name in "abc"))
    workflow.ok("run", "w.yaml", "-q")
    assert 1 == workflow("run", "w.yaml", "-q", "--max-parallel", "3").returncode


def test_prune_keeps_what_the_settings_say(configured, user: Path) -> None:
    workflow = configured("keep_for = '30d'\n")
    (user / "hello.yaml").write_text(HELLO)
    for _ in range(3):
        workflow.ok("run", "hello.yaml", "-q")
    assert [] == json.loads(workflow.ok("execution", "prune", "--json"))
    configured("keep_last = 2\n")
    assert 1 == len(json.loads(workflow.ok("execution", "prune", "--json")))
    assert 2 == len(json.loads(workflow.ok("execution", "prune", "--json", "--keep-last", "0")))


def test_wrong_settings_stop_commands_with_the_place_and_doctor_goes_on(configured, home: Path) -> None:
    workflow = configured("max_paralel = 3\n")
    message = f"{home}/config.toml:1: unknown key 'max_paralel'"
    for command in (("secrets", "list"), ("execution", "list"), ("config", "list"), ("execution", "prune")):
        assert message == workflow.fails(*command, code=2)
    done = workflow("doctor")
    assert 12 == done.returncode
    assert f"fail  settings     {message}\n" in done.stdout
    assert "fix: did you mean 'max_parallel'?" in done.stdout
    assert "state        " in done.stdout
    assert workflow.ok("--help")
    assert f"{home}/config.toml\n" == workflow.ok("config", "path")


def test_a_key_in_the_file_is_refused_and_not_shown(configured) -> None:
    workflow = configured("secret_key = 'akey1-canary'\n")
    for command in (("secrets", "list"), ("config", "list"), ("doctor",)):
        done = workflow(*command)
        assert done.returncode in (2, 12)
        assert "has no place in this file" in done.stdout + done.stderr
        assert "canary" not in done.stdout + done.stderr


def test_doctor_shows_each_value_and_where_it_comes_from(configured, home: Path) -> None:
    workflow = configured("max_parallel = 3\n")
    shown = workflow("doctor", "--store", "named.db", env={"AUTOKESTRA_COLOUR": "never"}).stdout
    assert f"max_parallel: 3 (from {home}/config.toml:1)\n" in shown
    assert "colour: never (from AUTOKESTRA_COLOUR)\n" in shown
    assert "store: named.db (from --store)\n" in shown
    assert "mask: ***SECRET*** (from default)\n" in shown


def test_a_file_that_others_can_write_is_warned_of(configured, home: Path) -> None:
    workflow = configured("max_parallel = 3\n")
    (home / "config.toml").chmod(0o622)
    said = f"warning: others can write {home}/config.toml, and so decide how your workflows run: chmod go-w {home}/config.toml\n"
    for command in (("secrets", "list"), ("execution", "list"), ("config", "list")):
        assert 1 == workflow(*command).stderr.count(said)
    assert f"fix: chmod go-w {home}/config.toml" in workflow("doctor").stdout


def test_a_file_that_may_not_be_read_is_a_matter_of_permission(configured, home: Path) -> None:
    workflow = configured("max_parallel = 3\n")
    (home / "config.toml").chmod(0)
    assert "permission denied" in workflow.fails("config", "list", code=9, powerless=True)
    assert "cannot be read: permission denied" in workflow("doctor", powerless=True).stdout


@pytest.mark.parametrize(
    ("file", "variables", "has_colour"),
    [
        ("", {}, True),
        ("", {"NO_COLOR": "1"}, False),
        ("colour = 'never'\n", {}, False),
        ("colour = 'always'\n", {"NO_COLOR": "1"}, True),
        ("colour = 'always'\n", {"AUTOKESTRA_COLOUR": "never"}, False),
        ("colour = 'blue'\n", {}, True),
    ],
)
def test_colour_is_as_the_settings_say(configured, terminal, file: str, variables: dict, has_colour: bool) -> None:
    configured(file)
    child = terminal("run", "none.yaml", env=variables)
    _, shown = child.ended()
    assert has_colour == ("\x1b[31m" in shown), shown


def test_a_value_of_the_environment_never_comes_from_the_file(configured, home: Path) -> None:
    """AUTOKESTRA_DEBUG opens the process to others, and AUTOKESTRA_HOME would lead elsewhere: no file says either."""
    for line in ("debug = 1\n", "home = '/tmp'\n"):
        workflow = configured(line)
        assert workflow.fails("config", "list", code=2).startswith(f"{home}/config.toml:1: unknown key")
    assert os.path.exists(home)
