"""The penguins workflow from nothing, and then a search for its token in everything that was written.

    python demo.py          # or, in the project's root: make demo

Works in a temporary folder with an AUTOKESTRA_HOME of its own, which is gone afterwards, also after Ctrl-C. Exit code 0
when the report is there and the token is nowhere, 1 otherwise. Needs the standard library and the installed command.
"""

import base64
import csv
import json
import os
import secrets
import shlex
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import quote

HERE: Final = Path(__file__).resolve().parent
COMMAND: Final = Path(sys.executable).with_name("workflow")
REPORT: Final = "penguins-report.csv"


class DemoError(Exception):
    """A step did not do what this demo is meant to show."""


def main() -> int:
    """Run the demo in a folder that is removed whatever happens."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C: everything is cleaned up
    try:
        with TemporaryDirectory(prefix="autokestra-demo-") as folder:
            Demo(Path(folder)).run()
    except DemoError as error:
        print(f"\nerror: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; nothing is left behind", file=sys.stderr)
        return 130
    return 0


class Demo:
    """The steps, and the folder in which they leave their files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Characters that look different in a URL, in JSON and in a shell command.
        self.token = f"""pgn/{secrets.token_urlsafe(24)}+='"&"""
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith("AUTOKESTRA_")}
        self.environ["AUTOKESTRA_HOME"] = str(folder / "home")

    def run(self) -> None:
        """Store, serve, run, report, search."""
        heading("A token goes into the store")
        say("$ workflow secrets set API_TOKEN      (the token comes through a pipe)")
        self.workflow("secrets", "set", "API_TOKEN", given=self.token)

        with ExitStack() as open_until_searched:
            with self.server() as address:
                heading(f"A server on {address} wants that token, and a workflow uses it")
                say(f"$ workflow run penguins.yaml -i api={address} -i folder={self.folder}")
                arguments = ("-i", f"api={address}", "-i", f"folder={self.folder}")
                self.workflow("run", str(HERE / "penguins.yaml"), *arguments, keep_log_of=open_until_searched)
            self.workflow("execution", "show", "latest", "--json", show=False)
            self.workflow("execution", "logs", "latest", show=False)
            self.report()
            heading("Is the token anywhere in clear?")
            self.search()

    @contextmanager
    def server(self) -> Iterator[str]:
        """Start the API and give it the token through a pipe; yield its address."""
        with subprocess.Popen(
            [sys.executable, HERE / "server.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(self.token)
                process.stdin.close()
                yield process.stdout.readline().strip()
            finally:
                process.terminate()

    def workflow(
        self, *arguments: str, given: str = "", show: bool = True, keep_log_of: ExitStack | None = None
    ) -> None:
        """Run the command, show what it says, and keep it in files, which are searched in the end.

        With `keep_log_of`, the state database is held open from the first line on: SQLite deletes its write-ahead
        log when the last user leaves, and that log is to be searched too.
        """
        name = "-".join(argument for argument in arguments[:2] if "/" not in argument)
        output, errors = self.folder / f"{name}.stdout", self.folder / f"{name}.stderr"
        with (
            output.open("w", encoding="utf-8") as copy,
            errors.open("w+", encoding="utf-8") as talk,
            subprocess.Popen(
                [COMMAND, *arguments],
                env=self.environ,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=talk,
                encoding="utf-8",
                errors="replace",
            ) as process,
        ):
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(given)
                process.stdin.close()
                for number, line in enumerate(process.stdout):
                    if number == 0 and keep_log_of is not None:
                        keep_log_of.callback(hold_open(self.folder / "home" / "state.db").close)
                    copy.write(line)
                    if show:
                        say(line.rstrip("\n"))
                code = process.wait()
            finally:
                process.terminate()
            talk.seek(0)
            said = talk.read()
        if said and (show or code):
            say(said.rstrip("\n"))
        if code:
            raise DemoError(f"workflow {name.replace('-', ' ')} ended with exit code {code}")

    def report(self) -> None:
        """Show the table that the workflow wrote."""
        with (self.folder / REPORT).open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
        if len(rows) != 1 + 3:
            raise DemoError(f"the report has {len(rows)} lines, expected a header and three species")
        heading(f"The report, {REPORT}")
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

    def search(self) -> None:
        """Look for the token in every file; before that, make sure that it would be found."""
        wanted = spellings(self.token)
        planted = self.folder / "planted"
        for kind, copy in copies(self.token):
            planted.write_bytes(copy)
            if not any(path == planted for path, _ in find(wanted, self.folder)):
                raise DemoError(f"the search cannot be trusted: it missed a planted copy ({kind})")
            planted.unlink()
        say(f"control: planted copies were found ({', '.join(kind for kind, _ in copies(self.token))})")

        files = files_in(self.folder)
        for path in files:
            say(f"{path.relative_to(self.folder)!s:28} {path.stat().st_size:>9,} bytes")
        found = find(wanted, self.folder)
        for path, kind in found:
            say(f"FOUND in {path.relative_to(self.folder)}: {kind}")
        if found:
            raise DemoError("the token stands in clear in a file that was written")
        total = sum(path.stat().st_size for path in files)
        say(f"searched {len(files)} files, {total:,} bytes: found nowhere")


# --- the search ---------------------------------------------------------------------------------------------------


def spellings(token: str) -> Sequence[tuple[str, bytes]]:
    """Return the bytes to look for: what the token always looks like in each encoding, whatever stands around it."""
    data = token.encode()
    forms = [
        ("plain", data),
        ("reversed", data[::-1]),
        ("hex", data.hex().encode()),
        ("upper-case hex", data.hex().upper().encode()),
        ("percent-encoded", quote(token, safe="").encode()),
        ("percent-encoded throughout", "".join(f"%{byte:02X}" for byte in data).encode()),
        ("JSON", json.dumps(token)[1:-1].encode()),
        ("JSON in JSON", json.dumps(json.dumps(token))[3:-3].encode()),
        ("a shell word", shlex.quote(token)[1:-1].encode()),
        ("a Python literal", repr(token)[1:-1].encode()),
    ]
    for skipped in range(3):
        # Whole groups of three bytes, so that neighbours have no part in these characters.
        groups = data[skipped : skipped + (len(data) - skipped) // 3 * 3]
        forms.append((f"base64, alignment {skipped}", base64.b64encode(groups)))
        forms.append((f"URL-safe base64, alignment {skipped}", base64.urlsafe_b64encode(groups)))
        once = base64.b64encode(groups)
        for left_out in range(3):
            twice = base64.b64encode(once[left_out : left_out + (len(once) - left_out) // 3 * 3])
            forms.append((f"base64 twice, alignments {skipped} and {left_out}", twice))
    return forms


def copies(token: str) -> Iterator[tuple[str, bytes]]:
    """Yield leaks as programs make them, each made in another way than what is looked for."""
    yield "plain", f"Authorization: Bearer {token}\r\n".encode()
    yield "reversed", "".join(reversed(f"<{token}>")).encode()
    yield "hex", f"<{token}>".encode().hex(" ").replace(" ", "").encode()
    yield "in a URL", f"/login?token={quote(token, safe='')}&page=1".encode()
    for before in ("", "u", "u:"):
        yield f"base64 after {len(before)} bytes", base64.b64encode(f"{before}{token}\n".encode())
        yield (
            f"base64 twice after {len(before)} bytes",
            base64.b64encode(base64.b64encode(f"{before}{token}\n".encode())),
        )
    yield "in JSON", json.dumps({"token": token}).encode()
    yield "in a shell command", shlex.quote(f"token: {token}").encode()


def find(wanted: Sequence[tuple[str, bytes]], folder: Path) -> list[tuple[Path, str]]:
    """Return file and spelling of everything that is found below `folder`."""
    return [(path, kind) for path in files_in(folder) for kind, data in wanted if data in path.read_bytes()]


def files_in(folder: Path) -> list[Path]:
    """Return all files below `folder`."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def hold_open(database: Path) -> sqlite3.Connection:
    """Open a database as one more reader."""
    connection = sqlite3.connect(database, timeout=10)
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return connection


# --- words --------------------------------------------------------------------------------------------------------


def heading(text: str) -> None:
    """Print the title of a step."""
    print(f"\n{text}\n", flush=True)


def say(text: str) -> None:
    """Print what belongs to a step."""
    print("\n".join(f"  {line}" for line in text.split("\n")), flush=True)


if __name__ == "__main__":
    sys.exit(main())
