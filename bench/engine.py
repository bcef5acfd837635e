"""How many tasks a second, at what growth, in what memory, and how fast a log becomes rows.

The yardstick is a loop of `subprocess.run(["true"])` in the same minute: what the machine takes to start a program
that does nothing. Every figure stands beside it, since other work on the machine slows both down. Tasks run under
`isolation: none` but where `hidden` is said.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from autokestra.actions.isolation import find_bubblewrap

WORKFLOW: Final = Path(sys.executable).with_name("workflow")
TRUES: Final = 300  # runs of the yardstick
SMALL: Final = 1_000  # tasks
LARGE: Final = 10_000
LINES: Final = 300_000
LINE: Final = "x" * 99  # and its end makes 100 bytes

TASKS_A_SECOND: Final = 200.0
HIDDEN_A_SECOND: Final = 100.0  # tasks under isolation: hidden
GROWTH: Final = 1.5  # time per task at LARGE, as a multiple of that at SMALL
MEMORY: Final = 150.0  # MB of the engine at LARGE
LINES_A_SECOND: Final = 100_000.0


def main() -> None:
    """Print the figures with their targets."""
    found = run()
    yardstick = found["yardstick_per_second"]
    print(f"{'subprocess.run([true])':34} {yardstick:10,.0f} /s   1.00  (the yardstick)")
    for name, rate in (("tasks, 1,000", "tasks_per_second"), ("tasks, 10,000", "tasks_per_second_large")):
        ratio = found[rate] / yardstick
        print(
            f"{name:34} {found[rate]:10,.0f} /s {ratio:6.2f}{_verdict(found[rate] >= TASKS_A_SECOND, 'at least 200/s')}"
        )
    if "hidden_per_second" in found:
        hidden = found["hidden_per_second"]
        verdict = _verdict(hidden >= HIDDEN_A_SECOND, "at least 100/s")
        print(f"{'tasks under hidden, 1,000':34} {hidden:10,.0f} /s {hidden / yardstick:6.2f}{verdict}")
    else:
        print(f"{'tasks under hidden':34} not here: {find_bubblewrap()[1]}")
    items = found["items_per_second"]
    print(f"{'items of one forEach, 10,000':34} {items:10,.0f} /s {items / yardstick:6.2f}")
    growth = found["growth"]
    print(f"{'time per task, 10,000 to 1,000':34} {growth:10.2f} x{_verdict(growth <= GROWTH, 'at most 1.5')}")
    memory = found["memory_mb"]
    print(f"{'memory at 10,000':34} {memory:10.0f} MB{_verdict(memory <= MEMORY, 'at most 150')}")
    lines = found["lines_per_second"]
    print(
        f"{'log, pipe to masked rows':34} {lines:10,.0f} lines/s{_verdict(lines >= LINES_A_SECOND, 'at least 100,000')}"
    )


def run(*, small: int = SMALL, large: int = LARGE, lines: int = LINES) -> dict[str, float]:
    """Measure all of it once; rates are per second, sizes in MB (10**6 bytes)."""
    yardstick = _yardstick()
    with tempfile.TemporaryDirectory(prefix="autokestra-bench-") as name:
        folder = Path(name)
        few, _ = _execute(folder, "few", independent(small))
        hidden = 0.0
        if find_bubblewrap()[0]:
            hidden, _ = _execute(folder, "hidden", {**independent(small), "isolation": "hidden"})
        many, memory = _execute(folder, "many", independent(large))
        items, _ = _execute(folder, "items", fan_out(large))
        loud, _ = _execute(folder, "loud", printing(lines))
    yardstick = (yardstick + _yardstick()) / 2
    return ({"hidden_per_second": small / hidden} if hidden else {}) | {
        "yardstick_per_second": yardstick,
        "tasks_per_second": small / few,
        "tasks_per_second_large": large / many,
        "items_per_second": large / items,
        "growth": (many / large) / (few / small),
        "memory_mb": memory,
        "lines_per_second": lines / loud,
    }


def independent(count: int) -> dict[str, Any]:
    """Return a workflow of `count` tasks that need nothing and do nothing."""
    tasks = [{"id": f"t{number}", "type": "core/shell.run", "inputs": {"script": "true"}} for number in range(count)]
    return {"id": "independent", "isolation": "none", "tasks": tasks}


def fan_out(count: int) -> dict[str, Any]:
    """Return a workflow of one task with `count` items."""
    each = {"id": "each", "type": "core/shell.run", "forEach": list(range(count)), "inputs": {"script": "true"}}
    return {"id": "items", "isolation": "none", "tasks": [each]}


def printing(count: int) -> dict[str, Any]:
    """Return a workflow of one task that prints `count` lines of 100 bytes."""
    script = f"set +o pipefail; yes {LINE} | head -n {count}"  # `yes` ends by SIGPIPE
    return {"id": "printing", "tasks": [{"id": "print", "type": "core/shell.run", "inputs": {"script": script}}]}


def _execute(folder: Path, name: str, workflow: dict[str, Any]) -> tuple[float, float]:
    """Run a workflow in a home of its own; return seconds, start-up included, and the engine's memory in MB."""
    file = folder / f"{name}.json"
    file.write_text(json.dumps(workflow), encoding="utf-8")
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "AUTOKESTRA_HOME": str(folder / name),
    }
    begun = time.perf_counter()
    process = subprocess.Popen([WORKFLOW, "run", str(file), "--quiet"], env=environ, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{name} ended with code {process.returncode}")
    return seconds, _memory(usage)


def _memory(usage: resource.struct_rusage) -> float:
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2): bytes there, KiB here
    return usage.ru_maxrss * unit / 1e6


def _yardstick() -> float:
    begun = time.perf_counter()
    for _ in range(TRUES):
        subprocess.run(["true"], check=True)
    return TRUES / (time.perf_counter() - begun)


def _verdict(good: bool, target: str) -> str:  # noqa: FBT001  # read as a sentence where it is called
    return f"  ({target}: {'yes' if good else 'NO'})"


if __name__ == "__main__":
    main()
