"""The environment of a child, and what its end means."""

import pytest

from autokestra.actions.child import Ending, child_environment
from autokestra.actions.protocol import ActionError

PARENT = {
    "PATH": "/bin",
    "HOME": "/home/me",
    "USER": "me",
    "LANG": "de_DE.UTF-8",
    "LC_ALL": "C",
    "LC_TIME": "C",
    "TZ": "UTC",
    "TMPDIR": "/tmp",
    "EDITOR": "vi",
    "API_TOKEN": "of the shell",
    "AUTOKESTRA_SECRET_KEY": "key",
    "AUTOKESTRA_HOME": "/home/me/.autokestra",
}
BASIC = {name: PARENT[name] for name in ("PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_TIME", "TZ", "TMPDIR")}


def test_basic_variables_alone_are_inherited():
    assert BASIC == child_environment(PARENT, (), {})


def test_listed_variables_are_inherited_if_they_exist():
    assert BASIC | {"EDITOR": "vi"} == child_environment(PARENT, ("EDITOR", "MISSING"), {})


def test_the_task_has_the_last_word():
    assert BASIC | {"EDITOR": "ed", "PATH": "/opt"} == child_environment(
        PARENT, ("EDITOR",), {"EDITOR": "ed", "PATH": "/opt"}
    )


def test_variables_of_the_engine_are_never_inherited():
    assert BASIC == child_environment(PARENT, ("AUTOKESTRA_SECRET_KEY", "AUTOKESTRA_HOME"), {})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "AUTOKESTRA_HOME",
            "/x",
            "environment variable 'AUTOKESTRA_HOME' belongs to the engine and cannot be set for a task",
        ),
        ("", "x", "'' cannot be the name of an environment variable"),
        ("A=B", "x", "'A=B' cannot be the name of an environment variable"),
        ("A", "hidden\0", "environment variable 'A' contains a NUL byte, which no process can be given"),
        ("A", "hidden\ud800", "environment variable 'A' cannot be written as UTF-8"),
    ],
)
def test_what_no_process_can_have_is_refused_without_its_value(name, value, message):
    with pytest.raises(ActionError) as raised:
        child_environment(PARENT, (), {name: value})
    assert ("bad-input", message) == (raised.value.reason, raised.value.message)


@pytest.mark.parametrize(
    ("ended", "failure"),
    [
        ({"exit_code": 0}, None),
        ({"exit_code": 7}, ("exited with code 7", "exit-code", 7)),
        ({"signal": 15}, ("killed by SIGTERM", "signal", 143)),
        ({"stopped": "timeout"}, ("stopped, because its timeout has passed", "timeout", None)),
        ({"stopped": "timeout", "exit_code": 0}, ("stopped, because its timeout has passed", "timeout", 0)),
        ({"stopped": "cancelled", "signal": 15}, ("cancelled", "cancelled", 143)),
        ({}, ("lost: the process that watched over it was killed", "lost", None)),
    ],
)
def test_every_end_but_exit_code_zero_is_a_failure(ended, failure):
    unknown = {
        "exit_code": None,
        "signal": None,
        "stopped": None,
        "stdout": b"",
        "stdout_truncated": False,
        "result": b"",
    }
    assert failure == Ending(**unknown | ended).failure()
