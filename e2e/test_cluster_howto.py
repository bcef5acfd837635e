"""The page about clusters, typed word for word with loopback in the place of its machines, and the demonstration."""

import os
import re
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from servers.cluster import wait_until
from servers.postgresql import end_with_parent, free_port

PAGE = Path(__file__).parents[1] / "docs/howto/cluster.md"
BLOCK = re.compile(r'^```(?P<kind>\w+)(?: title="(?P<title>[^"]+)")?\n(?P<text>.*?)^```$', re.MULTILINE | re.DOTALL)
DATABASE = "postgresql://autokestra@db.example/workflows?sslmode=verify-full"


def test_the_page_leads_to_a_cluster_with_certificates(workflow, postgres_url, tmp_path: Path) -> None:
    port = free_port()
    page = (
        PAGE.read_text(encoding="utf-8")
        .replace(DATABASE, postgres_url)
        .replace("cluster.example:8786", f"127.0.0.1:{port}")
    )
    folder = tmp_path / "machine"
    folder.mkdir()
    environ = workflow.environment({"PATH": f"{workflow.executable.parent}:{os.environ['PATH']}"})
    said = ""
    before = "set -e\n"  # what the person has exported in an earlier block stays
    with ExitStack() as stack:
        for number, block in enumerate(BLOCK.finditer(page)):
            if block["title"]:
                (folder / block["title"]).write_text(block["text"])
            if block["kind"] != "sh":
                continue
            exports = [line for line in block["text"].splitlines() if line.startswith("export ")]
            log = folder / f"{number}.log"
            servers = ("\ndask scheduler ", "\nworkflow worker ")
            with log.open("wb") as out:
                process = subprocess.Popen(
                    [
                        "bash",
                        "-c",
                        before
                        + block["text"]
                        .replace("\ndask ", "\nexec dask ")
                        .replace("\nworkflow worker", "\nexec workflow worker"),
                    ],
                    cwd=folder,
                    env=environ,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    preexec_fn=end_with_parent,  # noqa: PLW1509
                )
            stack.callback(process.wait)
            stack.callback(process.terminate)
            if any(server in block["text"] for server in servers):
                word = "Scheduler at" if servers[0] in block["text"] else "joined tls://"
                wait_until(lambda log=log, word=word: word in log.read_text(), lambda log=log: log.read_text())
            else:
                assert 0 == process.wait(60), log.read_text()
            said = log.read_text()
            before += "".join(f"{line}\n" for line in exports)
    assert "[fetch] the token is ***SECRET***" in said
    assert "[train] on a worker with a gpu" in said
    assert "tok-4f9c2e7a81" not in "".join(path.read_text() for path in folder.glob("*.log"))


def test_the_demonstration_shows_the_same_masked_result(tmp_path: Path) -> None:
    demo = PAGE.parents[2] / "examples/penguins/demo_cluster.py"
    done = subprocess.run(
        [sys.executable, str(demo)], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    for expected in ("Gentoo,124,47.5,5076.0", "[leak] in two pieces: ***SECRET***", "in task leak", "found nowhere"):
        assert expected in done.stdout
