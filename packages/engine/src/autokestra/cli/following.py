"""`workflow execution logs --follow`: lines as they are written, by whichever process on whichever machine."""

import json
import time
from typing import TYPE_CHECKING, Final

from autokestra.cli import console
from autokestra.cli.detail import still_run, where
from autokestra.cli.progress import line_object, line_text

if TYPE_CHECKING:
    from autokestra.executions.records import LogLine
    from autokestra.executions.store import ExecutionStore

POLL_SECONDS: Final = 0.2
SHARE: Final = 10  # at most a tenth of the time goes into looking, however many attempts there are


def follow(store: "ExecutionStore", execution: str, *, task: str | None, as_json: bool, debug: bool) -> None:
    """Print the log and what is added to it, until the execution has ended or nobody is at work on it.

    Workers of a cluster end what they run also when their coordinator is gone, and are followed until they have.
    """
    seen: dict[tuple[str, int], int] = {}
    alone = False
    while True:
        begun = time.monotonic()
        row = store.execution(execution)  # first: what is written before its end is then seen in this look
        left = store.left_running(row) if row.orphan else 0
        lines, _ = store.lines_after(seen, execution)
        for line in lines:
            wanted = task is None or line.task_id == task or line.task_id.startswith(f"{task}[")
            if wanted and (debug or as_json or not line.is_debug):
                _print(line, as_json=as_json)
        if lines:
            console.flush()  # now, also into a pipe: whoever follows does not want to wait for a full buffer
        if row.state.ended:
            return
        if row.orphan and not left:
            console.warn(
                f"nobody is at work on execution {execution} any more",
                hint=f"go on with it: workflow execution resume {execution}{where(store, execution)}",
            )
            return
        if row.orphan and not alone:
            console.notice(f"the coordinator of execution {execution} is gone, {still_run(left)}")
        alone = row.orphan
        time.sleep(max(POLL_SECONDS, SHARE * (time.monotonic() - begun)))


def _print(line: "LogLine", *, as_json: bool) -> None:
    if as_json:
        console.out(json.dumps(line_object(line)))
    else:
        console.out(line_text(line))
