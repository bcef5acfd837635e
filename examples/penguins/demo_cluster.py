"""The penguins workflow on a cluster of this machine: a database, a scheduler and two workers, all started here.

    make demo-cluster       # in the project's root

The same file as in `make demo`. Coordinator and workers speak to scheduler and database through recorders, and all
that went by is searched for the token. Everything is stopped and removed in the end. Exit code 0 when the report is
there and the token was nowhere, 1 otherwise.
"""

import os
import secrets
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import urlsplit

HERE: Final = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from autokestra_secrets.testing import assert_no_leak  # noqa: E402
from servers.cluster import ClusterWorker, Recorder, Scheduler  # noqa: E402
from servers.postgresql import PostgresServer  # noqa: E402

COMMAND: Final = str(Path(sys.executable).with_name("workflow"))
REPORT: Final = "penguins-report.csv"


def main() -> int:
    """Run the demo in a folder that is removed whatever happens."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C: everything is cleaned up
    try:
        with TemporaryDirectory(prefix="autokestra-demo-") as folder, ExitStack() as stack:
            return run(Path(folder), stack)
    except KeyboardInterrupt:
        print("\ninterrupted; nothing is left behind", file=sys.stderr)
        return 130


def run(folder: Path, stack: ExitStack) -> int:
    """Start everything, run the workflow, show the report, and search."""
    token = f"""pgn/{secrets.token_urlsafe(24)}+='"&"""
    heading("PostgreSQL, a scheduler and two workers start on loopback")
    database = PostgresServer.started()
    stack.callback(database.stop)
    address = urlsplit(
        database.url(tcp=True, sslmode="disable")
    )  # not encrypted, so that the recorder sees what goes by
    to_database = Recorder(database.port)
    stack.callback(to_database.close)
    scheduler = Scheduler(folder)
    stack.callback(scheduler.stop)
    to_scheduler = Recorder(scheduler.port)
    stack.callback(to_scheduler.close)
    url = address._replace(netloc=address.netloc.replace(f":{database.port}", f":{to_database.port}")).geturl()
    pool = f"dask://127.0.0.1:{to_scheduler.port}"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AUTOKESTRA_")}
    environ |= {"AUTOKESTRA_HOME": str(folder / "home"), "AUTOKESTRA_STATE": url, "AUTOKESTRA_STORE": url}

    def workflow(*arguments: str, given: str = "") -> str:
        print(f"$ workflow {' '.join(arguments)}".replace(str(folder), "…").replace(f"{HERE}/", ""), flush=True)
        done = subprocess.run(
            [COMMAND, *arguments], env=environ, input=given, capture_output=True, text=True, check=False
        )
        print(done.stdout + done.stderr, end="", flush=True)
        if done.returncode:
            raise SystemExit(1)
        return done.stdout + done.stderr

    workflow("secrets", "key", "create")
    workflow("secrets", "set", "API_TOKEN", given=token)
    for number in range(2):
        worker = ClusterWorker(
            [COMMAND], "--slots", "2", pool=pool, env=environ, directory=folder, name=f"worker{number + 1}"
        )
        stack.callback(worker.stop)
        print(f"worker {number + 1}: {worker.joined().log.strip().splitlines()[-1]}", flush=True)

    heading("The same workflow file runs there")
    server = subprocess.Popen(
        [sys.executable, HERE / "server.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    stack.callback(server.wait)
    stack.callback(server.terminate)
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(token)
    server.stdin.close()
    inputs = ("-i", f"api={server.stdout.readline().strip()}", "-i", f"folder={folder}")
    said = workflow("run", str(HERE / "penguins.yaml"), *inputs, "--pool", pool)
    print((folder / REPORT).read_text(), end="")

    heading("Is the token anywhere in clear?")
    try:
        assert_no_leak([token], said, to_scheduler.seen, to_database.seen, folder)
    except AssertionError as leak:
        print(f"error: {leak}", file=sys.stderr)
        return 1
    for name, seen in (("scheduler", to_scheduler.seen), ("database", to_database.seen)):
        print(
            f"to and from the {name}: {len(seen):,} bytes, the token 0 times, its name {seen.count(b'API_TOKEN')} times"
        )
    print("found nowhere: not on the wire, not in the database's traffic, not in any file of this demo")
    return 0


def heading(text: str) -> None:
    """Print what comes next."""
    print(f"\n== {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
