"""What is remembered of hidden places, and what changes of theirs count."""

import os
import shutil

import pytest

from autokestra.actions.isolation import Isolation
from autokestra.actions.places import Remembered, remember
from autokestra.errors import IsolationRefusedError


@pytest.fixture
def places(tmp_path):
    """A home, and a database and a key in folders of their own."""
    for name in ("a/home", "b", "c"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("a/home/secret.key", "b/state.db", "c/my.key"):
        (tmp_path / name).write_text(name)
    names = ("a/home", "a/home/state.db", "b/state.db", "b/state.db-wal", "c/my.key")
    return tuple(str(tmp_path / name) for name in names)


def holds_open(remembered, path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return remembered.holds_open(descriptor, str(path))
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(("old", "place"), [("a", "a/home"), ("a/home", "a/home"), ("b", "b/state.db"), ("c", "c/my.key"),
                                            ("c/my.key", "c/my.key")])  # fmt: skip
def test_what_was_moved_is_found_and_what_is_back_is_forgiven(tmp_path, places, old, place):
    remembered = remember(places)
    assert remembered.changed() is None
    (tmp_path / old).rename(tmp_path / "moved")
    assert str(tmp_path / place) == remembered.changed()
    (tmp_path / "moved").rename(tmp_path / old)
    assert remembered.changed() is None


def test_a_copy_in_its_place_is_another_place(tmp_path, places):
    remembered = remember(places)
    for name, place in (("a", "a/home"), ("b", "b/state.db")):
        (tmp_path / name).rename(tmp_path / "moved")
        shutil.copytree(tmp_path / "moved", tmp_path / name)
        assert str(tmp_path / place) == remembered.changed()
        shutil.rmtree(tmp_path / name)
        (tmp_path / "moved").rename(tmp_path / name)


def test_a_key_file_that_is_a_link_leads_where_it_led(tmp_path, places):
    link = tmp_path / "key"
    link.symlink_to("c/my.key")
    remembered = remember([str(link)])
    (tmp_path / "c/other.key").write_text("bait")
    link.unlink()
    link.symlink_to("c/other.key")
    assert str(link) == remembered.changed()


def test_what_comes_goes_and_is_restored_is_no_change(tmp_path, places):
    (tmp_path / "b/state.db-wal").write_text("")
    remembered = remember([*places, str(tmp_path / "b/later.db"), str(tmp_path / "no/folder/x.db"), ""])
    (tmp_path / "b/state.db-wal").unlink()
    (tmp_path / "b/later.db").write_text("")
    for name in ("a/home/secret.key", "b/state.db", "c/my.key"):
        (tmp_path / "restored").write_text("restored")
        (tmp_path / "restored").replace(tmp_path / name)
    assert remembered.changed() is None


@pytest.mark.parametrize("name", ["a/home/secret.key", "a/home/new", "b/state.db", "b/state.db-wal", "c/my.key"])
def test_files_are_known_under_the_names_that_they_got(tmp_path, places, name):
    remembered = remember(places)
    (tmp_path / "other").write_text("other")
    for new in ("a/home/new", "b/state.db-wal"):
        (tmp_path / new).write_text("made later")
    for folder in "abc":
        (tmp_path / folder).rename(tmp_path / (folder * 2))
    moved = tmp_path / (name[0] + name)
    assert (True, True) == (remembered.holds(moved), holds_open(remembered, moved))
    assert (False, False) == (remembered.holds(tmp_path / "other"), holds_open(remembered, tmp_path / "other"))


def test_a_file_that_left_its_path_while_it_was_opened_is_held(tmp_path, places):
    remembered, path = remember(places), tmp_path / "d/file"
    path.parent.mkdir()
    path.write_text("x")
    descriptor = os.open(path, os.O_RDONLY)
    try:
        assert not remembered.holds_open(descriptor, str(path))
        path.rename(tmp_path / "d/other")
        assert remembered.holds_open(descriptor, str(path))
        path.write_text("another")
        assert remembered.holds_open(descriptor, str(path))
        (tmp_path / "d/other").rename(tmp_path / "other")
        shutil.rmtree(path.parent)
        assert remembered.holds_open(descriptor, str(path))
        (tmp_path / "other").unlink()  # as one that another task has replaced
        assert not remembered.holds_open(descriptor, f"{path} (deleted)")
        assert not Remembered().holds_open(descriptor, str(path))
    finally:
        os.close(descriptor)


def test_only_hidden_refuses_and_the_message_says_what_to_do(tmp_path, places):
    remembered = remember(places)
    Isolation(level="hidden", remembered=remembered).refuse_moved()
    (tmp_path / "a").rename(tmp_path / "moved")
    Isolation(remembered=remembered).refuse_moved()
    with pytest.raises(IsolationRefusedError, match="is not where it was when the engine started") as raised:
        Isolation(level="hidden", remembered=remembered).refuse_moved()
    assert 9 == raised.value.exit_code
    assert str(raised.value.hint).startswith("move it back, or put AUTOKESTRA_HOME and key files where")
