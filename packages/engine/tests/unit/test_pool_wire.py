"""What a worker is handed and answers, and what workers say that they offer."""

import json

import pytest

from autokestra.errors import StateUnavailableError
from autokestra.worker import wire
from autokestra.worker.dask_link import refuse_other_versions
from autokestra.worker.envelope import Envelope


class Noting:
    def __init__(self, error: Exception | None = None, state: str = "SUCCESS") -> None:
        self.error = error
        self.state = state
        self.events: list[str] = []

    def execute(self, envelope: str) -> str:
        self.events.append("run")
        if self.error:
            raise self.error
        return json.dumps({"attempt": "x", "state": self.state})

    def forget(self, execution: str) -> None:
        self.events.append(f"forget {execution}")


@pytest.fixture
def envelope() -> str:
    return Envelope(
        execution_id="e", workflow_id="w", task_id="t", attempt=1, type="core/shell.run", workdir="/", inputs={}
    ).to_json()


@pytest.fixture(autouse=True)
def _nobody_serves(monkeypatch):
    monkeypatch.setattr(wire._SERVING, "runner", None)


def test_a_worker_that_nobody_made_one_refuses(envelope) -> None:
    with pytest.raises(wire.RefusedError) as raised:
        wire.run_attempt(envelope)
    assert () == raised.value.args


def test_an_envelope_of_another_version_is_refused_and_not_run(envelope) -> None:
    runner = Noting()
    wire.serve_with(runner)
    other = json.dumps({**json.loads(envelope), "version": 2})
    with pytest.raises(wire.RefusedError) as raised:
        wire.run_attempt(other)
    assert () == raised.value.args
    assert [] == runner.events


def test_values_are_dropped_when_the_last_attempt_of_an_execution_has_ended(envelope) -> None:
    runner = Noting()
    wire.serve_with(runner)
    assert "SUCCESS" == json.loads(wire.run_attempt(envelope))["state"]
    assert ["run", "forget e"] == runner.events


def test_an_attempt_of_somebody_else_is_told_without_words(envelope) -> None:
    runner = Noting(state="ELSEWHERE")
    wire.serve_with(runner)
    with pytest.raises(wire.ElsewhereError) as raised:
        wire.run_attempt(envelope)
    assert () == raised.value.args
    assert ["run", "forget e"] == runner.events


@pytest.mark.parametrize("error", [StateUnavailableError("the database is gone"), RuntimeError("holds-a-value")])
def test_a_worker_that_cannot_write_rows_ends_and_says_no_value(envelope, error, monkeypatch, capsys) -> None:
    class LeftError(BaseException):
        pass

    def leave(code: int) -> None:
        raise LeftError(code)

    monkeypatch.setattr(wire.os, "_exit", leave)
    wire.serve_with(Noting(error))
    with pytest.raises(LeftError) as raised:
        wire.run_attempt(envelope)
    assert (wire.AGAIN,) == raised.value.args
    said = capsys.readouterr().err
    assert said.startswith("error: e/t/1: ")
    assert "holds-a-value" not in said


def test_objections_say_what_is_different() -> None:
    wanted = wire.offers(store="s", state="p")
    assert wire.objection(wanted, wire.offers(store="s", state="p") | wire.tag_offers(["gpu"])) is None
    assert "use another state database" == wire.objection(wanted, wire.offers(store="x", state="q"))
    assert "use another secrets store" == wire.objection(wanted, wire.offers(store=None, state="p"))


def test_only_workers_of_ours_have_a_version() -> None:
    refuse_other_versions({"a": {"resources": {}}, "b": {"resources": {"GPU": 1.0}}})
    refuse_other_versions({"a": {"resources": dict.fromkeys(wire.offers(store=None, state="p"), 1.0)}})
    with pytest.raises(Exception, match="worker b reads envelopes of version 7"):
        refuse_other_versions({"b": {"resources": dict.fromkeys(wire.offers(store=None, state="p", version=7), 1.0)}})
