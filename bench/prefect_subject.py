"""Prefect, one workflow, one process: `python prefect_subject.py SHAPE COUNT PARALLEL` prints what it did as JSON.

Run by the interpreter that has Prefect; imports nothing of the project. The server is that of `PREFECT_API_URL`;
threads of this process run the tasks.
"""

import json
import subprocess
import sys
from importlib import metadata

from prefect import flow, task
from prefect.task_runners import ThreadPoolTaskRunner

SHAPE, COUNT, PARALLEL = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


@task  # type: ignore[untyped-decorator]  # Prefect is known only where this runs
def done(_layer: int, _number: int) -> None:
    """Run `true`."""
    subprocess.run(["true"], check=True)


@flow(task_runner=ThreadPoolTaskRunner(max_workers=PARALLEL))  # type: ignore[untyped-decorator]  # likewise
def everything() -> int:
    """Submit each layer when that before is submitted, and wait for all; return how many have succeeded."""
    futures = []
    before = None
    for layer in range(3 if SHAPE == "layers" else 1):
        before = [done.submit(layer, number, wait_for=before) for number in range(COUNT)]
        futures += before
    for future in futures:
        future.wait()
    return sum(future.state.is_completed() for future in futures)


if __name__ == "__main__":
    finished = everything()
    print(json.dumps({"version": metadata.version("prefect"), "done": finished}))
