"""What `export` writes, `import` reads back to the byte; what shells and other readers make of it is theirs."""

import os
import subprocess
from collections.abc import Mapping

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autokestra.cli import exports, imports
from autokestra.errors import UsageError
from autokestra_secrets import SecretValue

# A busy machine is no fault of a law: neither the first table of characters nor a shell is fast there.
LAWS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

NASTY = [
    "'",
    '"',
    "\\",
    "$",
    "`",
    "\n",
    "\r",
    "\r\n",
    "\t",
    " ",
    "#",
    "=",
    "!",
    "~",
    "$HOME",
    "$(id)",
    "\\n",
    "é",
    "😀",
    "\u2028",
    "\ufeff",
    "\x85",
    "\x1b",
    "{{",
]

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
all_names = st.from_regex(r"[A-Za-z0-9_-]{1,9}", fullmatch=True)
texts = (
    st.lists(
        st.one_of(st.sampled_from(NASTY), st.text(st.characters(exclude_categories=["Cs"]), max_size=4)), min_size=1
    )
    .map("".join)
    .filter(bool)
)
shell_texts = texts.filter(lambda text: "\0" not in text)


def there_and_back(values: Mapping[str, str | bytes], file_format: exports.Format) -> dict[str, bytes]:
    text = exports.write({name: SecretValue(value) for name, value in values.items()}, file_format=file_format)
    read = imports.parse(imports.decode(text.encode(), origin="file"), origin="file", file_format=file_format)
    return {name: value.reveal_bytes() for name, value in read.items()}


def in_bytes(values: Mapping[str, str | bytes]) -> dict[str, bytes]:
    return {name: value.encode() if isinstance(value, str) else value for name, value in values.items()}


@LAWS
@given(st.dictionaries(all_names, texts, min_size=1, max_size=4))
def test_dotenv_survives_the_round_trip(values: dict[str, str]) -> None:
    assert in_bytes(values) == there_and_back(values, "dotenv")


@LAWS
@given(st.dictionaries(names, shell_texts, min_size=1, max_size=4))
def test_shell_survives_the_round_trip(values: dict[str, str]) -> None:
    assert in_bytes(values) == there_and_back(values, "shell")


@LAWS
@given(st.dictionaries(all_names, st.one_of(texts, st.binary(min_size=1)), min_size=1, max_size=4))
def test_json_survives_the_round_trip_with_any_bytes(values: dict[str, str | bytes]) -> None:
    assert in_bytes(values) == there_and_back(values, "json")


@LAWS
@given(shell_texts)
def test_a_real_shell_reads_the_same(text: str) -> None:
    script = exports.write({"VALUE": SecretValue(text)}, file_format="shell") + 'printf %s "$VALUE"\n'
    done = subprocess.run(
        ["sh"],
        input=script.encode(),
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
        capture_output=True,
        check=True,
    )
    assert text.encode() == done.stdout


@LAWS
@given(st.dictionaries(names, texts, min_size=1, max_size=3))
def test_a_dotenv_file_with_other_line_ends_says_the_same_where_no_value_has_line_ends(values: dict[str, str]) -> None:
    plain = {name: text.replace("\n", "x").replace("\r", "x") for name, text in values.items()}
    text = exports.write({name: SecretValue(value) for name, value in plain.items()}, file_format="dotenv")
    read = imports.parse(
        imports.decode(text.replace("\n", "\r\n").encode(), origin="f"), origin="f", file_format="dotenv"
    )
    assert plain == {name: value.reveal() for name, value in read.items()}


@pytest.mark.parametrize("file_format", ["dotenv", "shell"])
def test_what_is_no_text_is_for_json(file_format: exports.Format) -> None:
    with pytest.raises(UsageError, match="secret 'A' is no text"):
        exports.write({"A": SecretValue(b"\xff")}, file_format=file_format)


@pytest.mark.parametrize(("name", "value"), [("smtp-password", "x"), ("1st", "x"), ("A", "a\0b")])
def test_what_no_shell_can_hold_is_for_json(name: str, value: str) -> None:
    with pytest.raises(UsageError, match=f"secret '{name}' cannot be written for a shell"):
        exports.write({name: SecretValue(value)}, file_format="shell")
