"""A receiver of signed webhooks on loopback, to try the plugin on.

    printf '%s' "$KEY" | python3 receiver.py          # prints http://127.0.0.1:PORT

Every webhook is a line on stderr: whether its signature is good, and what it says. Needs only the standard library.
"""

import hashlib
import hmac
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Final

SECONDS: Final = 300  # a signature that is older is refused


class Handler(BaseHTTPRequestHandler):
    """Checks one webhook. `key` is set before the server starts."""

    key: bytes

    def do_POST(self) -> None:
        """Answer 202 when key and time are right, 403 otherwise."""
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        moment, given = self.headers.get("X-Acme-Time", ""), self.headers.get("X-Acme-Signature", "")
        expected = hmac.new(self.key, moment.encode() + b"." + body, hashlib.sha256).hexdigest()
        # Constant time: how long the answer takes tells nothing about how much of a guess was right.
        good = hmac.compare_digest(given.encode(), expected.encode()) and abs(time.time() - int(moment)) < SECONDS
        print("good" if good else "FORGED", body.decode(errors="replace"), file=sys.stderr, flush=True)
        self.send_response(202 if good else 403)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name in the base class
        """Keep quiet: the line above tells more."""


def main() -> int:
    """Read the key from stdin, print the address, and serve until SIGTERM or Ctrl-C."""
    Handler.key = sys.stdin.buffer.readline().rstrip(b"\r\n")
    if not Handler.key:
        print("error: no key on stdin", file=sys.stderr)
        return 2
    for number in (signal.SIGTERM, signal.SIGINT):  # also where a shell has started it with `&`
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
