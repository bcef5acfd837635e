"""The action is a function: its tests call it, against a server of their own. Run them with: python -m pytest"""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from acme_webhook import SendInputs, SendOutput, send, sign
from pydantic import ValidationError

from autokestra.plugins import Context

KEY = "wh-test-5e0b91c7aa24"
CONTEXT = Context(workdir=Path(), execution_id="e1", task_id="tell", attempt=1)


class Receiver(HTTPServer):
    """Remembers what it was sent, and answers with `status`."""

    status = 202

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hooks"


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((dict(self.headers), body))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name in the base class
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def inputs(**given: Any) -> SendInputs:
    return SendInputs(**{"event": "report.ready", "key": KEY, "data": {"rows": 3}, **given})


def test_what_is_sent_carries_a_signature_that_the_receiver_can_check(receiver: Receiver) -> None:
    assert send(inputs(url=receiver.url), CONTEXT) == SendOutput(status=202, delivery="e1/tell")
    [(headers, body)] = receiver.seen
    assert json.loads(body) == {"event": "report.ready", "data": {"rows": 3}}
    assert headers["X-Acme-Signature"] == sign(KEY, headers["X-Acme-Time"], body)
    assert headers["X-Acme-Signature"] != sign(KEY, headers["X-Acme-Time"], body + b" ")


def test_the_log_has_the_signature_only_as_a_mask(receiver: Receiver, capsys: pytest.CaptureFixture[str]) -> None:
    send(inputs(url=receiver.url), CONTEXT)
    signature = receiver.seen[0][0]["X-Acme-Signature"]
    lines = "".join(capsys.readouterr()).splitlines()
    assert {line for line in lines if signature in line} == {f"::add-mask::{signature}"}
    assert "sending report.ready as e1/tell, attempt 1" in lines
    assert KEY not in "".join(lines)


def test_an_answer_that_is_no_success_is_a_failure(receiver: Receiver) -> None:
    receiver.status = 500
    with pytest.raises(RuntimeError, match="the receiver answered 500"):
        send(inputs(url=receiver.url), CONTEXT)


@pytest.mark.parametrize("wrong", [{"url": "ftp://a"}, {"key": "short"}, {"timeout": 0}, {"evnt": "x"}])
def test_wrong_inputs_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        inputs(**{"url": "http://127.0.0.1/", **wrong})
