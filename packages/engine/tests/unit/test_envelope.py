"""The envelope: what it carries, and that another version is refused."""

import json

import pytest

from autokestra.worker.envelope import Envelope, EnvelopeError

ENVELOPE = Envelope(
    execution_id="e",
    workflow_id="w",
    task_id="t",
    attempt=3,
    type="core/shell.run",
    workdir="somewhere",
    inputs={"script": "echo {{ secrets.T }}", "nested": [1, {"a": None}]},
    env={"T": "{{ secrets.T }}"},
    secrets=("T",),
    pass_env=("HTTPS_PROXY",),
    timeout=1.5,
    variables={"url": "u"},
    arguments={"day": "d"},
    parents=("a", "b"),
)


def test_it_comes_back_as_it_went():
    assert Envelope.from_json(ENVELOPE.to_json()) == ENVELOPE
    assert "e/t/3" == ENVELOPE.id


def test_another_version_is_refused_with_the_remedy():
    text = json.dumps(json.loads(ENVELOPE.to_json()) | {"version": 2})
    with pytest.raises(EnvelopeError, match="envelope of version 2, this worker knows 1") as caught:
        Envelope.from_json(text)
    assert "same version of autokestra" in caught.value.hint


def test_a_field_that_only_a_later_minor_version_knows_is_ignored():
    text = json.dumps(json.loads(ENVELOPE.to_json()) | {"colour": "blue"})
    assert Envelope.from_json(text) == ENVELOPE
