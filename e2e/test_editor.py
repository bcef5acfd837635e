"""The schema in a real language server, the one of VS Code's YAML extension. Skipped where it is not installed.

It comes with: npm install -g yaml-language-server
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

SERVER = shutil.which("yaml-language-server")
pytestmark = pytest.mark.skipif(SERVER is None, reason="yaml-language-server is not installed")

MODELINE = "# yaml-language-server: $schema=workflow.schema.json\n"


class Server:
    """Speaks the Language Server Protocol over pipes."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen([SERVER, "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=folder)
        self._folder = folder
        self._number = 0
        self.diagnostics: dict[str, list[dict]] = {}
        self.ask("initialize", {"processId": None, "rootUri": folder.as_uri(), "capabilities": {}})
        self._send({"method": "initialized", "params": {}})

    def ask(self, method: str, params: object) -> object:
        self._number += 1
        number = self._number
        self._send({"id": number, "method": method, "params": params})
        while (message := self._read()).get("id") != number or "method" in message:
            self._react(message)
        return message["result"]

    def opened(self, text: str) -> list[dict]:
        """Open a file and return what the editor would underline."""
        uri = (self._folder / f"flow{self._number}.yaml").as_uri()
        self._number += 1
        document = {"uri": uri, "languageId": "yaml", "version": 1, "text": MODELINE + text}
        self._send({"method": "textDocument/didOpen", "params": {"textDocument": document}})
        while uri not in self.diagnostics:
            self._react(self._read())
        return self.diagnostics[uri]

    def completions(self, text: str) -> list[str]:
        """Return what is offered at the end of a text."""
        self.opened(text)
        lines = (MODELINE + text).split("\n")
        found = self.ask(
            "textDocument/completion",
            {
                "textDocument": {"uri": list(self.diagnostics)[-1]},
                "position": {"line": len(lines) - 1, "character": len(lines[-1])},
            },
        )
        return [item["label"] for item in found["items"]]

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _react(self, message: dict) -> None:
        if message.get("method") == "textDocument/publishDiagnostics":
            self.diagnostics[message["params"]["uri"]] = message["params"]["diagnostics"]
        elif "id" in message and "method" in message:
            answer = (
                [None] * len(message["params"]["items"]) if message["method"] == "workspace/configuration" else None
            )
            self._send({"id": message["id"], "result": answer})

    def _send(self, message: dict) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self._process.stdin.flush()

    def _read(self) -> dict:
        length = 0
        while (line := self._process.stdout.readline()) != b"\r\n":
            assert line, "the language server has ended"
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        return json.loads(self._process.stdout.read(length))


@pytest.fixture
def editor(workflow) -> Iterator[Server]:
    (workflow.user / "workflow.schema.json").write_text(workflow.ok("schema"))
    server = Server(workflow.user)
    yield server
    server.close()


def test_mistakes_are_underlined_where_they_stand(editor) -> None:
    found = editor.opened("id: w\ntasks:\n  - id: a\n    type: core/shell.run\n    need: [b]\n    inputs: {scrpt: x}\n")
    places = {(each["range"]["start"]["line"], each["message"]) for each in found}
    assert (5, "Property need is not allowed.") in places
    assert (6, "Property scrpt is not allowed.") in places
    assert (6, 'Missing property "script".') in places


def test_a_valid_workflow_is_left_alone(editor) -> None:
    assert [] == editor.opened(
        "id: w\ntimeout: 1h\ntasks:\n  - id: a\n    type: core/http.get\n    timeout: 30s\n"
        "    inputs: {url: x, verify: '{{ inputs.x }}', expectedStatus: ['2xx', 404]}\n"
    )


def test_actions_keys_and_inputs_are_completed(editor) -> None:
    assert {"core/shell.run", "core/http.get"} <= set(editor.completions("id: w\ntasks:\n  - id: a\n    type: "))
    assert {"needs", "retry", "timeout"} <= set(editor.completions("id: w\ntasks:\n  - id: a\n    "))
    start = "id: w\ntasks:\n  - id: a\n    type: core/shell.run\n    inputs:\n      "
    assert {"script", "shell", "workdir"} <= set(editor.completions(start))
