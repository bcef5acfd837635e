"""The built-in actions, known without being imported."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from autokestra.actions.registry import catalog, core_actions

TYPES = [
    "core/assert", "core/console.log", "core/file.read", "core/file.write", "core/http.get", "core/http.request",
    "core/python.run", "core/shell.run", "core/sleep", "core/sql.query", "core/workflow.run",
]  # fmt: skip


def test_all_built_in_actions_are_there():
    assert TYPES == sorted(core_actions())
    assert {name: action.input_model for name, action in core_actions().items()} == catalog()
    assert all(name == action.type for name, action in core_actions().items())


def test_actions_stand_for_what_they_say():
    import importlib

    for name, action in core_actions().items():
        real = getattr(importlib.import_module(f"autokestra.actions.{action.module}"), action.name)()
        assert (name, action.input_model) == (real.type, real.input_model)


def test_knowing_the_actions_imports_none():
    code = """
import sys
from autokestra.actions.registry import catalog, core_actions
catalog(), core_actions()
print([name for name in ("httpx", "asyncio", "subprocess", "ssl", "autokestra.actions.process") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "[]\n" == done.stdout


@pytest.mark.parametrize("name", TYPES)
def test_unknown_inputs_are_errors_and_every_field_is_described(name):
    model = catalog()[name]
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        model.model_validate({"surprise": 1})
    properties = model.model_json_schema()["properties"]
    assert all(field.get("description") for field in properties.values())


@pytest.mark.parametrize(
    ("name", "inputs", "problem"),
    [
        ("core/shell.run", {}, "Field required"),
        ("core/shell.run", {"script": ""}, "at least 1 character"),
        ("core/shell.run", {"script": "x", "shell": "fish"}, "'bash' or 'sh'"),
        ("core/http.get", {"url": "http://x", "method": "POST"}, "Extra inputs"),
        ("core/http.get", {"url": "http://x", "timeout": "soon"}, "expected a duration"),
        ("core/http.get", {"url": "http://x", "timeout": 0}, "more than 0"),
        ("core/http.get", {"url": "http://x", "expectedStatus": "6xx"}, "match pattern"),
        ("core/http.get", {"url": "http://x", "auth": {}}, "give exactly one of basic, bearer"),
        ("core/http.get", {"url": "http://x", "auth": {"basic": {"username": "a:b", "password": ""}}}, "match pattern"),
        (
            "core/http.get",
            {"url": "http://x", "auth": {"bearer": "t"}, "headers": {"authorization": "x"}},
            "give either auth or an Authorization header",
        ),
        ("core/http.request", {"url": "http://x", "json": None, "body": ""}, "give at most one of json, form, body"),
        ("core/http.request", {"url": "http://x", "method": "get it"}, "match pattern"),
        ("core/file.write", {"path": "x", "content": "", "mode": "rw"}, "match pattern"),
        ("core/sql.query", {"database": "x", "sql": "x", "maxRows": 0}, "greater than or equal"),
        ("core/sleep", {"duration": -1}, "more than 0"),
    ],
)
def test_wrong_inputs_are_refused(name, inputs, problem):
    with pytest.raises(ValidationError, match=problem):
        catalog()[name].model_validate(inputs)


@pytest.mark.parametrize(
    ("text", "seconds"), [(3, 3), (0.5, 0.5), ("30s", 30), ("1.5m", 90), ("2h", 7200), ("1d", 86400)]
)
def test_durations(text, seconds):
    assert seconds == catalog()["core/http.get"].model_validate({"url": "http://x", "timeout": text}).timeout
