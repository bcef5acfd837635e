"""A small API on loopback that is often down: it answers 503 so many times, and then what it was asked for.

    printf '%s' "$TOKEN" | python3 flaky.py --failures 2          # prints http://127.0.0.1:PORT

`GET /rates` wants `Authorization: Bearer TOKEN`. Every request is a line on stderr, with the seconds since the one
before. Needs only the standard library.
"""

import argparse
import hmac
import json
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Final

RATES: Final = {"base": "EUR", "rates": {"CHF": 0.9312, "NOK": 11.7745, "USD": 1.0841}}


class Handler(BaseHTTPRequestHandler):
    """Answers one request. `authorization` and `failures` are set before the server starts."""

    authorization: bytes
    failures: int
    last: float | None = None

    def do_GET(self) -> None:
        """Check the token, fail as long as there are failures left, and then answer."""
        now = time.monotonic()
        since = 0.0 if Handler.last is None else now - Handler.last
        Handler.last = now
        if not hmac.compare_digest(self.headers.get("Authorization", "").encode("latin-1"), self.authorization):
            self._answer(401, {"error": "a valid token is needed"}, since)
        elif Handler.failures > 0:
            Handler.failures -= 1
            self._answer(503, {"error": "come back later"}, since)
        else:
            self._answer(200, RATES, since)

    def _answer(self, status: int, value: object, since: float) -> None:
        print(f"{self.path} {status} after {since:.1f} s", file=sys.stderr, flush=True)
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name in the base class
        """Keep quiet: the line above tells more."""


def main() -> int:
    """Read the token from stdin, print the address, and serve until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(description="an API that is often down")
    parser.add_argument("--failures", type=int, default=2, help="how many requests are answered with 503")
    Handler.failures = parser.parse_args().failures
    token = sys.stdin.buffer.readline().rstrip(b"\r\n")
    if not token:
        print("error: no token on stdin", file=sys.stderr)
        return 2
    Handler.authorization = b"Bearer " + token
    # Also where a shell has started it with `&`: there Ctrl-C would be ignored.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
