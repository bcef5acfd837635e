"""The schema for editors is true: whatever `validate` accepts it accepts, and it refuses mistakes of structure.

Judged over every workflow that stands in the examples, the pages and the tests of this project.
"""

import ast
import json
import re
from pathlib import Path
from textwrap import dedent
from typing import Annotated, Literal

import jsonschema
import pytest
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from autokestra.actions.registry import catalog
from autokestra.workflow.document import read
from autokestra.workflow.schema import workflow_schema
from autokestra.workflow.validate import validate

ROOT = Path(__file__).parents[4]
BLOCK = re.compile(r"^```yaml[^\n]*\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
SCHEMA = workflow_schema(catalog())
VALIDATOR = jsonschema.Draft7Validator(SCHEMA)


def corpus():
    """Yield every text that may be a workflow."""
    for folder in ("examples", "docs", "packages", "e2e"):
        for file in sorted((ROOT / folder).rglob("*")):
            if file.suffix in (".yaml", ".yml"):
                yield file.read_text(encoding="utf-8")
            elif file.suffix == ".md":
                yield from (match["text"] for match in BLOCK.finditer(file.read_text(encoding="utf-8")))
            elif file.suffix == ".py":
                for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                    if isinstance(node, ast.Constant) and isinstance(node.value, str) and "tasks:" in node.value:
                        yield dedent(node.value)


def workflows():
    for text in dict.fromkeys(corpus()):
        document = read(text)
        if document.complete and not document.faults and isinstance(document.data, dict):
            yield text, document


def errors(document):
    return [each for each in validate(document, file="w", catalog=catalog())[1] if each.severity == "error"]


def test_the_schema_is_one():
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    assert "http://json-schema.org/draft-07/schema#" == SCHEMA["$schema"]
    references = set(re.findall(r'"\$ref": "#/definitions/([^"]+)"', json.dumps(SCHEMA)))
    assert references <= {name.replace("/", "~1") for name in SCHEMA["definitions"]}


def test_whatever_validate_accepts_the_schema_accepts():
    accepted, refused = 0, {}
    for text, document in workflows():
        if not errors(document):
            accepted += 1
            if problems := [each.message for each in VALIDATOR.iter_errors(document.data)]:
                refused[text] = problems
    assert {} == refused
    assert accepted > 40


def test_what_has_an_unknown_key_or_lacks_one_is_refused_by_both():
    known, seen, missed = set(catalog()), 0, []
    for text, document in workflows():
        tasks = document.data.get("tasks")
        types = {str(each.get("type")) for each in tasks if isinstance(each, dict)} if isinstance(tasks, list) else {}
        said = [each.message for each in errors(document)]
        if known.issuperset(types) and any(
            message.startswith("unknown key") or "missing" in message for message in said
        ):
            seen += 1
            if VALIDATOR.is_valid(document.data):
                missed.append(text)
    assert [] == missed
    assert seen > 10


def task(**changes):
    return {"id": "w", "tasks": [{"id": "a", "type": "core/shell.run", "inputs": {"script": "x"}, **changes}]}


@pytest.mark.parametrize(
    "data",
    [
        [],
        {},
        {"id": "w"},
        {"id": "w", "tasks": []},
        {"id": "a b", "tasks": task()["tasks"]},
        {**task(), "secrts": []},
        {**task(), "secrets": ["A B"]},
        {**task(), "secrets": "A"},
        {**task(), "inputs": {"a b": {}}},
        {**task(), "inputs": {"a": {"type": "text"}}},
        {**task(), "timeout": "soon"},
        {**task(), "timeout": 0},
        {**task(), "concurrency": 0},
        {**task(), "concurrency": {"onBusy": "wait"}},
        {**task(), "schedule": "0 2 * * *"},
        task(type="core/shel.run"),
        task(inputs={}),
        task(inputs={"scrpt": "x"}),
        task(inputs={"script": 5}),
        task(inputs={"script": "x", "shell": "zsh"}),
        task(script="x"),
        task(retry=3),
        task(retry={"max": -1}),
        task(retry={"max": 1, "jitter": 2}),
        task(needs="b"),
        task(env={"A-B": "x"}),
        task(env={"A": 1}),
        task(when="inputs.day == 'monday'"),
        task(forEach="a,b"),
        task(maxParallel=0),
        task(maxOutput="much"),
        task(limits={"memory": "1 Pound"}),
        task(isolation="some"),
        task(type="core/http.get", inputs={"url": "x", "expectedStatus": 99}),
        task(type="core/http.get", inputs={"url": "x", "auth": {"basci": "x"}}),
        task(type="core/http.get", inputs={"url": "x", "verify": "perhaps"}),
        task(type="core/http.get", inputs={"url": "x", "timeout": "soon"}),
        {**task(), "onFailure": [{"id": "b", "type": "core/console.log"}]},
    ],
)
def test_mistakes_of_structure_are_refused_by_both(data):
    assert not VALIDATOR.is_valid(data)
    assert errors(read(json.dumps(data)))


@pytest.mark.parametrize(
    "inputs",
    [
        {"url": "x", "verify": "no", "timeout": "30s", "expectedStatus": ["2xx", 404]},
        {"url": "x", "verify": "{{ vars.a }}", "timeout": "{{ vars.a }}", "expectedStatus": ["{{ vars.a }}"]},
        {"url": "{{ vars.a }}", "headers": "{{ vars.a }}", "auth": {"bearer": "{{ vars.a }}"}},
        {"url": "x", "query": {"a": ["{{ vars.a }}", 1, None]}, "followRedirects": True, "caBundle": None},
    ],
)
def test_values_and_templates_are_accepted_by_both(inputs):
    data = {"vars": {"a": 1}, **task(type="core/http.get", inputs=inputs)}
    assert [] == list(VALIDATOR.iter_errors(data))
    assert [] == errors(read(json.dumps(data)))


class Inner(BaseModel):
    """Something within."""

    title: str
    again: "Inner | None" = None


class Strange(BaseModel):
    """Inputs of an action that is not ours."""

    model_config = ConfigDict(extra="forbid")
    title: Annotated[str, Field(max_length=3)]
    size: Annotated[int, BeforeValidator(lambda value: value)] = 0
    count: Annotated[int, Field(strict=True)] = 1
    inner: Inner | None = None
    level: Literal["a", "b"] = "a"


def test_sizes_are_accepted_as_they_are_written():
    for size in ("64MiB", "500kB", "1.5 GiB", " 12B ", "1MB", 4096):
        assert VALIDATOR.is_valid(task(maxOutput=size)), size
        assert [] == errors(read(json.dumps(task(maxOutput=size)))), size


def test_actions_of_others_become_part_of_the_schema():
    validator = jsonschema.Draft7Validator(workflow_schema({"acme/tools.strange": Strange}))

    def fits(**inputs):
        return validator.is_valid({"id": "w", "tasks": [{"id": "a", "type": "acme/tools.strange", "inputs": inputs}]})

    assert fits(title="abc", inner={"title": "x", "again": {"title": "y"}}, level="b", count=5)
    assert fits(title="{{ vars.long }}", inner="{{ vars.a }}", level="{{ vars.a }}", count="{{ vars.a }}")
    assert fits(title="abc", size={"a validator that says not what it takes": "may take anything"})
    assert not fits(title="abcd")
    assert not fits(inner={})
    assert not fits(title="abc", inner={"again": {}})
    assert not fits(title="abc", count="5")
    assert not fits(title="abc", level="c")
    assert not fits(title="abc", unknown=1)
    assert not validator.is_valid({"id": "w", "tasks": [{"id": "a", "type": "core/shell.run"}]})


def test_keys_are_described_and_not_titled():
    keys = SCHEMA["properties"] | SCHEMA["definitions"]["Task"]["properties"]
    assert [] == [name for name, each in keys.items() if not each.get("description")]
    assert '"title": "Id"' not in json.dumps(SCHEMA)
