"""How a run is shown: the lines for people, the objects for programs, and what a log line may do to a terminal."""

import json
from dataclasses import replace

import pytest

from autokestra.cli import console
from autokestra.cli.progress import JsonProgress, PlainProgress, event_object, masked_lines, shown
from autokestra.cli.times import duration, local_time, utc_time
from autokestra.errors import UsageError
from autokestra.executions.events import ExecutionEnded, ExecutionStarted, TaskChanged
from autokestra.executions.records import ExecutionState, LogLine, TaskState

STARTED = ExecutionStarted(execution_id="e", workflow_id="w", time=1_000_000, tasks=("a", "b"))
RUNNING = TaskChanged(execution_id="e", task_id="a", time=1_000_000, state=TaskState.RUNNING, attempt=1)
AGAIN = TaskChanged(
    execution_id="e",
    task_id="a",
    time=1_000_000,
    state=TaskState.WAITING,
    reason="backoff",
    attempt=1,
    message="exited with code 3",
)
FAILED = TaskChanged(
    execution_id="e",
    task_id="a",
    time=2_000_000,
    state=TaskState.FAILED,
    reason="exit-code",
    attempt=2,
    message="exited with code 3",
    seconds=0.5,
)
SKIPPED = TaskChanged(execution_id="e", task_id="b", time=2_000_000, state=TaskState.SKIPPED, reason="upstream")
LINE = LogLine(
    execution_id="e",
    task_id="a",
    attempt=1,
    sequence=0,
    time=1_500_000,
    stream="stdout",
    level="info",
    message="hello",
)
ENDED = ExecutionEnded(
    execution_id="e",
    workflow_id="w",
    time=2_500_000,
    state=ExecutionState.FAILED,
    reason="task:a",
    message="task 'a' did not succeed",
    masked={"a": {"T": {"plain": 11, "base64": 3}}, "b": {"T": {"plain": 1}}},
    secrets_used={"T": "store"},
    unmaskable={"PIN": "shorter than 4 bytes"},
)


def test_a_run_reads_like_a_story(capsys):
    show = PlainProgress()
    for event in (STARTED, RUNNING, LINE, AGAIN, FAILED, SKIPPED, ENDED):
        show(event)
    assert [
        "execution e of workflow 'w'",
        "[a] started",
        "[a] hello",
        "[a] attempt 1 failed, another one follows: exited with code 3",
        "[a] FAILED after 0.50 s (attempt 2) (exit-code)",
        "[b] SKIPPED (upstream)",
        "FAILED after 1.50 s: task 'a' did not succeed",
        "masked 15 times: T (plain 12, base64 3) in tasks a, b",
        "look at it with: workflow execution show e",
    ] == (said := capsys.readouterr()).out.splitlines()
    assert "warning: secret 'PIN' was not masked: shorter than 4 bytes\n" == said.err


def test_quiet_shows_what_went_wrong_and_nothing_else(capsys):
    show = PlainProgress(quiet=True)
    for event in (STARTED, RUNNING, LINE, FAILED, SKIPPED):
        show(event)
    show(ExecutionEnded(execution_id="e", workflow_id="w", time=3_000_000, state=ExecutionState.SUCCESS))
    assert [
        "[a] hello",
        "[a] FAILED after 0.50 s (attempt 2) (exit-code)",
        "[b] SKIPPED (upstream)",
    ] == capsys.readouterr().out.splitlines()


def test_quiet_says_nothing_of_a_run_that_went_well_in_the_end(capsys):
    show = PlainProgress(quiet=True)
    unmet = replace(SKIPPED, reason="condition")
    for event in (STARTED, RUNNING, LINE, AGAIN, RUNNING, replace(FAILED, state=TaskState.SUCCESS), unmet, SKIPPED):
        show(event)
    show(ExecutionEnded(execution_id="e", workflow_id="w", time=3_000_000, state=ExecutionState.SUCCESS))
    assert "" == capsys.readouterr().out


def test_json_is_one_object_a_line_with_kind_execution_and_time(capsys):
    show = JsonProgress()
    events = (STARTED, RUNNING, LINE, FAILED, ENDED)
    for event in events:
        show(event)
    objects = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event_object(event) for event in events] == objects
    assert ["execution.started", "task", "log", "task", "execution.ended"] == [item["event"] for item in objects]
    assert {"e"} == {item["execution"] for item in objects}
    assert "1970-01-01T00:00:01.500000Z" == objects[2]["time"]
    assert {"a": {"T": {"plain": 11, "base64": 3}}, "b": {"T": {"plain": 1}}} == objects[4]["masked"]


def test_one_replacement_is_said_in_words():
    assert ["masked once: T (plain 1) in task a"] == masked_lines({"a": {"T": {"plain": 1}}})
    assert [] == masked_lines({})


def test_colours_are_dropped_where_nobody_sees_them_and_other_escapes_are_shown():
    assert "red \\x1b[2Jx" == shown("\x1b[31mred\x1b[0m \x1b[2Jx")
    assert "a       b" == shown("a\tb")


def test_colours_are_kept_on_a_terminal_and_end_with_the_line(monkeypatch):
    monkeypatch.setattr(console, "stdout_has_colour", lambda: True)
    assert "\x1b[31mred\\x1b[2J\x1b[0m" == shown("\x1b[31mred\x1b[2J")


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (BrokenPipeError(), ""),
        (OSError(28, "No space left on device"), "the run goes on"),
        (UsageError("stdout is closed"), "the run goes on"),
    ],
)
def test_work_goes_on_when_nobody_can_read_of_it(monkeypatch, capsys, failure, said):
    tried = []

    def fails(text):
        tried.append(text)
        raise failure

    monkeypatch.setattr(console, "out", fails)
    monkeypatch.setattr(console, "drop_output", lambda: None)
    show = PlainProgress()
    show(STARTED)
    show(RUNNING)
    assert 1 == len(tried)
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.041, "0.04 s"),
        (9.994, "9.99 s"),
        (12.34, "12.3 s"),
        (242, "4 min 02 s"),
        (3600, "1 h 00 min"),
        (11_100, "3 h 05 min"),
        (59.99, "1 min 00 s"),
        (3599.9, "1 h 00 min"),
        (9.999, "10.0 s"),
    ],
)
def test_durations_read_as_people_say_them(seconds, text):
    assert text == duration(seconds)


def test_times_keep_their_microseconds_in_utc_and_drop_them_here(monkeypatch):
    assert "2026-03-01T02:00:00.000001Z" == utc_time(1_772_330_400_000_001)
    assert local_time(1_772_330_400_999_999).startswith("2026-0")
    assert "." not in local_time(1_772_330_400_999_999)
