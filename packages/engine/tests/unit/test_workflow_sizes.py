"""Sizes as people write them."""

import pytest

from autokestra.workflow.model import Limits, Task
from autokestra.workflow.sizes import LARGEST, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [("1B", 1), ("64MiB", 64 << 20), ("1.5 GiB", 3 << 29), (" 500kB ", 500_000), ("2TB", 2 * 10**12), (1000, 1000)],
)
def test_sizes_are_bytes(text, size):
    assert size == parse_size(text)


@pytest.mark.parametrize("text", ["", "5", "5 M", "5mib", "5kiB", "-1MB", "1e3B", True, 1.5, None, ["1B"]])
def test_anything_else_is_refused_with_the_form(text):
    with pytest.raises(ValueError, match=r"^expected a size such as 500kB, 64MiB or 2GiB$"):
        parse_size(text)


@pytest.mark.parametrize("size", [0, "0B", LARGEST + 1, "999999999TiB"])
def test_sizes_have_bounds(size):
    with pytest.raises(ValueError, match="more than 0 and at most"):
        parse_size(size)


def test_a_task_reads_them():
    task = Task.model_validate(
        {"id": "a", "type": "x", "maxOutput": "1MiB", "limits": {"memory": "512MiB", "cpu": "2m"}}
    )
    assert (1 << 20, Limits(memory=512 << 20, cpu=120.0)) == (task.max_output, task.limits)
    with pytest.raises(ValueError, match="greater than or equal"):
        Limits.model_validate({"memory": "1MiB"})
