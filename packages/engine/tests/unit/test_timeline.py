"""The timeline: which spans a task has, how they are drawn, and that a night in which nothing ran takes no room."""

from hypothesis import given
from hypothesis import strategies as st

from autokestra.cli.timeline import MOST_ROWS, Row, Scale, Span, lines, rows
from autokestra.executions.records import Attempt, AttemptState, StoredOutput, TaskRun, TaskState

SECOND = 1_000_000


def attempt(task, number, start, end, state=AttemptState.SUCCESS):
    return Attempt(
        execution_id="e",
        task_id=task,
        number=number,
        state=state,
        reason=None,
        message=None,
        exit_code=None,
        owner="o",
        created_at=0,
        claimed_at=None if start is None else int(start * SECOND),
        finished_at=None if end is None else int(end * SECOND),
        shown=StoredOutput(),
    )


def run(task, *, parent=None, item=None, items=None, state=TaskState.SUCCESS):
    return TaskRun(
        execution_id="e",
        task_id=task,
        position=0,
        state=state,
        reason=None,
        attempts=1,
        not_before=None,
        started_at=0,
        finished_at=1,
        parent=parent,
        item=item,
        items=items,
    )


def row(task, *spans, note=""):
    return Row(
        task=task, spans=[Span(start=int(a * SECOND), end=int(b * SECOND), kind=k) for a, b, k in spans], note=note
    )


def test_a_row_has_its_attempts_and_the_pauses_between_them():
    (found,) = rows(
        [run("a"), run("skipped", state=TaskState.SKIPPED)],
        [attempt("a", 2, 3, 5), attempt("a", 1, 0, 2, AttemptState.FAILED), attempt("a", 3, None, None)],
        now=9 * SECOND,
    )
    assert row("a", (0, 2, "failed"), (2, 3, "waited"), (3, 5, "ran"), note="2 attempts") == found
    assert 5.0 == found.seconds


def test_what_runs_does_so_until_now_and_no_span_goes_backwards():
    (found,) = rows([run("a")], [attempt("a", 1, 1, None, AttemptState.RUNNING)], now=4 * SECOND)
    assert row("a", (1, 4, "ran")) == found
    (found,) = rows([run("a")], [attempt("a", 1, 5, 3)], now=0)
    assert row("a", (5, 5, "ran")) == found


def test_the_items_of_a_task_share_its_row():
    items = [
        run(f"a[{n}]", parent="a", item=n, state=TaskState.FAILED if n == 1 else TaskState.SUCCESS) for n in range(3)
    ]
    tries = [attempt("a[0]", 1, 0, 2), attempt("a[1]", 1, 1, 3, AttemptState.FAILED), attempt("a[2]", 1, 2, 4)]
    (found,) = rows([run("a", items=3), *items], tries, now=0)
    assert row("a", (0, 4, "ran"), (1, 3, "failed"), note="3 items, 1 failed") == found
    (found,) = rows([run("a", items=1), items[0]], tries[:1], now=0)
    assert "1 item" == found.note


def test_ten_thousand_items_are_few_spans():
    runs = [run("a", items=10_000), *(run(f"a[{n}]", parent="a", item=n) for n in range(10_000))]
    (found,) = rows(runs, [attempt(f"a[{n}]", 1, n / 2, n / 2 + 1) for n in range(10_000)], now=0)
    assert 1 == len(found.spans)


def test_rows_are_drawn_under_an_axis():
    drawn = [
        row("fetch", (0, 4, "ran")),
        row("flaky", (4, 5, "failed"), (5, 6, "waited"), (6, 8, "ran"), note="2 attempts"),
    ]
    assert [
        "       0 s               8.00 s",
        "fetch  ████████████              4.00 s",
        "flaky              ▒▒▒···██████  4.00 s  2 attempts",
    ] == lines(drawn, width=51)
    assert "flaky              xxx...######  4.00 s  2 attempts" == lines(drawn, width=51, plain=True)[-1]


def test_a_short_attempt_is_seen_and_a_long_name_is_cut():
    drawn = lines([row("x" * 40, (0, 0.001, "failed")), row("b", (0, 1000, "ran"))], width=10)
    assert drawn[1].startswith("x" * 23 + "…  ▒")
    assert lines([row("x" * 40, (0, 1, "ran"))], width=10, plain=True)[1].startswith("x" * 21 + "...  #")


def test_a_night_in_which_nothing_ran_is_told_in_words():
    drawn = lines([row("a", (0, 10, "ran")), row("b", (36_010, 36_020, "ran"))], width=60)
    assert "nothing ran for 10 h 00 min" == drawn[-1]
    assert 5 <= drawn[1].count("█") <= 25
    assert drawn[1].count("█") == drawn[2].count("█")


def test_nothing_is_drawn_of_nothing_and_little_of_much():
    assert [] == lines([], width=80)
    assert "and 5 more tasks" == lines([row(f"t{n}", (n, n + 1, "ran")) for n in range(MOST_ROWS + 5)], width=80)[-1]
    assert "a  █           0.00 s" == lines([row("a", (3, 3, "ran"))], width=1)[1]


SPANS = st.lists(
    st.tuples(st.integers(0, 10**9), st.integers(0, 10**9), st.sampled_from(["ran", "failed", "waited"])).map(
        lambda each: (min(each[:2]), max(each[:2]), each[2])
    ),
    min_size=1,
    max_size=5,
)


@given(st.lists(SPANS, min_size=1, max_size=5), st.integers(40, 200))
def test_every_row_fits_and_shows_something(drawn, width):
    made = [row(f"t{n}", *spans) for n, spans in enumerate(drawn)]
    axis, *bars = lines(made, width=width)[: len(made) + 1]
    assert all(len(line) <= max(width, 40) for line in [axis, *bars])
    assert all(set("█▒·") & set(bar) for bar in bars)


@given(st.lists(SPANS, min_size=1, max_size=5))
def test_places_keep_the_order_of_times(drawn):
    scale = Scale([row(f"t{n}", *spans) for n, spans in enumerate(drawn)])
    times = sorted({int(time * SECOND) for spans in drawn for a, b, _ in spans for time in (a, (a + b) / 2, b)})
    places = [scale.place(time) for time in times]
    assert places == sorted(places)
    assert all(0 <= place <= 1 for place in places)
