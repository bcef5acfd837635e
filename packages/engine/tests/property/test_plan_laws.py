"""Laws of the plan, driven through random graphs, failures, retries, repeated events and cancellation."""

from hypothesis import given, settings
from hypothesis import strategies as st

from autokestra.executions.plan import MICROSECONDS, Kept, Plan, TaskRule
from autokestra.executions.records import ExecutionState, TaskState


@st.composite
def graphs(draw):
    """An acyclic graph of up to 8 tasks: each may need earlier ones only."""
    size = draw(st.integers(1, 8))
    rules = {}
    for index in range(size):
        needs = draw(st.sets(st.integers(0, index - 1), max_size=3)) if index else set()
        rules[f"t{index}"] = TaskRule(
            needs=tuple(f"t{need}" for need in sorted(needs)),
            continue_on_error=draw(st.booleans()),
            retries=draw(st.integers(0, 2)),
            backoff=draw(st.sampled_from([0.0, 1.0])),
            max_backoff=1.5,
        )
    return rules


class World:
    """Runs a plan against a source of random outcomes and keeps what a database would have seen."""

    def __init__(self, rules, kept=None):
        self.rules = rules
        self.plan = Plan(rules, kept)
        self.states = dict.fromkeys(rules, TaskState.WAITING)
        self.started = {task: [] for task in rules}
        self.now = 0
        self.running = []
        for task, row in (kept or {}).items():
            if row.state is TaskState.SUCCESS or (row.state is TaskState.FAILED and rules[task].continue_on_error):
                self.states[task] = row.state
        self.write(self.plan.begin())

    def write(self, changes):
        for change in changes:
            assert not self.states[change.task].ended, f"{change.task} changed after its end"
            self.states[change.task] = change.state

    def take(self, slots):
        starts = self.plan.take(slots, self.now)
        for start in starts:
            for need in self.rules[start.task].needs:
                state = self.states[need]
                assert state is TaskState.SUCCESS or (
                    state is TaskState.FAILED and self.rules[need].continue_on_error
                ), f"{start.task} started while {need} was {state}"
            self.states[start.task] = TaskState.RUNNING
            self.started[start.task].append(start.number)
            self.running.append((start.task, start.number))
        return starts


@settings(max_examples=300, deadline=None)
@given(rules=graphs(), slots=st.integers(1, 4), data=st.data())
def test_every_execution_ends_with_every_task_ended_once(rules, slots, data):
    world = World(rules)
    cancel_at = data.draw(st.one_of(st.none(), st.integers(0, 10)))
    for step in range(1000):
        if world.plan.finished:
            break
        if step == cancel_at:
            world.write(world.plan.cancel("interrupted"))
        world.take(slots - world.plan.running)
        assert world.plan.running == len(world.running) <= slots
        if world.running:
            task, number = world.running.pop(data.draw(st.integers(0, len(world.running) - 1)))
            state = data.draw(st.sampled_from([TaskState.SUCCESS, TaskState.FAILED]))
            world.write(world.plan.ended(task, number, state, "exit-code", world.now))
            assert [] == world.plan.ended(task, number, state, "exit-code", world.now), (
                "a repeated event changed something"
            )
        elif not world.plan.finished:
            due = world.plan.next_due()
            assert due is not None, "nothing runs, nothing is due, and the execution is not finished"
            world.now = max(world.now, due)
    assert world.plan.finished
    assert all(state.ended for state in world.states.values()), world.states
    for task, numbers in world.started.items():
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) <= rules[task].retries + 1
    outcome, reason = world.plan.outcome()
    bad = [
        task for task, state in world.states.items() if state is TaskState.FAILED and not rules[task].continue_on_error
    ]
    cancelled = any(state is TaskState.CANCELLED for state in world.states.values())
    if outcome is ExecutionState.SUCCESS:
        assert not bad
        assert not cancelled
    elif outcome is ExecutionState.FAILED:
        assert bad
        assert reason == f"task:{bad[0]}"
    else:
        assert reason == "interrupted"


@settings(max_examples=200, deadline=None)
@given(rules=graphs(), data=st.data())
def test_a_failed_need_skips_exactly_what_hangs_on_it(rules, data):
    world = World(rules)
    fate = {task: data.draw(st.sampled_from([TaskState.SUCCESS, TaskState.FAILED])) for task in rules}
    while not world.plan.finished:
        world.take(8)
        if not world.running:
            world.now = world.plan.next_due()
            continue
        task, number = world.running.pop()
        world.write(world.plan.ended(task, number, fate[task], None, world.now))
    expected = {}
    for task, rule in rules.items():  # needs come earlier in the order
        blocked = any(
            expected[need] is TaskState.SKIPPED
            or (expected[need] is TaskState.FAILED and not rules[need].continue_on_error)
            for need in rule.needs
        )
        expected[task] = TaskState.SKIPPED if blocked else fate[task]
    assert expected == world.states


@settings(max_examples=200, deadline=None)
@given(rules=graphs(), data=st.data())
def test_resume_runs_no_finished_task_again_and_goes_on_counting(rules, data):
    kept = {
        task: Kept(state=data.draw(st.sampled_from(list(TaskState))), attempts=data.draw(st.integers(1, 3)))
        for task in rules
    }
    # A task can only have succeeded after its needs: make the rows possible.
    for task, rule in rules.items():
        if any(kept[need].state not in (TaskState.SUCCESS, TaskState.FAILED) for need in rule.needs):
            kept[task] = Kept(state=TaskState.WAITING, attempts=0)
    world = World(rules, kept)
    while not world.plan.finished:
        world.take(8)
        while world.running:
            world.write(world.plan.ended(*world.running.pop(), TaskState.SUCCESS, None, world.now))
    for task, row in kept.items():
        stays = row.state is TaskState.SUCCESS or (row.state is TaskState.FAILED and rules[task].continue_on_error)
        assert ([] if stays else [row.attempts + 1]) == world.started[task]
    assert world.plan.outcome() == (ExecutionState.SUCCESS, None)


def test_backoff_doubles_up_to_its_limit():
    world = World({"a": TaskRule(retries=4, backoff=2, max_backoff=5)})
    delays = []
    for number in range(1, 5):
        world.take(1)
        world.running.clear()
        (change,) = world.plan.ended("a", number, TaskState.FAILED, "exit-code", world.now)
        delays.append((change.not_before - world.now) / MICROSECONDS)
        assert world.take(1) == []  # not before it is due
        world.now = change.not_before
    assert [2.0, 4.0, 5.0, 5.0] == delays


def test_ten_thousand_tasks_in_a_chain_are_skipped_without_recursion():
    rules = {"t0": TaskRule()} | {f"t{n}": TaskRule(needs=(f"t{n - 1}",)) for n in range(1, 10_000)}
    world = World(rules)
    world.take(1)
    changes = world.plan.ended("t0", 1, TaskState.FAILED, "exit-code", 0)
    assert 10_000 == len(changes)
    assert world.plan.finished
