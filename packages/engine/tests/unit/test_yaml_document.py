"""YAML as workflows are written in it: YAML 1.2 scalars, places, and refusals that take no time."""

import time

import pytest

from autokestra.workflow.document import DEPTH_LIMIT, FAULT_LIMIT, SIZE_LIMIT, VALUE_LIMIT, Fault, decode, read


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: ", None),
        ("a: ~", None),
        ("a: null", None),
        ("a: Null", None),
        ("a: nULL", "nULL"),
        ("a: true", True),
        ("a: FALSE", False),
        ("a: yes", "yes"),
        ("a: on", "on"),
        ("a: off", "off"),
        ("a: 12", 12),
        ("a: -12", -12),
        ("a: +12", 12),
        ("a: 010", 10),
        ("a: 0o17", 15),
        ("a: 0x1F", 31),
        ("a: 0b11", "0b11"),
        ("a: 1_000", "1_000"),
        ("a: 12:30:45", "12:30:45"),
        ("a: 2026-03-01", "2026-03-01"),
        ("a: 1.5", 1.5),
        ("a: .5", 0.5),
        ("a: 1.", 1.0),
        ("a: 1e3", 1000.0),
        ("a: -1.5E-2", -0.015),
        ("a: 1.2.3", "1.2.3"),
        ("a: -", [None]),
        ("a: '12'", "12"),
        ('a: "true"', "true"),
        ("a: |\n  x\n  y\n", "x\ny\n"),
        ("a: >-\n  x\n  y\n", "x y"),
        ("a: '{{ x }}'", "{{ x }}"),
        ("a: [1, 'b', {c: d}]", [1, "b", {"c": "d"}]),
        ("a:\n  <<: {b: 1}", {"<<": {"b": 1}}),
        ("a: {1: x, true: y}", {"1": "x", "true": "y"}),
        ("a: ü😀", "ü😀"),
        ("--- # first\na: 1\n...\n", 1),
    ],
)
def test_scalars_follow_yaml_1_2(text, value):
    document = read(text if text != "a: -" else "a:\n-")
    assert [] == document.faults
    assert {"a": value} == document.data
    assert type(value) is type(document.data["a"])


@pytest.mark.parametrize(("text", "data"), [("", None), ("# nothing\n", None), ("- 1", [1]), ("x", "x"), ("12", 12)])
def test_a_document_may_be_anything(text, data):
    document = read(text)
    assert (data, [], True) == (document.data, document.faults, document.complete)


@pytest.mark.parametrize(
    ("text", "line", "column", "message", "hint"),
    [
        ("a: 1\nb:\n\t- x", 3, 1, "a tab cannot be used for indentation", "indent with spaces"),
        ("a: |\n \tx\n\ty", 2, 2, "a tab cannot be used for indentation", "indent with spaces"),
        ("a: @x", 1, 4, "a value cannot begin with '@'", "put it in quotes"),
        ("a: `x`", 1, 4, "a value cannot begin with '`'", "put it in quotes"),
        ("a: b: c", 1, 5, "a ': ' is not allowed here", "put the value in quotes, or check the indentation"),
        ("a: [1, 2", 1, 9, "did not find expected ',' or ']'", "check quotes, brackets and indentation"),
        ("a: [1, 2\n", 1, 9, "did not find expected ',' or ']'", "check quotes, brackets and indentation"),
        ("a: 'x", 1, 6, "found unexpected end of stream", "check quotes, brackets and indentation"),
        ("a: 1\n b: 2", 2, 3, "a ': ' is not allowed here", "put the value in quotes"),
        ("a: {{ x }}/b", 1, 11, "did not find expected key", "a value that begins with '{{' needs quotes"),
        ("? {a: 1}\n: 2", 1, 3, "a key must be text", "put it in quotes"),
        ("? [a]\n: 2", 1, 3, "a key must be text", "put it in quotes"),
        ("*a : 1", 1, 1, "a key must be text", "put it in quotes"),
        ("a: 1\n---\nb: 2", 2, 1, "only one document is allowed in a file", "remove what follows '---'"),
        ("a: é\x01", 1, 5, "character U+0001 is not allowed in YAML", None),
        ("a: \ufffe", 1, 4, "character U+FFFE is not allowed in YAML", None),
        ("a: \0", 1, 4, "character U+0000 is not allowed in YAML", None),
    ],
)
def test_what_ends_the_reading(text, line, column, message, hint):
    document = read(text)
    assert not document.complete
    fault = document.faults[-1]
    assert (line, column, message) == (fault.line, fault.column, fault.message)
    assert fault.hint is None if hint is None else hint in fault.hint


@pytest.mark.parametrize(
    ("text", "faults", "data"),
    [
        ("a: 1\na: 2\nb: 3", [(2, 1, "key 'a' is repeated", "it stands in line 1 already", ("a",))], {"a": 1, "b": 3}),
        (
            "a: {x: 1}\na: {x: {y: [1]}}\nb: {x: 3}",
            [(2, 1, "key 'a' is repeated", "it stands in line 1 already", ("a",))],
            {"a": {"x": 1}, "b": {"x": 3}},
        ),
        ("a: &x 1", [(1, 4, "anchors are not allowed", "remove '&x'", ("a",))], {"a": 1}),
        ("a: [*x, 2]", [(1, 5, "aliases are not allowed", "write the value out", ("a", 0))], {"a": [None, 2]}),
        (
            "a: !!python/object:os.system [x]",
            [(1, 4, "tags are not allowed", "remove '!!python/object:os.system'", ("a",))],
            {"a": ["x"]},
        ),
        ("a: !x y", [(1, 4, "tags are not allowed", "remove '!x'", ("a",))], {"a": "y"}),
        ("a: ! y", [(1, 4, "tags are not allowed", "remove '!'", ("a",))], {"a": "y"}),
        ("a: .inf", [(1, 4, "number is not finite", "put it in quotes if it is text", ("a",))], {"a": None}),
        ("a: -.INF", [(1, 4, "number is not finite", "put it in quotes if it is text", ("a",))], {"a": None}),
        ("a: .nan", [(1, 4, "number is not finite", "put it in quotes if it is text", ("a",))], {"a": None}),
        ("a: 1e999", [(1, 4, "number is not finite", "put it in quotes if it is text", ("a",))], {"a": None}),
        ("a: " + "9" * 1001, [(1, 4, "number is too long", "put it in quotes", ("a",))], {"a": None}),
        (
            "a: {{ x }}\nb: [{{ y | z }}, 1]\nc: 1",
            [
                (1, 4, "a template needs quotes", "a value that begins with '{{' needs quotes: \"{{ … }}\"", ("a",)),
                (2, 5, "a template needs quotes", "a value that begins with '{{' needs quotes: \"{{ … }}\"", ("b", 0)),
            ],
            {"a": None, "b": [None, 1], "c": 1},
        ),
    ],
)
def test_what_is_noted_while_reading_goes_on(text, faults, data):
    document = read(text)
    assert document.complete
    expected = [Fault(line=f[0], column=f[1], message=f[2], hint=f[3], path=f[4]) for f in faults]
    assert expected == document.faults
    assert data == document.data


def test_what_was_refused_is_known():
    assert {("a", 0), ("b",)} == read("a: [*x, 2]\nb: {{ y: [1] }}").broken
    assert {()} == read("{{ x }}").broken


TEXT = """\
# 😀 ünïcode
id: w
tasks:
  - id: a
    inputs:
      url: "x{{ a }} {{ b }}"
      body: |
        first {{ c }}
        second {{{{ {{ d }}
      folded: >
        one
        {{ e }}
      escaped: "\\x7b\\x7b f }}"
  - {id: b, inputs: {x: '{{ g }}'}}
"""


@pytest.mark.parametrize(
    ("path", "place", "key_place"),
    [
        ((), (1, 1), (1, 1)),
        (("id",), (2, 5), (2, 1)),
        (("tasks",), (4, 3), (3, 1)),
        (("tasks", 0), (4, 5), (4, 5)),
        (("tasks", 0, "inputs", "url"), (6, 12), (6, 7)),
        (("tasks", 1, "inputs", "x"), (14, 25), (14, 22)),
        (("tasks", 1, "absent", "deeper"), (14, 5), (14, 5)),
        (("tasks", 7), (4, 3), (3, 1)),
    ],
)
def test_every_value_has_its_place(path, place, key_place):
    document = read(TEXT)
    assert place == document.place(path)
    assert key_place == document.place(path, key=True)


@pytest.mark.parametrize(
    ("path", "number", "place"),
    [
        (("tasks", 0, "inputs", "url"), 0, (6, 14)),
        (("tasks", 0, "inputs", "url"), 1, (6, 22)),
        (("tasks", 0, "inputs", "body"), 0, (8, 15)),
        (("tasks", 0, "inputs", "body"), 3, (9, 21)),
        (("tasks", 0, "inputs", "folded"), 0, (12, 9)),
        (("tasks", 0, "inputs", "escaped"), 0, (13, 16)),  # not found in the source: the value itself
        (("tasks", 1, "inputs", "x"), 0, (14, 26)),
    ],
)
def test_every_pair_of_braces_has_its_place(path, number, place):
    document = read(TEXT)
    text = document.data
    for step in path:
        text = text[step]
    offset = -2
    for _ in range(number + 1):
        offset = text.find("{{", offset + 2)
    assert place == document.place_of_braces(path, text, offset)


def test_braces_in_nothing_have_the_first_place():
    assert (1, 1) == read("{{ x").place_of_braces(("a",), "{{", 0)


def test_places_count_characters_in_any_script():
    fault = read("😀ü: [x, @").faults[0]
    assert (1, 9) == (fault.line, fault.column)


@pytest.mark.parametrize(
    ("data", "line", "column", "message"),
    [
        (b"a: \xff", 1, 4, "file is not UTF-8 text"),
        (b"a: 1\nb: \xc3\xa4\xe4", 2, 5, "file is not UTF-8 text"),
        ("a: 1".encode("utf-16"), 1, 1, "file is not UTF-8 text"),
        (b"#" * (SIZE_LIMIT + 1), 1, 1, "file is larger than 2 MiB"),
    ],
)
def test_bytes_that_are_no_text(data, line, column, message):
    fault = decode(data)
    assert isinstance(fault, Fault)
    assert (line, column, message) == (fault.line, fault.column, fault.message)


@pytest.mark.parametrize("data", [b'a: "\xed\xa0\xbd"', b'a: "\\ud83d"', b'a: "\\ud83d\\ude00"', b'"\\ud83d": 1'])
def test_half_a_character_comes_with_what_to_write_instead(data):
    text = decode(data)
    fault = text if isinstance(text, Fault) else read(text).faults[0]
    assert fault.hint == "\\ud83d and the like are halves of a character: write the character itself, or \\U0001f600"
    assert ["\U0001f600"] == list(read('"\\U0001f600"').data)


def test_a_byte_order_mark_is_no_text():
    assert "a: 1" == decode(b"\xef\xbb\xbfa: 1")


def test_a_file_of_the_largest_size_is_read():
    assert isinstance(decode(b"#" * SIZE_LIMIT), str)


BOMBS = {
    "aliases": "a: &a [x]\n" + "".join(f"b{i}: &b{i} [*a, *a, *a, *a]\n" for i in range(10_000)),
    "flow nesting": "[" * 10_000,
    "flow mappings": "{a: " * 10_000,
    "block nesting": "\n".join(" " * i + "a:" for i in range(1000)),
    "list nesting": "- " * 10_000,
    "repeated keys": "{" + "a, " * 100_000 + "}",
    "values": "[" + "," * 1_000_000,
    "empty mappings": "a: [" + "{}," * (VALUE_LIMIT + 1) + "]",
    "keys": "{" + ",".join(f"k{i}: 1" for i in range(100_000)) + "}",
    "colons": ":" * SIZE_LIMIT,
    "quotes": 'a: "' + "\\\\" * 900_000,
    "braces": "a: " + "{{" * 100_000,
    "tags": "a: " + "!" * 1_000_000,
    "questions": "? " * 500_000,
}


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS)
def test_bombs_are_refused_in_bounded_time(text):
    started = time.perf_counter()
    document = read(text)
    assert time.perf_counter() - started < 20  # about one second each on an idle machine
    assert len(document.faults) <= FAULT_LIMIT
    assert document.faults or len(document.data) == 100_000


def test_nesting_has_a_limit():
    assert read("[" * DEPTH_LIMIT + "]" * DEPTH_LIMIT).complete
    fault = read("[" * (DEPTH_LIMIT + 1) + "]" * (DEPTH_LIMIT + 1)).faults[0]
    assert (1, DEPTH_LIMIT + 1, "nested deeper than 64 levels") == (fault.line, fault.column, fault.message)
