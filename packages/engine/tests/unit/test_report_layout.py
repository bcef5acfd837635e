"""The layout of the graph: columns by step, nothing on top of each other, lines from box to box around others."""

from itertools import combinations, pairwise

from hypothesis import given
from hypothesis import strategies as st

from autokestra.cli.report.layout import BETWEEN_COLUMNS, BOX_HEIGHT, BOX_WIDTH, layout

DIAMOND = {"start": [], "left": ["start"], "right": ["start"], "end": ["left", "right", "start"]}


def test_a_diamond_has_three_columns_and_a_line_around_it():
    made = layout(DIAMOND)
    columns = {task: x / (BOX_WIDTH + BETWEEN_COLUMNS) for task, (x, _) in made.boxes.items()}
    assert {"start": 0, "left": 1, "right": 1, "end": 2} == columns
    assert [2, 2, 2, 2, 4] == sorted(map(len, made.lines)), "one line passes a column, so it has two points more"
    assert 3 * BOX_WIDTH + 2 * BETWEEN_COLUMNS == made.width


def test_lines_cross_as_little_as_can_be():
    made = layout({"a": [], "b": [], "c": ["b"], "d": ["a"]})
    (a, b), (c, d) = ([made.boxes[task][1] for task in pair] for pair in ("ab", "cd"))
    assert (a < b) == (d < c), "what needs the upper one stands above"


def test_nothing_takes_no_room():
    assert ({}, [], 0, 0) == ((made := layout({})).boxes, made.lines, made.width, made.height)


GRAPHS = st.integers(1, 12).flatmap(
    lambda size: st.fixed_dictionaries(
        {f"t{n}": st.lists(st.sampled_from([f"t{m}" for m in range(n)] or ["gone"]), max_size=4) for n in range(size)}
    )
)


@given(GRAPHS)
def test_no_two_boxes_meet_and_every_line_goes_right(needs):
    made = layout(needs)
    assert set(needs) == set(made.boxes)
    for (x, y), (other_x, other_y) in combinations(made.boxes.values(), 2):
        assert x != other_x or abs(y - other_y) >= BOX_HEIGHT
    for x, y in made.boxes.values():
        assert 0 <= x <= made.width - BOX_WIDTH
        assert -0.01 <= y <= made.height - BOX_HEIGHT + 0.01
    wanted = sum(len({need for need in wants if need in needs}) for wants in needs.values())
    assert wanted == len(made.lines)
    for line in made.lines:
        assert all(x <= to_x for (x, _), (to_x, _) in pairwise(line))
