"""Laws of the schema for editors, over workflows that were changed at random places."""

import copy
import json

import jsonschema
from hypothesis import given, settings
from hypothesis import strategies as st

from autokestra.actions.registry import catalog
from autokestra.workflow.document import read
from autokestra.workflow.schema import workflow_schema
from autokestra.workflow.validate import validate

VALIDATOR = jsonschema.Draft7Validator(workflow_schema(catalog()))

BASE = {
    "apiVersion": "v1",
    "id": "w",
    "description": "x",
    "inputs": {"day": {"type": "string", "default": "x", "description": "y"}},
    "vars": {"a": 1},
    "secrets": ["A"],
    "passEnv": ["B"],
    "timeout": "1h",
    "concurrency": {"max": 1, "onBusy": "wait"},
    "tasks": [
        {
            "id": "one",
            "type": "core/http.request",
            "description": "x",
            "inputs": {
                "url": "x",
                "headers": {"A": "b"},
                "query": {"c": [1, None]},
                "auth": {"basic": {"username": "u", "password": "p"}, "bearer": None},
                "timeout": 5,
                "followRedirects": True,
                "verify": True,
                "caBundle": "x",
                "expectedStatus": [200, "4xx"],
                "method": "POST",
                "form": {"a": "b"},
            },
            "env": {"X": "y"},
        },
        {
            "id": "two",
            "type": "core/shell.run",
            "inputs": {"script": "x", "shell": "sh", "workdir": None},
            "needs": ["one"],
            "when": "{{ inputs.day == 'x' }}",
            "forEach": [1],
            "maxParallel": 2,
            "retry": {"max": 1, "backoffSeconds": 1, "maxBackoffSeconds": 1.5, "jitter": True},
            "timeout": 3,
            "continueOnError": False,
        },
        {"id": "three", "type": "core/console.log", "inputs": {"message": {"a": []}, "level": "info"}},
    ],
    "onFailure": [{"id": "four", "type": "core/python.run", "inputs": {"script": "x", "inputs": {"a": 1}}}],
}

TEMPLATE = "{{ vars.a }}"
SCALARS = [
    None,
    True,
    False,
    0,
    1,
    -1,
    5,
    200,
    1.5,
    2.0,
    "",
    "x",
    "5",
    "1.5",
    "yes",
    "true",
    "30s",
    "2xx",
    "[]",
    TEMPLATE,
]
VALUES = st.recursive(
    st.sampled_from(SCALARS),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "max", "x y"]), inner, max_size=2)
    ),
    max_leaves=3,
)
KEYS = st.sampled_from(["a", "x y", "id", "needs", "retry", "timeout", "json", "body", "script", "when", "default"])


def places(value, path=()):
    if isinstance(value, dict | list):
        for step in value if isinstance(value, dict) else range(len(value)):
            yield (*path, step)
            yield from places(value[step], (*path, step))


@st.composite
def documents(draw):
    document = copy.deepcopy(BASE)
    for _ in range(draw(st.integers(1, 3))):
        *parents, last = draw(st.sampled_from(list(places(document)) or [("id",)]))
        box = document
        for step in parents:
            box = box[step]
        change = draw(st.sampled_from(["replace", "replace", "replace", "remove", "add"]))
        if change == "replace":
            box[last] = draw(VALUES)
        elif change == "remove" and last in box:
            del box[last]
        elif isinstance(box, dict):
            box[draw(KEYS)] = draw(VALUES)
    return document


@settings(deadline=None)
@given(documents())
def test_what_validate_accepts_the_schema_accepts(document):
    problems = validate(read(json.dumps(document)), file="w", catalog=catalog())[1]
    if not [each for each in problems if each.severity == "error"]:
        assert [] == [each.message for each in VALIDATOR.iter_errors(document)]


@settings(deadline=None)
@given(documents())
def test_what_the_schema_accepts_has_no_unknown_key_and_none_missing(document):
    if VALIDATOR.is_valid(document):
        problems = validate(read(json.dumps(document)), file="w", catalog=catalog())[1]
        assert [] == [
            each.message for each in problems if each.message.startswith("unknown key") or "missing" in each.message
        ]
