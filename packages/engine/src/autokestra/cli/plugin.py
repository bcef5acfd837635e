"""`workflow plugin`: which actions there are, what they take, and a first plugin to edit."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from autokestra.cli import console
from autokestra.cli.completion.suggestions import action_types, folder_paths
from autokestra.errors import UsageError

if TYPE_CHECKING:
    from autokestra.actions.plugin import Actions
    from autokestra.actions.protocol import Action

NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")

plugins_option = click.option(
    "--plugins",
    metavar="DIR",
    shell_complete=folder_paths,
    multiple=True,
    help="Folder of plugins; may be given again.  [also: $AUTOKESTRA_PLUGINS]",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group("plugin")
def plugin() -> None:
    """List and describe actions, and begin a plugin."""


@plugin.command("list")
@plugins_option
@json_option
def list_(plugins: Sequence[str], as_json: bool) -> None:  # noqa: FBT001  # click calls by name
    """List all actions, built in and of plugins."""
    actions = _actions(plugins)
    rows = [(type_, _source(actions[type_])) for type_ in sorted(actions)]
    if as_json:
        console.out_json([{"id": type_, "source": source} for type_, source in rows])
    else:
        console.out(console.table(("TYPE", "FROM"), rows))


@plugin.command("show")
@click.argument("type_", metavar="TYPE", shell_complete=action_types)
@plugins_option
@json_option
def show(type_: str, plugins: Sequence[str], as_json: bool) -> None:  # noqa: FBT001  # click calls by name
    """Show what an action does and takes."""
    from autokestra.workflow.problems import action_hint  # noqa: PLC0415

    actions = _actions(plugins)
    action = actions.get(type_)
    if action is None:
        raise UsageError(f"unknown action '{type_}'", hint=action_hint(type_, actions))
    inputs = _schema(action)
    description = str(getattr(action, "description", "") or inputs.get("description", ""))
    output = getattr(action, "output_schema", None)
    if as_json:
        item = {"id": type_, "source": _source(action), "description": description, "inputs": inputs, "output": output}
        console.out_json(item)
        return
    console.out(f"{type_}  from {_source(action)}")
    for line in description.splitlines():
        console.out(console.visible(line))
    required, definitions = inputs.get("required", []), inputs.get("$defs", {})
    rows = [
        (
            name,
            _kind(inner, definitions),
            "required" if name in required else _default(inner),
            str(inner.get("description", "")),
        )
        for name, inner in inputs.get("properties", {}).items()
    ]
    if rows:
        console.out("")
        console.out(console.table(("INPUT", "KIND", "DEFAULT", "MEANING"), rows))


@plugin.command("new")
@click.argument("name")
def new(name: str) -> None:
    """Write a plugin to edit, with a workflow that uses it and a test that passes."""
    namespace, slash, short = name.rpartition("/")
    namespace = namespace if slash else "my"
    if not (NAME.fullmatch(short) and NAME.fullmatch(namespace)):
        raise UsageError(
            f"'{name}' is no name of a plugin", hint="use small letters, digits, '-' and '_': hello, acme/hello"
        )
    folder = Path(short)
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise UsageError(f"{folder} exists already, and is left as it is", hint="choose another name") from None
    for file, text in _TEMPLATE.items():
        path = folder / file
        path.write_text(text.replace("NAMESPACE", namespace).replace("PLUGIN", short), encoding="utf-8")
    (folder / "plugin.py").chmod(0o755)
    console.notice(f"wrote {folder}/: {', '.join(_TEMPLATE)}")
    console.notice(f"try it with: workflow run {folder}/example.yaml --plugins {folder}")
    console.notice(f"test it with: python3 {folder}/test_plugin.py")


def _actions(plugins: Sequence[str]) -> "Actions":
    from autokestra.app import App  # noqa: PLC0415

    return App(plugins=plugins).actions


def _source(action: "Action") -> str:
    return str(getattr(action, "source", "autokestra"))


def _schema(action: "Action") -> Mapping[str, Any]:
    schema: Mapping[str, Any] | None = getattr(action, "schema", None)
    return schema if schema is not None else action.input_model.model_json_schema(by_alias=True)


def _kind(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    if "$ref" in schema:  # followed once: a definition may hold itself
        schema, definitions = definitions.get(str(schema["$ref"]).removeprefix("#/$defs/"), {}), {}
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(_kind(each, definitions) for each in schema["anyOf"]))
    kind = schema.get("type", "any")
    return " | ".join(kind) if isinstance(kind, list) else str(kind)


def _default(schema: Mapping[str, Any]) -> str:
    return json.dumps(schema["default"], ensure_ascii=False) if schema.get("default") is not None else ""


_TEMPLATE: Final = {
    "plugin.yaml": """\
# A plugin: any executable, and this file that says what it can do.
name: NAMESPACE/PLUGIN
version: "0.1"
description: What it is for
command: [./plugin.py]
actions:
  greet:
    description: Greets somebody a few times.
    inputs:                      # JSON schema; checked before anything runs, and again with the real values
      type: object
      properties:
        name: {type: string, minLength: 1, description: Whom to greet.}
        times: {type: integer, minimum: 1, maximum: 100, description: How often.}
      required: [name]
    output:
      type: object
      properties:
        greeting: {type: string}
      required: [greeting]
""",
    "plugin.py": '''\
#!/usr/bin/env python3
"""The actions of NAMESPACE/PLUGIN. Called with the action's name; JSON on stdin, the output as JSON on stdout."""

import json
import sys


def greet(inputs):
    print("greeting", inputs["name"], file=sys.stderr)  # the log; secrets in it are masked
    return {"greeting": " ".join([f"Hello, {inputs['name']}!"] * inputs.get("times", 1))}


ACTIONS = {"greet": greet}

if __name__ == "__main__":
    order = json.load(sys.stdin)  # action, inputs, workdir, execution, task, attempt
    json.dump(ACTIONS[order["action"]](order["inputs"]), sys.stdout)
''',
    "example.yaml": """\
# Run it with: workflow run PLUGIN/example.yaml --plugins PLUGIN
id: PLUGIN-example
tasks:
  - id: greet
    type: NAMESPACE/PLUGIN.greet
    inputs: {name: Ada, times: 2}
  - id: show
    type: core/console.log
    needs: [greet]
    inputs: {message: "{{ tasks.greet.output.greeting }}"}
""",
    "test_plugin.py": '''\
"""Run with: python3 test_plugin.py"""

import json
import subprocess
import unittest
from pathlib import Path

PLUGIN = Path(__file__).resolve().with_name("plugin.py")


def call(action, **inputs):
    order = json.dumps({"action": action, "inputs": inputs})
    done = subprocess.run([PLUGIN, action], input=order, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


class Greet(unittest.TestCase):
    def test_it_greets_as_often_as_asked(self):
        self.assertEqual({"greeting": "Hello, Ada! Hello, Ada!"}, call("greet", name="Ada", times=2))


if __name__ == "__main__":
    unittest.main()
''',
}
