"""Plugins: any executable with a plugin.yaml, and functions of installed distributions; used, listed and refused."""

import json
import os
import subprocess
import sys

import pytest

CANARY = "canary-91d0c5e7"


def plugin(folder, script, manifest=None, *, name="acme/tool", actions=None):
    """Write an executable plugin; `script` is the body of a shell script."""
    folder.mkdir(parents=True)
    inputs = {"type": "object", "properties": {"word": {"type": "string"}, "count": {"type": "integer"}}}
    text = manifest or json.dumps(
        {"name": name, "command": ["./run"], "actions": actions or {"do": {"inputs": inputs}}}
    )
    (folder / "plugin.yaml").write_text(text)
    (folder / "run").write_text("#!/bin/sh\n" + script)
    (folder / "run").chmod(0o755)
    return folder


def flow(workflow, type_, inputs=None, **top):
    path = workflow.user / "flow.yaml"
    path.write_text(json.dumps({"id": "a", "tasks": [{"id": "t", "type": type_, "inputs": inputs or {}}], **top}))
    return path


def run(workflow, path, *args, code=0, env=None):
    done = workflow("run", path, "--json", *args, env=env)
    assert code == done.returncode, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def message(events):
    return [event["message"] for event in events if event["event"] == "task"][-1]


def log(events):
    return [event["message"] for event in events if event["event"] == "log" and event["stream"] != "system"]


def output(workflow):
    return json.loads(workflow.ok("execution", "show", "latest", "--json"))["tasks"][0]["attempts"][0]["output"]


def test_an_executable_gets_json_and_answers_with_json(workflow):
    folder = plugin(workflow.user / "plugins/tool", 'cat > got; echo working >&2; echo "{\\"arg\\": \\"$1\\"}"')
    events = run(workflow, flow(workflow, "acme/tool.do", {"word": "ü", "count": 2}), "--plugins", folder.parent)
    assert ["working"] == log(events)
    assert {"arg": "do"} == output(workflow)
    got = json.loads((workflow.user / "got").read_text())
    assert ("do", {"word": "ü", "count": 2}, "t", 1) == (got["action"], got["inputs"], got["task"], got["attempt"])


def test_the_variable_names_folders_too_and_a_folder_may_be_a_plugin_itself(workflow):
    one, two = (plugin(workflow.user / name, "echo 1", name=f"acme/{name}") for name in ("one", "two"))
    env = {"AUTOKESTRA_PLUGINS": f"{one}{os.pathsep}{two}"}
    found = [item["id"] for item in json.loads(workflow.ok("plugin", "list", "--json", env=env))]
    assert {"acme/one.do", "acme/two.do", "core/shell.run"} <= set(found)


def test_secrets_reach_it_as_inputs_and_stay_masked(workflow):
    workflow("secrets", "set", "TOKEN", input=CANARY)
    folder = plugin(
        workflow.user / "tool", 'cat >&2; echo >&2; echo "::add-mask::minted-77" >&2; echo minted-77 >&2; echo 1'
    )
    path = flow(workflow, "acme/tool.do", {"word": "{{ secrets.TOKEN }}"}, secrets=["TOKEN"])
    text = json.dumps(run(workflow, path, "--plugins", folder))
    assert "***SECRET***" in text
    assert CANARY not in text
    assert "minted-77" not in text


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exit 3", "exited with code 3"),
        ("echo no json", "what the plugin printed is no JSON"),
        ("head -c 11000000 /dev/zero", "the output is larger than 10,485,760 bytes"),
    ],
)
def test_a_failure_is_explained(workflow, script, said):
    folder = plugin(workflow.user / "tool", script)
    assert said == message(run(workflow, flow(workflow, "acme/tool.do"), "--plugins", folder, code=1))


def test_output_that_does_not_fit_is_refused_and_none_is_null(workflow):
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    folder = plugin(workflow.user / "tool", 'echo \'{"n": "x"}\'', actions={"do": {"output": schema}})
    events = run(workflow, flow(workflow, "acme/tool.do"), "--plugins", folder, code=1)
    assert "the output does not fit the schema: n: Input should be a valid integer" in message(events)
    silent = plugin(workflow.user / "silent", ":")
    run(workflow, flow(workflow, "acme/tool.do"), "--plugins", silent)
    assert output(workflow) is None


def test_inputs_are_checked_before_and_after_they_are_resolved(workflow):
    folder = plugin(workflow.user / "tool", "echo 1")
    done = workflow("validate", flow(workflow, "acme/tool.do", {"wort": 1, "count": "x"}), "--plugins", folder)
    assert 3 == done.returncode
    assert "unknown key 'wort'" in done.stderr
    assert "expected a whole number, got text" in done.stderr
    path = flow(workflow, "acme/tool.do", {"count": "{{ vars.n }}"}, vars={"n": "x"})
    assert "inputs do not fit acme/tool.do: count" in message(run(workflow, path, "--plugins", folder, code=1))
    run(workflow, flow(workflow, "acme/tool.do", {"count": "{{ vars.n }}"}, vars={"n": 5}), "--plugins", folder)


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ("name: acme/tool\ncommand: [x]\n", "plugin.yaml:1:1: 'actions' is missing"),
        ("name: tool\ncommand: [x]\nactions: {do: {}}\n", "plugin.yaml:1:7: expected text of the form"),
        ("name: a/b\ncommand: [x]\nactions:\n  do: {inputs: {type: list}}\n",
         "plugin.yaml:4:7: action 'do': the inputs of an action are an object"),
        ("name: a/b\nname: c\n", "plugin.yaml:2:1: "),
        ("name: core/b\ncommand: [x]\nactions: {do: {}}\n", "core/ belongs to the engine"),
    ],
)  # fmt: skip
def test_a_manifest_that_is_wrong_is_named_with_its_place(workflow, manifest, said):
    folder = plugin(workflow.user / "tool", ":", manifest)
    error = workflow.fails("plugin", "list", "--plugins", folder, code=3)
    assert said in error


def test_two_plugins_of_one_type_are_an_error(workflow):
    for name in ("one", "two"):
        plugin(workflow.user / "plugins" / name, ":")
    error = workflow.fails("plugin", "list", "--plugins", workflow.user / "plugins", code=3)
    assert error.startswith("'acme/tool.do' is offered twice: by ")


def test_one_folder_that_is_named_several_times_is_one(workflow):
    folder = plugin(workflow.user / "tool", ":")
    (workflow.user / "link").symlink_to(folder)
    names = ("tool", folder, "../user/tool", "link", ".")
    options = [word for name in names for word in ("--plugins", name)]
    env = {"AUTOKESTRA_PLUGINS": f".:{folder}"}
    listed = workflow.ok("plugin", "list", "--json", *options, env=env)
    assert ["acme/tool.do"] == [each["id"] for each in json.loads(listed) if each["id"].startswith("acme/")]


def test_what_is_not_there_is_said(workflow):
    (workflow.user / "file").touch()
    assert "file' is no folder" in workflow.fails("plugin", "list", "--plugins", "file", code=3)
    assert "does not exist" in workflow.fails("plugin", "list", "--plugins", "nowhere", code=3)
    assert "unknown action 'core/shell.rum'" == workflow.fails("plugin", "show", "core/shell.rum", code=2)
    folder = plugin(workflow.user / "tool", ":")
    (folder / "run").chmod(0o644)
    events = run(workflow, flow(workflow, "acme/tool.do"), "--plugins", folder, code=1)
    assert "is no program; make it one with: chmod +x" in message(events)
    (folder / "run").unlink()
    (folder / "run").mkdir()
    events = run(workflow, flow(workflow, "acme/tool.do"), "--plugins", folder, code=1)
    assert f"'{folder / 'run'}' is a directory, and no program" == message(events)
    missing = plugin(workflow.user / "m", ":", "name: a/b\ncommand: [no-such-program]\nactions: {do: {}}\n")
    events = run(workflow, flow(workflow, "a/b.do"), "--plugins", missing, code=1)
    assert "no 'no-such-program' on the PATH" == message(events)


def test_an_action_that_nobody_offers_comes_with_the_way_to_it(workflow):
    path = flow(workflow, "acme/tool.do")
    done = workflow("validate", path)
    assert 3 == done.returncode
    assert "unknown action 'acme/tool.do'" in done.stderr
    assert (
        "no plugin offers it; name the folder of one with --plugins DIR, and see: workflow plugin list" in done.stderr
    )
    folder = plugin(workflow.user / "plugins/tool", "echo 1")
    done = workflow("validate", flow(workflow, "acme/tool.dp"), "--plugins", folder)
    assert "did you mean 'acme/tool.do'?" in done.stderr


def test_an_execution_whose_plugin_has_gone_fails_in_words_and_goes_on_with_it(workflow):
    folder = plugin(workflow.user / "tool", "[ -e go ] || exit 3; echo 1")
    run(workflow, flow(workflow, "acme/tool.do"), "--plugins", folder, code=1)
    (workflow.user / "go").touch()
    done = workflow("execution", "resume", "latest")
    assert 1 == done.returncode
    assert "there is no action 'acme/tool.do' any more; name the folder of its plugin with --plugins DIR" in done.stdout
    assert 0 == workflow("execution", "resume", "latest", "--plugins", folder).returncode


def test_show_tells_what_an_action_takes(workflow):
    shown = workflow.ok("plugin", "show", "core/shell.run")
    assert "script" in shown
    assert "required" in shown
    assert "bash | sh" in shown
    described = json.loads(workflow.ok("plugin", "show", "core/http.get", "--json"))
    assert "url" in described["inputs"]["properties"]


def test_a_new_plugin_runs_and_passes_its_own_test(workflow):
    workflow("plugin", "new", "acme/hello")
    assert "Hello, Ada! Hello, Ada!" in workflow.ok("run", "hello/example.yaml", "--plugins", "hello")
    subprocess.run([sys.executable, "hello/test_plugin.py"], cwd=workflow.user, check=True, capture_output=True)
    assert "hello exists already, and is left as it is" == workflow.fails("plugin", "new", "hello", code=2)
    assert "'Hello!' is no name of a plugin" == workflow.fails("plugin", "new", "Hello!", code=2)


def test_those_who_use_core_alone_do_not_pay_for_plugins(workflow):
    code = (
        "import sys; from autokestra.cli.main import main; code = main(['run', 'flow.yaml']); "
        "print(code, *(name in sys.modules for name in ('autokestra.actions.executable', 'autokestra.actions.entrypoint')))"
    )
    flow(workflow, "core/console.log", {"message": "x"})
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=workflow.user, env=workflow.environment(), check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    assert "0 False False" == done.stdout.splitlines()[-1]


# --- Python -----------------------------------------------------------------------------------------------------------

MODULE = '''
import os, sys
from typing import Literal
from pydantic import BaseModel, Field, field_validator
from autokestra.plugins import Context

open(os.environ.get("HOME", "/") + "/imported-by", "a").write(" ".join(sys.orig_argv) + "\\n")


class Inputs(BaseModel):
    name: str = Field(description="whom")
    size: Literal["s", "m"] = "s"
    mode: str = "plain"

    @field_validator("mode")
    @classmethod
    def known(cls, mode: str) -> str:
        """A check that no JSON schema can carry."""
        if mode == "refused":
            raise ValueError("not like this")
        return mode


class Output(BaseModel):
    greeting: str


def greet(inputs: Inputs, context: Context) -> Output:
    """Greets somebody."""
    context.log("greeting", "warning")
    context.progress(0.5, "half")
    context.mask("minted-77")
    print("minted-77", os.getcwd() == str(context.workdir), context.task_id)
    if inputs.mode == "raise":
        raise RuntimeError("told to")
    if inputs.mode == "nan":
        return [float("nan")]
    return Output(greeting=f"Hello, {inputs.name} ({inputs.size})")


def wrong(inputs, context):
    pass
'''


@pytest.fixture(scope="module")
def environment_with_plugin(tmp_path_factory):
    """An environment of its own with this one's packages and a distribution that has actions."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    site = next(folder.glob("lib/python*/site-packages"))
    here = next(path for path in sys.path if path.endswith("site-packages"))
    (site / "ours.pth").write_text(f"import site; site.addsitedir({here!r})\n")
    (site / "acme_mail.py").write_text(MODULE)
    info = site / "acme_mail-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-mail\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(
        "[autokestra.actions]\nacme/mail.greet = acme_mail:greet\nacme/mail.wrong = acme_mail:wrong\n"
    )
    return folder / "bin/python"


@pytest.fixture
def with_plugin(workflow, environment_with_plugin):
    def call(*args, code=0):
        main = "import sys; from autokestra.cli.main import main; sys.exit(main())"
        done = subprocess.run(
            [environment_with_plugin, "-c", main, *map(str, args)], cwd=workflow.user, env=workflow.environment(),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert code == done.returncode, done.stdout + done.stderr
        return done

    return call


def test_a_function_of_a_distribution_is_an_action(workflow, with_plugin):
    done = with_plugin("run", flow(workflow, "acme/mail.greet", {"name": "Ada"}))
    shown = [line for line in done.stdout.splitlines() if line.startswith("[t]")]
    assert "[t] warning: greeting" in shown
    assert "[t] 50% half" in shown
    assert "[t] ***SECRET*** True t" in shown
    assert {"greeting": "Hello, Ada (s)"} == output(workflow)


def test_its_module_is_never_imported_by_the_engine(workflow, with_plugin):
    with_plugin("run", flow(workflow, "acme/mail.greet", {"name": "Ada"}))
    with_plugin("plugin", "show", "acme/mail.greet")
    importers = (workflow.user / "imported-by").read_text().splitlines()
    assert importers
    assert all("autokestra.actions.host" in line for line in importers)


def test_its_inputs_are_checked_without_a_run(workflow, with_plugin):
    done = with_plugin("validate", flow(workflow, "acme/mail.greet", {"size": "xl", "nam": 1}), code=3)
    assert "'name' is missing" in done.stderr
    assert "expected one of 's', 'm', got 'xl'" in done.stderr


def test_its_inputs_are_checked_by_its_own_model_when_they_are_resolved(workflow, with_plugin):
    path = flow(workflow, "acme/mail.greet", {"name": "A", "size": "{{ vars.size }}"}, vars={"size": "xl"})
    with_plugin("validate", path)
    done = with_plugin("run", path, code=1)
    assert "inputs do not fit acme/mail.greet: size: expected one of 's', 'm'" in done.stdout
    path = flow(workflow, "acme/mail.greet", {"name": "A", "mode": "{{ vars.mode }}"}, vars={"mode": "refused"})
    assert "mode: Value error, not like this" in with_plugin("run", path, code=1).stdout


@pytest.mark.parametrize(
    ("mode", "said"),
    [("raise", "the plugin raised RuntimeError: told to"), ("nan", "output[0] is nan, which JSON cannot hold")],
)
def test_its_failures_are_explained(workflow, with_plugin, mode, said):
    done = with_plugin("run", flow(workflow, "acme/mail.greet", {"name": "A", "mode": mode}), code=1)
    assert said in done.stdout


def test_it_is_listed_and_shown(with_plugin):
    rows = {row["id"]: row["source"] for row in json.loads(with_plugin("plugin", "list", "--json").stdout)}
    assert "acme-mail 1.2" == rows["acme/mail.greet"]
    shown = with_plugin("plugin", "show", "acme/mail.greet").stdout
    assert "Greets somebody." in shown
    assert "whom" in shown
    done = with_plugin("plugin", "show", "acme/mail.wrong", code=3)
    assert "must be annotated with a pydantic model" in done.stderr
