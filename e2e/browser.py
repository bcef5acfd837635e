"""A real browser without a window: Chromium, spoken to over a pipe (DevTools protocol), with nothing but Python.

`with Browser.start(path) as browser, ...` opens pages from files; `evaluate` runs JavaScript in the page as a user's
console does, `press` types keys as a keyboard does; `requests` says what the page loaded, `blocked` what it was not
allowed to, and `complaints` what the browser had to say about it.
"""

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

NAMES = ("chromium", "chromium-browser", "chromium-headless-shell", "google-chrome", "chrome")
HOW_TO_GET = "no browser on the PATH: on Debian and Ubuntu, apt-get install chromium"
SECONDS = 60

# No window, no profile, no talk with its maker. Root, as in containers, cannot have Chromium's own sandbox; the pages
# are ours.
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--disable-default-apps",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--remote-debugging-pipe",
)


# The protocol wants descriptors 3 and 4; moved out of each other's way first.
WITH_PIPES = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]
for number, end in enumerate(ends, start=3):
    os.dup2(end, number)
    os.close(end)
os.execv(sys.argv[3], sys.argv[3:])
"""


def find() -> str | None:
    """Return a browser of this machine, None if there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Browser:
    """One page in one browser."""

    def __init__(self, process: subprocess.Popen[bytes], write: int, read: int) -> None:
        self._process = process
        self._write, self._read = write, read
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self._requests: dict[str, str] = {}
        self.blocked: list[str] = []
        self.complaints: list[str] = []

    @classmethod
    @contextmanager
    def start(cls, program: str) -> Iterator["Browser"]:
        """Start a browser with an empty profile; it and its files are gone afterwards."""
        with TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True) as profile:
            to_browser, write = os.pipe()
            read, from_browser = os.pipe()
            argv = [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
            process = subprocess.Popen(
                [sys.executable, "-S", "-c", WITH_PIPES, str(to_browser), str(from_browser), *argv],
                pass_fds=(to_browser, from_browser),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={"PATH": os.environ["PATH"], "HOME": profile, "LANG": "C.UTF-8", "TZ": "UTC"},
                start_new_session=True,
            )
            os.close(to_browser)
            os.close(from_browser)
            browser = cls(process, write, read)
            try:
                browser._attach()
                yield browser
            finally:
                os.close(write)  # the end of the pipe ends the browser
                try:
                    process.wait(timeout=10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                os.close(read)

    @property
    def requests(self) -> list[str]:
        """The addresses that were asked for; what the page's policy has stopped is not among them."""
        return list(self._requests.values())

    def open(self, page: Path, *, width: int = 1200, height: int = 900) -> None:
        """Load a page from a file and wait until it is there with all its scripts."""
        self._requests.clear()
        self.blocked.clear()
        self.complaints.clear()
        self.prefer()
        self.resize(width, height)
        self.call("Page.navigate", url=page.as_uri())
        self._until("Page.loadEventFired")

    def resize(self, width: int, height: int, *, scale: float = 1) -> None:
        """Give the page another window, in CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False
        )

    def prefer(self, *, scheme: str = "light", media: str = "") -> None:
        """Behave as for somebody who prefers a colour scheme, or as on paper (`media="print"`)."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media=media, features=features)

    def evaluate(self, script: str) -> object:
        """Run JavaScript in the page and return its value."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, text: str) -> None:
        """Type printable characters, wherever the focus is."""
        for char in text:
            self.call("Input.dispatchKeyEvent", type="keyDown", key=char, text=char)
            self.call("Input.dispatchKeyEvent", type="keyUp", key=char)

    def key(self, name: str, code: int) -> None:
        """Press one key that prints nothing, such as Tab (9), Enter (13) or Escape (27)."""
        text = {"text": "\r"} if name == "Enter" else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=name, code=name, windowsVirtualKeyCode=code, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=name, code=name, windowsVirtualKeyCode=code)

    def screenshot(self, file: Path, *, clip: Sequence[float] | None = None) -> None:
        """Write what is seen as PNG; `clip` is left, top, width, height."""
        part = {}
        if clip is not None:
            part["clip"] = dict(zip(("x", "y", "width", "height"), clip, strict=True)) | {"scale": 1}
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=clip is not None, **part)
        file.write_bytes(base64.b64decode(answer["data"]))

    def pdf(self) -> bytes:
        """Return what a printer gets."""
        return base64.b64decode(self.call("Page.printToPDF")["data"])

    def call(self, method: str, **parameters: object) -> dict:
        """Call one method of the DevTools protocol and return its result."""
        self._number += 1
        message: dict[str, object] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._write, data) :]
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    # --- inside

    def _attach(self) -> None:
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(target for target in targets if target["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def _until(self, event: str) -> None:
        while self._receive().get("method") != event:
            pass

    def _receive(self) -> dict:
        deadline = time.monotonic() + SECONDS
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "the browser does not answer"
            piece = os.read(self._read, 1 << 20)
            assert piece, "the browser is gone"
            self._buffer += piece
        text, _, self._buffer = self._buffer.partition(b"\0")
        message = json.loads(text)
        self._note(message.get("method"), message.get("params", {}))
        return message

    def _note(self, method: str | None, parameters: dict) -> None:
        if method == "Network.requestWillBeSent":
            self._requests[parameters["requestId"]] = parameters["request"]["url"]
        elif method == "Network.loadingFailed" and parameters.get("blockedReason") == "csp":
            self.blocked.append(self._requests.pop(parameters["requestId"]))
        elif method == "Log.entryAdded":
            self.complaints.append(parameters["entry"]["text"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(str(parameters["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled":
            self.complaints.append(str(parameters["args"]))
        elif method == "Page.javascriptDialogOpening":
            self.complaints.append(f"dialog: {parameters['message']}")
            self.call("Page.handleJavaScriptDialog", accept=False)
