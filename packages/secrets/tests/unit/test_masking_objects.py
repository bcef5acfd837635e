"""Masked copies of JSON-like values."""

from collections import namedtuple
from dataclasses import dataclass, field

import pytest

from autokestra_secrets import SecretMasker

TOKEN = "hunter2-of-the-day"
P = "***SECRET***"


@pytest.fixture
def masker():
    return SecretMasker([TOKEN, "12345678"])


@dataclass(frozen=True, slots=True)
class Login:
    user: str
    password: str
    tags: list = field(default_factory=list)


@dataclass
class Half:
    there: str
    missing: str = field(init=False)


Pair = namedtuple("Pair", "left right")


class Connection:
    def __init__(self, text):
        self.text = text

    def __repr__(self):
        return f"Connection({self.text})"


def test_strings_bytes_numbers_and_containers_are_masked(masker):
    value = {
        "text": f"x {TOKEN}",
        "bytes": TOKEN.encode(),
        "array": bytearray(TOKEN.encode()),
        "number": 12345678,
        "float": 0.12345678,
        "list": [TOKEN, 1, None, True, {"deep": (TOKEN,)}],
        "set": {TOKEN},
        "frozen": frozenset([TOKEN]),
    }
    assert masker.mask_object(value) == {
        "text": f"x {P}",
        "bytes": P.encode(),
        "array": bytearray(P.encode()),
        "number": P,
        "float": f"0.{P}",
        "list": [P, 1, None, True, {"deep": (P,)}],
        "set": {P},
        "frozen": frozenset([P]),
    }


def test_the_original_is_not_changed(masker):
    value = {"a": [TOKEN]}
    masker.mask_object(value)
    assert value == {"a": [TOKEN]}


def test_keys_are_masked_and_stay_apart(masker):
    assert masker.mask_object({TOKEN: 1, f"{TOKEN}": 2, f" {TOKEN}": 3}) == {P: 2, f" {P}": 3}
    two = SecretMasker([TOKEN, "another-value"])
    assert two.mask_object({TOKEN: 1, "another-value": 2}) == {P: 1, f"{P} (2)": 2}
    assert two.mask_object({(TOKEN, 1): 1}) == {(P, 1): 1}


def test_dataclasses_and_named_tuples_keep_their_type(masker):
    assert masker.mask_object(Login("me", TOKEN, [TOKEN])) == Login("me", P, [P])
    assert masker.mask_object(Pair(TOKEN, 1)) == Pair(P, 1)
    assert masker.mask_object(Half(TOKEN)).there == P
    assert masker.mask_object(Login) is Login


def test_other_objects_are_replaced_by_their_masked_text_only_when_that_holds_a_value(masker):
    harmless = Connection("localhost")
    assert masker.mask_object([harmless])[0] is harmless
    assert masker.mask_object(Connection(TOKEN)) == f"Connection({P})"
    assert masker.mask_object({"e": ValueError(TOKEN)}) == {"e": P}


def test_any_depth(masker):
    value = TOKEN
    for _ in range(50_000):
        value = [value]
    masked = masker.mask_object(value)
    for _ in range(50_000):
        masked = masked[0]
    assert masked == P
    while isinstance(value, list):  # taken apart from outside: a recursive destructor would overflow the stack
        value = value[0]


def test_cycles(masker):
    value = [TOKEN]
    value.append(value)
    masked = masker.mask_object(value)
    assert masked[0] == P
    assert masked[1] is masked
    inner = {}
    pair = (inner, TOKEN)
    inner["pair"] = pair
    assert masker.mask_object(pair) == ({"pair": "<cycle>"}, P)
    shared = [TOKEN]
    twice = masker.mask_object([shared, shared])
    assert twice == [[P], [P]]
    assert twice[0] is twice[1]
