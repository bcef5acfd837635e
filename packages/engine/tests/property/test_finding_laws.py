"""Where values are found: every line that holds one, and none that does not, however the stream is cut."""

from base64 import b64encode

from hypothesis import given, settings
from hypothesis import strategies as st

from autokestra.cli.findings import Finder, Finding
from autokestra_secrets import SecretValue

VALUES = {
    "A": SecretValue("hunter2-canary"),
    "B": SecretValue("hunter2-canary-longer"),
    "KEY": SecretValue("-----BEGIN KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END KEY-----"),
    "PIN": SecretValue("123"),
}

FINDER = Finder(VALUES)

lines = st.sampled_from(
    [
        b"",
        b"nothing here",
        b"x hunter2-canary y",
        b"hunter2-can",
        b"z",
        b"hunter2-canary-longer",
        b"hunter2-canary hunter2-canary",
        b"\xff\0\xfe",
        b"***SECRET***",
    ]
)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    found, at = [], 0
    for cut in cuts:
        found.append(data[at : at + cut])
        at += cut
    return [*found, data[at:]]


@settings(deadline=None)  # the first example compiles the forms
@given(st.lists(lines), st.lists(st.integers(1, 30)))
def test_each_line_that_holds_a_value_is_found_once(texts: list[bytes], cuts: list[int]) -> None:
    found = list(FINDER.search(pieces(b"\n".join(texts), cuts)))
    expected = {
        (number, "B" if b"longer" in text else "A") for number, text in enumerate(texts, 1) if b"hunter2-canary" in text
    }
    assert expected == {(one.line, one.name) for one in found if one.name in "AB" and (one.line, one.name) in expected}
    assert {line for line, _ in expected} == {one.line for one in found}
    assert len(found) == len(set(found))


def test_the_form_is_named_and_both_values_of_a_line() -> None:
    text = b"first\nA=hunter2-canary, K=" + b64encode(b"hunter2-canary-longer1") + b"\nlast"
    found = list(Finder(VALUES).search([text]))
    assert {(2, "A", "plain"), (2, "B", "base64")} <= {tuple(one) for one in found}
    assert {2} == {one.line for one in found}


def test_a_value_of_several_lines_is_found_where_it_begins() -> None:
    text = b"one\ntwo\n" + VALUES["KEY"].reveal_bytes() + b"\nseven\nhunter2-canary\n"
    found = list(Finder(VALUES).search([text[:40], text[40:]]))
    assert Finding(3, "KEY", "plain") == found[0]
    assert Finding(8, "A", "plain") == found[-1]
    assert {"KEY"} == {one.name for one in found[:-1]}


def test_what_cannot_be_looked_for_is_told() -> None:
    assert {"PIN": "shorter than 4 bytes"} == Finder(VALUES).unmaskable


def test_a_file_full_of_values_is_searched_in_reasonable_time() -> None:
    text = b"token hunter2-canary\n" * 2000
    found = list(Finder(VALUES).search([text[at : at + 65536] for at in range(0, len(text), 65536)]))
    assert [Finding(line, "A", "plain") for line in range(1, 2001)] == found


def test_what_follows_a_value_that_only_the_end_made_certain_is_searched_too() -> None:
    """`hunter2-canary` could go on as the longer value, so it is held, and the rest of the file with it."""
    text = b"hunter2-canary" + b"\n" * 3 + b"x" * 300 + b"\nhunter2-canary"
    assert [Finding(1, "A", "plain"), Finding(5, "A", "plain")] == list(FINDER.search([text]))
    assert {"A", "B"} == {one.name for one in FINDER.search([b"hunter2-canary hunter2-canary-longer"])}
