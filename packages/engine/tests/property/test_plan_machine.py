"""The plan as a state machine: any order of answers, failures, lost attempts, late news, cancels, crashes and resumes.

The machine keeps what a database would have seen. The laws are the invariants; each rule also checks what it can.
"""

import os

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from autokestra.executions.plan import BACKOFF, CONCURRENCY, TIMEOUT, Kept, Plan, TaskRule
from autokestra.executions.records import ExecutionState, TaskState

SOAK = os.environ.get("AUTOKESTRA_SOAK") == "1"
ENDS = st.sampled_from([TaskState.SUCCESS, TaskState.SUCCESS, TaskState.FAILED, TaskState.CANCELLED])
REASONS = st.sampled_from(["interrupted", "cancelled", TIMEOUT])


@st.composite
def workflows(draw):
    """Up to 6 tasks and up to 2 that run after a failure; each may need earlier ones of its own list."""
    rules = {}
    for kind, count in (("t", draw(st.integers(1, 6))), ("f", draw(st.integers(0, 2)))):
        for index in range(count):
            needs = draw(st.sets(st.integers(0, index - 1), max_size=3)) if index else set()
            asks = draw(st.booleans())
            rules[f"{kind}{index}"] = TaskRule(
                needs=tuple(f"{kind}{need}" for need in sorted(needs)),
                continue_on_error=draw(st.booleans()),
                retries=draw(st.integers(0, 2)),
                backoff=draw(st.sampled_from([0.0, 1.0])),
                max_backoff=1.5,
                jitter=draw(st.sampled_from([0.0, 0.5, 1.0])),
                asks=asks,
                on_failure=kind == "f",
                max_parallel=draw(st.sampled_from([None, 1, 2])) if asks else None,
            )
    return rules


class PlanMachine(RuleBasedStateMachine):
    """One execution, with as many coordinators as it takes."""

    @initialize(rules=workflows())
    def begin(self, rules):
        self.rules = rules
        self.states = dict.fromkeys(rules, TaskState.WAITING)  # by task and item, as rows
        self.numbers = dict.fromkeys(rules, 0)
        self.parents = {}  # item -> (task, number)
        self.lists = {}  # task -> count
        self.now = 0
        self.succeeded = set()  # what must never run again
        self.coordinate({}, {})

    def coordinate(self, kept, items):
        self.kept_items = items
        self.flying = {}  # unit -> number
        self.ended = set()
        self.asked = []
        self.expanded = set()
        self.failures = {}
        self.cancelled = None
        self.plan = Plan(self.rules, kept, chance=lambda: 0.5)
        stay = {
            task
            for task, row in kept.items()
            if not self.rules[task].on_failure
            and (
                row.state is TaskState.SUCCESS or (row.state is TaskState.FAILED and self.rules[task].continue_on_error)
            )
        }
        self.ended |= stay
        for task in set(self.rules) - stay:
            self.states[task] = TaskState.WAITING
        self.write(self.plan.begin())

    def write(self, changes):
        for change in changes:
            assert change.task not in self.ended, f"{change.task} changed after its end"
            if change.item is not None:
                self.parents[change.task] = (change.parent, change.item)
                self.numbers.setdefault(change.task, 0)
            assert (change.not_before is not None) == (change.reason == BACKOFF)
            self.states[change.task] = change.state
            if change.state.ended:
                self.ended.add(change.task)
                assert change.task not in self.flying
        self.asked += self.plan.questions()

    def rule_of(self, unit):
        return self.rules[self.parents[unit][0] if unit in self.parents else unit]

    def passes(self, task):
        state = self.states[task]
        return state is TaskState.SUCCESS or (state is TaskState.FAILED and self.rules[task].continue_on_error)

    # --- what happens

    @precondition(lambda self: not self.plan.finished)
    @rule(slots=st.integers(1, 4))
    def take(self, slots):
        for start in self.plan.take(slots, self.now):
            unit = start.task
            assert unit not in self.ended
            assert unit not in self.flying
            assert unit not in self.succeeded, f"{unit} ran again"
            assert start.number == self.numbers[unit] + 1, "an attempt number was used twice or left out"
            assert (start.parent, start.item) == self.parents.get(unit, (None, None))
            task = start.parent or unit
            assert all(self.passes(need) for need in self.rules[task].needs)
            if self.rules[task].on_failure:
                assert self.plan.main_ended
                assert self.plan.outcome()[0] is ExecutionState.FAILED
                assert self.cancelled in (None, TIMEOUT)
            else:
                assert self.cancelled is None, "something started after a cancel"
            self.numbers[unit] = start.number
            self.flying[unit] = start.number
            self.states[unit] = TaskState.RUNNING
            if (limit := self.rules[task].max_parallel) is not None and start.parent:
                assert sum(self.parents.get(each, ("",))[0] == task for each in self.flying) <= limit

    @precondition(lambda self: self.asked)
    @rule(data=st.data(), answer=st.sampled_from(["admit", "skip", "refuse", "expand"]), count=st.integers(0, 4))
    def answer(self, data, answer, count):
        task = self.asked.pop(data.draw(st.integers(0, len(self.asked) - 1)))
        if task in self.ended:  # cancelled before the answer came; a coordinator answers at once
            return
        if answer == "admit" and task not in self.lists:
            self.write(self.plan.admit(task))
        elif answer == "skip":
            self.write(self.plan.skip(task))
        elif answer == "refuse":
            self.write(self.plan.refuse(task, "template", "wrong"))
        else:
            count = self.lists.setdefault(task, count)
            kept = self.kept_items.get(task, {})
            rule = self.rules[task]
            for number, row in kept.items():
                if row.state is TaskState.SUCCESS or (row.state is TaskState.FAILED and rule.continue_on_error):
                    self.ended.add(f"{task}[{number}]")
            self.expanded.add(task)
            self.write(self.plan.expand(task, count, kept))

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), state=ENDS)
    def attempt_ends(self, data, state):
        unit = data.draw(st.sampled_from(sorted(self.flying)))
        number = self.flying.pop(unit)
        rule = self.rule_of(unit)
        again = False
        if state is TaskState.FAILED:
            self.failures[unit] = self.failures.get(unit, 0) + 1
            stopped = self.cancelled not in (None, TIMEOUT) if rule.on_failure else self.cancelled is not None
            again = self.failures[unit] <= rule.retries and not stopped
        changes = self.plan.ended(unit, number, state, "lost" if state is TaskState.FAILED else None, self.now)
        if again:
            assert [(unit, BACKOFF)] == [(change.task, change.reason) for change in changes]
            assert self.now <= changes[0].not_before <= self.now + 1_500_000
        else:
            assert (unit, state) == (changes[0].task, changes[0].state)
            if state is TaskState.SUCCESS and not rule.on_failure:
                self.succeeded.add(unit)
        self.write(changes)
        assert [] == self.plan.ended(unit, number, TaskState.SUCCESS, None, self.now), "news counted twice"

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def late_news_of_an_older_attempt_changes_nothing(self, data):
        unit = data.draw(st.sampled_from(sorted(self.flying)))
        assert [] == self.plan.ended(unit, self.flying[unit] - 1, TaskState.SUCCESS, None, self.now)

    @rule(reason=REASONS)
    def cancel(self, reason):
        if reason == TIMEOUT and self.plan.main_ended:
            return  # the deadline is for all others
        self.write(self.plan.cancel(reason))
        if not self.plan.main_ended or self.cancelled is None:
            self.cancelled = reason if self.cancelled in (None, TIMEOUT) else self.cancelled
        elif self.cancelled == TIMEOUT and reason != TIMEOUT:
            self.cancelled = reason
        assert [] == self.plan.cancel(reason), "a cancel counted twice"

    @precondition(lambda self: self.plan.next_due() is not None)
    @rule()
    def time_passes(self):
        self.now = max(self.now, self.plan.next_due())

    @rule()
    def crash_and_resume(self):
        """The coordinator is gone: what flew is lost, the rows are all that the next one knows."""
        for unit in self.flying:
            self.states[unit] = TaskState.RUNNING
        kept = {task: Kept(state=self.states[task], attempts=self.numbers[task]) for task in self.rules}
        items = {}
        for item, (task, number) in self.parents.items():
            items.setdefault(task, {})[number] = Kept(state=self.states[item], attempts=self.numbers[item])
        for task in self.rules:
            if self.rules[task].on_failure:
                self.succeeded = {unit for unit in self.succeeded if self.parents.get(unit, (unit,))[0] != task}
        self.coordinate(kept, items)

    # --- what always holds

    @invariant()
    def the_plan_counts_what_flies(self):
        assert len(self.flying) == self.plan.running

    @invariant()
    def it_is_finished_when_all_is_over(self):
        assert self.plan.finished == all(self.states[task].ended for task in self.rules)
        if self.plan.finished:
            # Rows of items that an earlier coordinator left are closed with the execution.
            items = [item for item, (task, _) in self.parents.items() if task in self.expanded]
            assert all(self.states[item].ended for item in items)

    @invariant()
    def there_is_always_something_that_can_happen(self):
        if self.plan.finished or self.flying or self.plan.next_due() is not None:
            return
        if any(task not in self.ended for task in self.asked):
            return
        starts = self.plan.take(1, self.now)
        assert starts, "nothing runs, nothing is due, nothing is asked, and it is not finished"
        (start,) = starts
        self.numbers[start.task] = start.number
        self.flying[start.task] = start.number
        self.states[start.task] = TaskState.RUNNING

    def teardown(self):
        """From wherever it is, an execution comes to its end."""
        if not hasattr(self, "plan"):
            return
        for _ in range(500):
            if self.plan.finished:
                break
            while self.asked:
                task = self.asked.pop()
                if task not in self.ended:
                    self.write(self.plan.skip(task))
            for start in self.plan.take(8, self.now):
                self.numbers[start.task] = start.number
                self.flying[start.task] = start.number
            for unit, number in list(self.flying.items()):
                del self.flying[unit]
                self.write(self.plan.ended(unit, number, TaskState.SUCCESS, None, self.now))
            self.now = max(self.now, self.plan.next_due() or 0)
        assert self.plan.finished
        state, reason = self.plan.outcome()
        assert state.ended
        bad = any(
            self.states[task] in (TaskState.FAILED, TaskState.CANCELLED) and not self.rules[task].continue_on_error
            for task in self.rules
            if not self.rules[task].on_failure
        )
        if state is ExecutionState.SUCCESS:
            assert not bad
            assert reason is None
            assert all(
                self.states[task] in (TaskState.SKIPPED, TaskState.CANCELLED)
                for task in self.rules
                if self.rules[task].on_failure
            )


TestPlanMachine = PlanMachine.TestCase
TestPlanMachine.settings = settings(
    max_examples=2_000 if SOAK else 150, stateful_step_count=40 if SOAK else 25, deadline=None
)


def test_jitter_only_shortens_a_pause_and_by_chance():
    for jitter, chance, expected in ((0.0, 0.9, 2.0), (1.0, 0.0, 2.0), (1.0, 0.75, 0.5), (0.5, 0.5, 1.5)):
        plan = Plan({"a": TaskRule(retries=1, backoff=2, jitter=jitter)}, chance=lambda chance=chance: chance)
        plan.begin()
        plan.take(1, 0)
        (change,) = plan.ended("a", 1, TaskState.FAILED, None, 0)
        assert expected == change.not_before / 1e6


def test_ten_thousand_items_cost_what_they_are():
    plan = Plan({"a": TaskRule(asks=True, max_parallel=3)})
    plan.begin()
    assert ["a"] == plan.questions()
    changes = plan.expand("a", 10_000)
    assert 3 == sum(change.state is TaskState.PENDING for change in changes)
    assert 9_997 == sum(change.reason == CONCURRENCY for change in changes)
    ran = 0
    while not plan.finished:
        starts = plan.take(8, 0)
        assert len(starts) <= 3
        for start in starts:
            plan.ended(start.task, 1, TaskState.SUCCESS, None, 0)
            ran += 1
    assert 10_000 == ran
    assert (ExecutionState.SUCCESS, None) == plan.outcome()


def test_an_item_that_a_new_list_no_longer_has_is_removed():
    kept = {number: Kept(state=TaskState.FAILED, attempts=1) for number in range(3)}
    plan = Plan({"a": TaskRule(asks=True)})
    plan.begin()
    plan.questions()
    changes = plan.expand("a", 2, kept)
    assert [("a[2]", TaskState.SKIPPED)] == [(each.task, each.state) for each in changes if each.reason == "removed"]
    assert [2, 2] == [start.number for start in plan.take(8, 0)]
