"""Lines that others write, told in their place among the events."""

import threading

from autokestra.executions.events import TaskChanged
from autokestra.executions.records import Account, LogLine, TaskState
from autokestra.executions.tail import LogTail
from autokestra.worker.remote import RemoteMaskers
from autokestra_secrets import SecretMasker


def line(task: str, sequence: int) -> LogLine:
    return LogLine(
        execution_id="e",
        task_id=task,
        attempt=1,
        sequence=sequence,
        time=0,
        stream="stdout",
        level="info",
        message=f"{task}{sequence}",
    )


def changed(task: str, state: TaskState, attempt: int | None = 1) -> TaskChanged:
    return TaskChanged(execution_id="e", task_id=task, time=0, state=state, attempt=attempt)


def test_every_line_is_told_once_and_before_the_end_of_its_attempt() -> None:
    rows = {("e", "a", 1): [line("a", 0)], ("e", "b", 1): []}
    told: list[object] = []
    seen = threading.Event()

    def observe(event: object) -> None:
        told.append(event)
        if isinstance(event, LogLine):
            seen.set()

    tail = LogTail(observe, lambda e, t, n, after: [each for each in rows[e, t, n] if each.sequence > after])
    tail(changed("a", TaskState.RUNNING))
    tail(changed("b", TaskState.RUNNING))
    assert seen.wait(10), "lines come while their attempt runs"
    rows["e", "a", 1].append(line("a", 1))
    rows["e", "b", 1].append(line("b", 0))
    tail(changed("a", TaskState.SUCCESS))
    rows["e", "a", 1].append(line("a", 2))
    tail(changed("a", TaskState.SUCCESS))
    tail(changed("c", TaskState.SKIPPED, None))
    tail.close()
    texts = [each.message if isinstance(each, LogLine) else f"{each.task_id} {each.state.value}" for each in told]
    assert ["a0", "a1"] == [text for text in texts if text in {"a0", "a1", "a2"}]
    assert texts.index("a1") < texts.index("a SUCCESS")
    assert 1 >= texts.count("b0")
    assert "c SKIPPED" == texts[-1]


def test_what_workers_have_masked_adds_up_over_attempts() -> None:
    accounts = [
        ("a", Account(used={"T": "store"}, masked={"T": {"plain": 1}})),
        ("a", Account(used={}, masked={"T": {"plain": 2, "hex": 1}})),
        ("b", Account(used={"U": "store"}, masked={})),
    ]
    maskers = RemoteMaskers(SecretMasker, lambda _: accounts)
    assert {"a": {"T": {"plain": 3, "hex": 1}}} == maskers.masked("e")
    assert {"T": "store", "U": "store"} == maskers.used("e")
