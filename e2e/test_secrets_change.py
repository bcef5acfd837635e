"""`workflow secrets delete` and `rename`: all or nothing, and never without being asked to."""

from pathlib import Path

import pytest


@pytest.fixture
def two(workflow) -> None:
    """A store with the secrets ONE and TWO."""
    workflow.ok("secrets", "set", "ONE", input="value-one")
    workflow.ok("secrets", "set", "TWO", input="value-two")


def names(workflow) -> list[str]:
    return [line.split()[0] for line in workflow.ok("secrets", "list").splitlines()[1:]]


@pytest.mark.usefixtures("two")
def test_delete_removes_for_good_what_it_names(workflow) -> None:
    done = workflow("secrets", "delete", "ONE", "--force")
    assert (0, "", "secret 'ONE' deleted\n") == (done.returncode, done.stdout, done.stderr)
    assert names(workflow) == ["TWO"]
    assert workflow.fails("secrets", "get", "ONE", code=4) == "secret 'ONE' not found"


@pytest.mark.usefixtures("two")
def test_delete_takes_several_names_and_may_be_quiet(workflow) -> None:
    done = workflow("secrets", "delete", "ONE", "TWO", "ONE", "--force", "--quiet")
    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)
    assert names(workflow) == []


@pytest.mark.usefixtures("two")
def test_delete_without_a_terminal_needs_force(workflow) -> None:
    """A pipe full of `y` is no person."""
    said = workflow.fails("secrets", "delete", "ONE", input="y\n", code=2)
    assert said == "there is no terminal to ask, so nothing was deleted"
    assert names(workflow) == ["ONE", "TWO"]


@pytest.mark.usefixtures("two")
def test_delete_deletes_nothing_when_one_name_is_absent(workflow) -> None:
    assert workflow.fails("secrets", "delete", "ONE", "TOW", "--force", code=4) == "secret 'TOW' not found"
    assert names(workflow) == ["ONE", "TWO"]


def test_delete_in_a_fresh_home_creates_nothing(workflow, home: Path) -> None:
    done = workflow("secrets", "delete", "ONE", "--force")
    assert done.returncode == 4
    assert "hint: see which there are: workflow secrets list" in done.stderr
    assert not home.exists()


def test_delete_without_a_name_is_a_usage_error(workflow) -> None:
    assert workflow.fails("secrets", "delete", "--force", code=2) == "missing argument 'NAME...'"


@pytest.mark.usefixtures("two")
def test_rename_keeps_the_value(workflow) -> None:
    done = workflow("secrets", "rename", "ONE", "UNO")
    assert (0, "") == (done.returncode, done.stdout)
    assert done.stderr == "secret 'ONE' is now 'UNO'; workflows that declare 'ONE' need the new name\n"
    assert names(workflow) == ["TWO", "UNO"]
    assert workflow.ok("secrets", "get", "UNO") == "value-one"
    quiet = workflow("secrets", "rename", "UNO", "ONE", "-q")
    assert (0, "") == (quiet.returncode, quiet.stderr)


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize(
    ("old", "new", "code", "said"),
    [
        ("ONE", "TWO", 11, "secret 'TWO' already exists"),
        ("ZZZ", "UNO", 4, "secret 'ZZZ' not found"),
        ("ONE", "U N O", 2, "invalid secret name: it has a space in it"),
    ],
)
def test_rename_that_cannot_be_changes_nothing(workflow, old: str, new: str, code: int, said: str) -> None:
    assert said == workflow.fails("secrets", "rename", old, new, code=code)
    assert ["value-one", "value-two"] == [workflow.ok("secrets", "get", name) for name in ("ONE", "TWO")]
