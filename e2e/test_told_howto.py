"""What the page about alarms shows reaches a server: a webhook, a mail, and the unit that systemd starts after a failure.

The servers are on loopback. They keep what they got, and the mail server does not speak TLS: that is the one thing in
which the workflow differs from the page.
"""

import json
import re
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from autokestra_secrets.testing import assert_no_leak
from book.blocks import blocks
from e2e.conftest import COMMAND
from e2e.schedules import as_systemd, exec_start

PAGE = Path(__file__).parents[1] / "docs/howto/be-told.md"
README = Path(__file__).parents[1] / "README.md"
TOKEN = "tok-4f9c2e7a81"
PASSWORD = "pw-7d3a91c0b2"


def titled(name: str) -> str:
    [text] = [block.text for block in blocks(PAGE) if block.title == name]
    return text


class Hook(ThreadingHTTPServer):
    """A webhook: keeps path and body of each POST."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), HookHandler)
        self.got: list[tuple[str, dict[str, str]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hooks/T0-c2VjcmV0LXBhdGg"


class HookHandler(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, json.loads(body)))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name in the base class
        pass


class Mail(socketserver.ThreadingTCPServer):
    """As much of SMTP (RFC 5321) as a client with a password needs; keeps all lines that it got."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), MailHandler)
        self.got: list[str] = []


class MailHandler(socketserver.StreamRequestHandler):
    server: Mail

    def handle(self) -> None:
        self.say("220 mail.example.org")
        answers = {
            "EHLO": "250-mail.example.org\r\n250 AUTH PLAIN",
            "AUTH": "235 ok",
            "DATA": "354 go on",
            "QUIT": "221 bye",
        }
        while line := self.rfile.readline().decode().rstrip("\r\n"):
            self.server.got.append(line)
            word = line.split()[0].upper()
            self.say(answers.get(word, "250 ok"))
            if word == "DATA":
                while (line := self.rfile.readline().decode().rstrip("\r\n")) != ".":
                    self.server.got.append(line)
                self.say("250 taken")
            if word == "QUIT":
                return

    def say(self, answer: str) -> None:
        self.wfile.write(f"{answer}\r\n".encode())


def served(server: socketserver.TCPServer) -> Iterator[socketserver.TCPServer]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def hook() -> Iterator[Hook]:
    yield from served(Hook())


@pytest.fixture
def mail() -> Iterator[Mail]:
    yield from served(Mail())


def test_a_failure_reaches_the_webhook_with_names_and_without_values(workflow, hook: Hook) -> None:
    workflow.ok("secrets", "set", "API_TOKEN", input=TOKEN)
    workflow.ok("secrets", "set", "ALERT_URL", input=hook.url)
    (workflow.user / "nightly.yaml").write_text(titled("nightly.yaml"))
    (workflow.user / "fetch.sh").write_text("#!/bin/sh\necho no answer to $1; exit 3\n")
    (workflow.user / "fetch.sh").chmod(0o755)
    done = workflow("run", "nightly.yaml")
    assert 1 == done.returncode
    [execution] = json.loads(workflow.ok("execution", "list", "--json"))
    text = f"nightly: fetch failed, see: workflow execution show {execution['id']}"
    assert [("/hooks/T0-c2VjcmV0LXBhdGg", {"text": text})] == hook.got
    assert_no_leak([TOKEN, hook.url], done.stdout, done.stderr, workflow.home)


def test_nothing_is_told_when_nothing_failed(workflow, hook: Hook) -> None:
    workflow.ok("secrets", "set", "API_TOKEN", input=TOKEN)
    workflow.ok("secrets", "set", "ALERT_URL", input=hook.url)
    (workflow.user / "nightly.yaml").write_text(titled("nightly.yaml").replace("./fetch.sh", "true"))
    workflow.ok("run", "nightly.yaml")
    assert [] == hook.got


def test_a_failure_is_mailed(workflow, mail: Mail) -> None:
    workflow.ok("secrets", "set", "SMTP_PASSWORD", input=PASSWORD)
    text = titled("mailing.yaml")
    assert 1 == text.count("smtplib.SMTP_SSL(")
    (workflow.user / "mailing.yaml").write_text(text.replace("smtplib.SMTP_SSL(", "smtplib.SMTP("))
    done = workflow("run", "mailing.yaml", "-i", f"server=127.0.0.1:{mail.server_address[1]}")
    assert 1 == done.returncode
    assert "[tell] SUCCESS" in done.stdout
    assert {"Subject: mailing: fetch failed", "To: ada@example.org"} <= set(mail.got)
    [body] = [line for line in mail.got if line.startswith("Look at it with")]
    assert re.fullmatch(r"Look at it with: workflow execution show \w{16}", body)
    assert_no_leak([PASSWORD], done.stdout, done.stderr, workflow.home)


def test_the_unit_that_systemd_starts_after_a_failure_tells_which(workflow, tmp_path: Path, hook: Hook) -> None:
    """Here the job failed for what `onFailure` cannot tell: its file is invalid."""
    ada = tmp_path / "ada"
    for folder in (".local/bin", "jobs"):
        (ada / folder).mkdir(parents=True)
    (ada / ".local/bin/workflow").symlink_to(COMMAND)
    (ada / "jobs/nightly.yaml").write_text("id: nightly\ntasks: nothing\n")
    (ada / "jobs/told.yaml").write_text(titled("told.yaml"))
    workflow.ok("secrets", "set", "ALERT_URL", input=hook.url, env={"AUTOKESTRA_HOME": str(ada / ".autokestra")})
    job, teller = exec_start(PAGE)
    assert 3 == as_systemd(job, ada).returncode
    assert 0 == as_systemd(teller, ada, instance="nightly.service").returncode
    text = "nightly.service failed, see: journalctl --user -u nightly.service"
    assert [("/hooks/T0-c2VjcmV0LXBhdGg", {"text": text})] == hook.got


def test_the_units_of_the_front_page_and_of_this_one_agree() -> None:
    units = [
        [block.text for block in blocks(page) if block.kind == "ini" and "OnFailure=" in block.text]
        for page in (README, PAGE)
    ]
    assert 1 == len(units[0])
    assert units[0] == units[1]
