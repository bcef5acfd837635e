"""Luigi, one workflow, one process: `python luigi_subject.py SHAPE COUNT PARALLEL FOLDER` prints what it did as JSON.

Run by the interpreter that has Luigi; imports nothing of the project. A task is done when its file is there, as is
Luigi's way. The scheduler is in this process, so no server is needed; worker processes are forked.
"""

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import luigi

SHAPE, COUNT, PARALLEL, FOLDER = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])


class Done(luigi.Task):  # type: ignore[misc]  # known only where it is run
    """Runs `true`, and leaves a file."""

    layer = luigi.IntParameter(default=0)
    number = luigi.IntParameter()

    def requires(self) -> list["Done"]:
        """All of the layer before."""
        return [Done(layer=self.layer - 1, number=number) for number in range(COUNT)] if self.layer else []

    def output(self) -> luigi.LocalTarget:
        """Return the file."""
        return luigi.LocalTarget(FOLDER / f"{self.layer}-{self.number}")

    def run(self) -> None:
        """Run `true`."""
        subprocess.run(["true"], check=True)
        with self.output().open("w"):
            pass


if __name__ == "__main__":
    FOLDER.mkdir()
    last = 2 if SHAPE == "layers" else 0
    tasks = [Done(layer=last, number=number) for number in range(COUNT)]
    if not luigi.build(tasks, local_scheduler=True, workers=PARALLEL, log_level="ERROR"):
        sys.exit("luigi.build has failed")
    print(json.dumps({"version": metadata.version("luigi"), "done": len(list(FOLDER.iterdir()))}))
