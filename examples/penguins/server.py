"""A small HTTP API on loopback that serves the penguins table to those who know the token.

    printf '%s' "$TOKEN" | python server.py          # prints http://127.0.0.1:PORT

`GET /penguins` and `GET /penguins?species=Adelie`, with `Authorization: Bearer TOKEN`, answer with a JSON array of
objects; what was not measured is null. Anybody else gets 401. Needs only the standard library.
"""

import csv
import hmac
import json
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

TABLE: Final = Path(__file__).with_name("penguins.csv")

Penguin = dict[str, str | float | None]


def load(path: Path) -> list[Penguin]:
    """Return the rows of the table: numbers as numbers, `NA` as None."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{column: _value(text) for column, text in row.items()} for row in csv.DictReader(file)]


def _value(text: str) -> str | float | None:
    if text == "NA":
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


class Handler(BaseHTTPRequestHandler):
    """Answers one request. `penguins` and `authorization` are set before the server starts."""

    protocol_version = "HTTP/1.1"
    penguins: list[Penguin]
    authorization: bytes

    def do_GET(self) -> None:
        """Check the token, then the path."""
        given = self.headers.get("Authorization", "").encode("latin-1")
        # Constant time: how long the answer takes tells nothing about how much of a guess was right.
        if not hmac.compare_digest(given, self.authorization):
            self._answer(401, {"error": "a valid token is needed"})
            return
        address = urlsplit(self.path)
        if address.path != "/penguins":
            self._answer(404, {"error": "there is only /penguins"})
            return
        species = parse_qs(address.query).get("species")
        rows = self.penguins if species is None else [bird for bird in self.penguins if bird["species"] in species]
        self._answer(200, rows)

    def _answer(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        if status == 401:
            self.send_header("WWW-Authenticate", "Bearer")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name in the base class
        """Keep quiet: the workflow's log tells enough."""


def main() -> int:
    """Read the token from stdin, print the address, and serve until SIGTERM or Ctrl-C."""
    token = sys.stdin.buffer.readline().rstrip(b"\r\n")
    if not token:
        print("error: no token on stdin", file=sys.stderr)
        return 2
    Handler.penguins = load(TABLE)
    Handler.authorization = b"Bearer " + token
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
