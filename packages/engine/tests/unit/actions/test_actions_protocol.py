"""What counts as a JSON value, and what is said about the rest."""

import datetime as dt
import enum
import math

import pytest

from autokestra.actions.protocol import MAX_JSON_DEPTH, ActionError, check_json, read_json


def nested(depth, *, kind=list):
    value = 0
    for _ in range(depth):
        value = [value] if kind is list else {"a": value}
    return value


class Colour(enum.Enum):
    RED = 1


@pytest.mark.parametrize(
    "value",
    [None, True, 0, -(10**400), 1.5, "", "ü\n\0€", [], {}, {"a": [1, {"b": None}]}, nested(MAX_JSON_DEPTH)],
)
def test_json_values_pass(value):
    check_json(value)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ((1,), "output is tuple, which is no JSON value"),
        ({"a": [0, b"x"]}, "output.a[1] is bytes, which is no JSON value"),
        ([dt.date(2026, 1, 1)], "output[0] is datetime.date, which is no JSON value"),
        (math.nan, "output is nan, which JSON cannot hold"),
        ({"x": -math.inf}, "output.x is -inf, which JSON cannot hold"),
        ({"x": {1: 2}}, "output.x has a key that is int instead of text"),
        ({"\ud800": 2}, "output has a key that cannot be written as UTF-8"),
        (["\udfff"], "output[0] cannot be written as UTF-8"),
        (nested(MAX_JSON_DEPTH + 1), "output is nested more than 200 levels deep"),
        (nested(5000, kind=dict), "output is nested more than 200 levels deep"),
    ],
)
def test_the_place_and_type_of_anything_else_are_named(value, problem):
    with pytest.raises(ActionError) as raised:
        check_json(value)
    assert ("bad-output", problem) == (raised.value.reason, raised.value.message)


def test_type_of_a_module_is_named_in_full():
    with pytest.raises(ActionError, match=r"input is .*test_actions_protocol\.Colour, which is no JSON value"):
        check_json(Colour.RED, name="input", reason="bad-input")


def test_value_that_holds_itself_is_refused_at_once():
    value = []
    value += [value, value, value]
    with pytest.raises(ActionError, match="nested more than 200"):
        check_json(value)


def test_json_is_read():
    assert {"a": [1, "ü"]} == read_json('{"a": [1, "ü"]}'.encode(), name="x")


@pytest.mark.parametrize(
    "data", [b"", b"{", b"NaN", b"[-Infinity]", b"\xff", b"1" * 5000, b"[" * 100_000, b'{"a": hidden}', "[1] x"]
)
def test_what_is_no_json_is_refused_without_the_text(data):
    with pytest.raises(ActionError) as raised:
        read_json(data, name="body")
    assert ("bad-output", "body is no JSON") == (raised.value.reason, raised.value.message)
    assert raised.value.__cause__ is None


def test_json_that_is_too_deep_is_refused():
    with pytest.raises(ActionError, match="body is nested more than 200 levels deep"):
        read_json(b"[" * 300 + b"]" * 300, name="body")


def test_half_of_a_surrogate_pair_is_refused():
    with pytest.raises(ActionError, match=r"body\.a cannot be written as UTF-8"):
        read_json(b'{"a": "\\ud800"}', name="body")
