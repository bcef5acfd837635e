"""The graph of tasks: order, circles, ancestors; also for chains longer than Python's stack."""

import pytest

from autokestra.workflow.graph import Ancestry, cycles, dependents, downstream, layers, order, upstream

DIAMOND = {"end": ["left", "right"], "left": ["start"], "right": ["start"], "start": [], "alone": []}
CHAIN = {f"t{i}": [f"t{i - 1}"] if i else [] for i in range(10_000)}


def test_each_task_comes_after_what_it_needs():
    assert ["start", "left", "right", "end", "alone"] == order(DIAMOND)


def test_each_task_stands_in_the_first_step_that_its_needs_allow():
    assert [["start", "alone"], ["left", "right"], ["end"]] == layers(DIAMOND)
    assert [] == layers({})
    assert [["free"]] == layers({"a": ["b"], "b": ["a"], "behind": ["a"], "free": ["gone"]})
    assert 10_000 == len(layers(CHAIN))


def test_where_there_is_a_choice_the_document_decides():
    assert ["b", "a", "c"] == order({"b": [], "a": [], "c": ["a"]})


def test_tasks_on_and_behind_a_circle_have_no_order():
    assert ["free"] == order({"a": ["b"], "b": ["a"], "behind": ["a"], "free": []})


def test_needs_that_are_no_task_are_ignored():
    needs = {"a": ["gone", "b", "b"], "b": []}
    assert ["b", "a"] == order(needs)
    assert {"a": [], "b": ["a"]} == dependents(needs)
    assert frozenset({"b"}) == upstream(needs, "a")
    assert [] == cycles(needs)


def test_dependents_are_direct():
    assert {"end": [], "left": ["end"], "right": ["end"], "start": ["left", "right"], "alone": []} == dependents(
        DIAMOND
    )


def test_upstream_and_downstream_are_transitive():
    assert frozenset({"left", "right", "start"}) == upstream(DIAMOND, "end")
    assert frozenset({"left", "right", "end"}) == downstream(DIAMOND, "start")
    assert frozenset() == upstream(DIAMOND, "alone") == downstream(DIAMOND, "alone") == upstream(DIAMOND, "gone")
    assert frozenset({"a", "b"}) == upstream({"a": ["b"], "b": ["a"]}, "a")


def test_ancestry_answers_for_every_pair():
    ancestry = Ancestry(DIAMOND)
    for task in DIAMOND:
        for other in DIAMOND:
            assert (other in upstream(DIAMOND, task)) is ancestry.is_upstream(other, task)
    assert ancestry.known("end")
    assert not ancestry.known("gone")
    assert not ancestry.is_upstream("gone", "end")
    assert not Ancestry({"a": ["b"], "b": ["a"]}).known("a")


@pytest.mark.parametrize(
    ("needs", "expected"),
    [
        (DIAMOND, []),
        ({"a": ["a"]}, [["a"]]),
        ({"a": ["b"], "b": ["a"]}, [["a", "b"]]),
        ({"x": ["a"], "a": ["b"], "b": ["c"], "c": ["a"], "y": []}, [["a", "b", "c"]]),
        ({"a": ["b", "c"], "b": ["d"], "c": ["a"], "d": ["a"]}, [["a", "c"]]),  # the shortest of two
        ({"a": ["b"], "b": ["a"], "c": ["d", "a"], "d": ["c"]}, [["a", "b"], ["c", "d"]]),
        ({"a": ["a", "b"], "b": ["a"]}, [["a"]]),
    ],
)
def test_each_knot_shows_one_circle(needs, expected):
    assert expected == cycles(needs)


def test_chains_longer_than_the_stack():
    assert list(CHAIN) == order(CHAIN)
    assert 9999 == len(upstream(CHAIN, "t9999")) == len(downstream(CHAIN, "t0"))
    assert [] == cycles(CHAIN)
    ancestry = Ancestry(CHAIN)
    assert ancestry.is_upstream("t0", "t9999")
    assert not ancestry.is_upstream("t9999", "t0")
    closed = {**CHAIN, "t0": ["t9999"]}
    (circle,) = cycles(closed)
    assert ["t0", "t9999", "t9998"] == circle[:3]
    assert 10_000 == len(circle)
