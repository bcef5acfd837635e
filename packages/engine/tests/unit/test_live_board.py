"""What the live view says: rows with state, time and last line; counts for items; and that no task leaves its row."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autokestra.cli.board import LEAST_HEIGHT, LEAST_WIDTH, MOST_ROWS, Board
from autokestra.cli.console import columns_of
from autokestra.executions.events import ExecutionEnded, ExecutionStarted, TaskChanged
from autokestra.executions.records import ExecutionState, LogLine, TaskState


def started(*tasks, kept=()):
    return ExecutionStarted(execution_id="e", workflow_id="w", time=0, tasks=tasks, kept=kept)


def changed(task, state, **more):
    return TaskChanged(execution_id="e", task_id=task, time=0, state=TaskState(state), **more)


def said(task, message, stream="stdout", level="info"):
    return LogLine(
        execution_id="e", task_id=task, attempt=1, sequence=0, time=0, stream=stream, level=level, message=message
    )


def board(*events):
    made = Board()
    for now, event in enumerate(events):
        made.note(event, now)
    return made


def test_every_task_has_a_row_while_they_fit():
    events = [
        started("fetch", "clean", "send", "mail", "tidy", kept=["tidy"]),
        changed("fetch", "RUNNING", attempt=1),
        said("fetch", "hello"),
        changed("fetch", "SUCCESS", seconds=2.5),
        changed("clean", "RUNNING"),
        said("clean", "line \x1b[31mone\x1b[0m"),
        said("clean", "words for those who look for a fault", "system", "debug"),
        changed("send", "RUNNING"),
        changed("send", "WAITING", reason="backoff"),
        changed("mail", "SKIPPED", reason="condition"),
        ExecutionEnded(execution_id="e", workflow_id="w", time=0, state=ExecutionState.SUCCESS),
    ]
    assert [
        "-" * 60,
        "+ fetch  done            2 s",
        "> clean  running  1 min 11 s  line one",
        "~ send   again    1 min 08 s",
        "- mail   skipped",
        "+ tidy   done",
        "3 of 5 tasks ended, 1 running, 1 min 15 s",
    ] == board(*events).lines(75, width=80, height=40)


def test_a_failure_is_counted_and_a_second_attempt_starts_its_time_anew():
    events = [
        started("a", "b"),
        changed("a", "RUNNING"),
        said("a", "of the first"),
        changed("a", "WAITING"),
        changed("a", "RUNNING", attempt=2),
        changed("b", "FAILED", reason="template"),
    ]
    assert [
        "-" * 60,
        "> a  running         6 s",
        "x b  failed",
        "1 of 2 tasks ended, 1 running, 1 failed, 10 s",
    ] == board(*events).lines(10, width=80, height=40)


def test_items_are_counts_on_the_row_of_their_task():
    many = board(
        started("many"),
        changed("many", "RUNNING", items=10_000, items_kept=4_000),
        *(changed(f"many[{n}]", "RUNNING") for n in range(2_000)),
        *(changed(f"many[{n}]", "FAILED" if n < 7 else "SUCCESS") for n in range(1_000)),
        said("many[1500]", "item said"),
    )
    _, row, total = many.lines(3010, width=100, height=40)
    assert "> many  running  50 min 09 s  [######......] 5,000 of 10,000  7 failed  item said" == row
    assert "0 of 1 tasks ended, 1 running, 50 min 10 s" == total
    assert many.is_item("many[3]")
    assert not many.is_item("many")
    assert not many.is_item("unknown[3]")


@pytest.mark.parametrize(
    ("line", "bar"),
    [
        ("42% of it", "[#####.......]  42% of it"),
        (" 100 % done", "[############]  100 % done"),
        ("3.5%", "[............]  3.5%"),
        ("777%", "777%"),
        ("about 42%", "about 42%"),
    ],
)
def test_a_line_that_begins_with_percent_is_drawn(line, bar):
    assert (
        f"> a  running         1 s  {bar}"
        == board(started("a"), changed("a", "RUNNING"), said("a", line)).lines(2, width=80, height=40)[1]
    )


def test_of_many_tasks_those_that_run_are_shown_and_the_rest_counted():
    tasks = [f"t{n}" for n in range(1_000)]
    made = board(started(*tasks), *(changed(task, "RUNNING") for task in tasks[:40]), changed("t3", "SUCCESS"))
    lines = made.lines(50, width=80, height=24)
    assert 12 == len(lines)
    assert ["t0", "t1", "t2", "t4"] == [line.split()[1] for line in lines[1:5]]
    assert "1 of 1,000 tasks ended, 39 running (29 not shown), 50 s" == lines[-1]
    assert MOST_ROWS + 2 == len(made.lines(50, width=80, height=500))


def test_where_there_is_no_room_there_is_no_view():
    made = board(started("a"), changed("a", "RUNNING"))
    assert [] == made.lines(1, width=LEAST_WIDTH - 1, height=40)
    assert [] == made.lines(1, width=80, height=LEAST_HEIGHT - 1)
    assert [] == Board().lines(1, width=80, height=40)


def test_what_nobody_knows_is_ignored():
    made = board(started("a"), changed("b", "RUNNING"), said("c[1]", "x"), changed("a", "CANCELLED"))
    assert ["x a  stopped", "1 of 1 tasks ended, 0 running, 9 s"] == made.lines(9, width=80, height=40)[1:]


@given(
    st.text(max_size=300), st.text("aZ09_-", max_size=40), st.integers(LEAST_WIDTH, 120), st.integers(LEAST_HEIGHT, 50)
)
def test_whatever_a_task_prints_stays_in_its_row(message, name, columns, rows):
    made = board(started("a", name or "b"), changed("a", "RUNNING"), changed("a[1]", "RUNNING"), said("a", message))
    lines = made.lines(5, width=columns, height=rows)
    assert len(lines) <= rows // 2 + 1
    for line in lines:
        assert columns_of(line) <= columns
        assert not set(map(chr, [*range(32), *range(0x7F, 0xA0), 0x202E])) & set(line)
