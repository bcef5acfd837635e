"""Files of many secrets: what each line means, and what an error names and does not repeat."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from autokestra.cli import imports
from autokestra.errors import UsageError


def dotenv(text: str) -> dict[str, str]:
    return {name: value.reveal() for name, value in imports.parse_dotenv(text, origin="app.env").items()}


def json(text: str) -> dict[str, str]:
    return {name: value.reveal() for name, value in imports.parse_json(text, origin="app.json").items()}


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b", "b"),
        ("A=b\n", "b"),
        ("A = b", "b"),
        ("  A=b  ", "b"),
        ("export A=b", "b"),
        ("export\tA=b", "b"),
        ("A=b c", "b c"),
        ("A=b # a comment", "b"),
        ("A=b\t# a comment", "b"),
        ("A=b#c", "b#c"),
        ("A=postgres://u:p@h/d?x=1#frag", "postgres://u:p@h/d?x=1#frag"),
        ("A=b=c==", "b=c=="),
        ("A=$HOME", "$HOME"),
        ("A=${HOME}$(id)`id`", "${HOME}$(id)`id`"),
        (r"A=a\nb", r"a\nb"),
        ("A=it's", "it's"),
        ("A=é😀", "é😀"),
        ("A='b c'", "b c"),
        ("A='b # c'", "b # c"),
        ("A=' b '", " b "),
        ("A='b' # a comment", "b"),
        (r"A='a\nb$HOME\'", r"a\nb$HOME" + "\\"),
        ("A='one\ntwo\n'", "one\ntwo\n"),
        ('A="b c"', "b c"),
        ('A="it\'s"', "it's"),
        ('A="b # c" # d', "b # c"),
        (r'A="a\nb\tc\rd"', "a\nb\tc\rd"),
        (r'A="a\\n\"q\" \$HOME \`id\`"', 'a\\n"q" $HOME `id`'),
        (r'A="C:\dir"', r"C:\dir"),
        ('A="$HOME"', "$HOME"),
        ('A="one\n# two\n\nthree"', "one\n# two\n\nthree"),
    ],
)
def test_a_dotenv_value_is_read_as_it_is_written(line: str, value: str) -> None:
    assert {"A": value} == dotenv(line)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("A=postgres://u:${PASS}@$HOST/d", [1]),
        ('A="$HOME"', [1]),
        ('A="one\ntwo"\n\nexport B="x\n${HOME}"\nC=$D', [4, 6]),
        ('A="\\\\$HOME"', [1]),
        ('A="\\$HOME"', []),
        ("A='$HOME'", []),
        ("A='x' # $HOME", []),
        ("A=x # $HOME", []),
        ('A="x" # $HOME', []),
        ("A=a$1b$", []),
        ("A=$(id)", []),
    ],
)
def test_lines_that_a_shell_would_have_expanded_are_counted(text: str, lines: list[int]) -> None:
    found: list[int] = []
    imports.parse(text, origin="app.env", file_format="dotenv", unexpanded=found)
    assert lines == found


def test_an_empty_value_comes_with_a_hint_that_fits_a_file() -> None:
    with pytest.raises(UsageError) as caught:
        dotenv("A=1\nDEBUG=\n")
    assert "app.env:2: 'DEBUG': secret value cannot be empty" == caught.value.message
    assert "take it out of the file, or give it a value" == caught.value.hint


def test_blank_lines_and_comments_are_passed_over_and_the_order_is_kept() -> None:
    text = "# head\n\n  \nB=1\n   # between\nA=2\n\nC=3"
    assert ["B", "A", "C"] == list(dotenv(text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A=1\nhunter2\n", "app.env:2: expected NAME=VALUE"),
        ("=hunter2", "app.env:1: expected NAME=VALUE"),
        ("MY KEY=hunter2", "app.env:1: expected NAME=VALUE"),
        ("'A'=hunter2", "app.env:1: expected NAME=VALUE"),
        ("A.B=hunter2", "app.env:1: no secret name stands there"),
        ("A=1\n\nA=hunter2", "app.env:3: 'A' is already in line 1"),
        ("A=", "app.env:1: 'A': secret value cannot be empty"),
        ('A=""', "app.env:1: 'A': secret value cannot be empty"),
        ("A= # nothing", "app.env:1: 'A': secret value cannot be empty"),
        ('B="\n\n"\nA="hunter2\nmore', 'app.env:4: the quote " is not closed'),
        ("A='hunter2", "app.env:1: the quote ' is not closed"),
        ("A='hunter2'x", "app.env:1: there is text after the closing quote"),
        ('A="hunter2"x', "app.env:1: there is text after the closing quote"),
    ],
)
def test_a_dotenv_error_names_file_and_line_and_repeats_no_value(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        dotenv(text)
    assert message == caught.value.message
    assert "hunter2" not in f"{caught.value.hint}{caught.value.__cause__}"
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
@example("\r\n")
def test_any_text_comes_back_from_double_quotes(value: str) -> None:
    """Escaping backslash and quote is enough to write any text, but for a CR, which belongs to the line end there."""
    written = value.replace("\\", "\\\\").replace('"', '\\"').replace("\r", "\\r")
    assert {"A": value, "B": "2"} == dotenv(f'A="{written}"\nB=2\n')


@given(st.text(max_size=200))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    """Nothing else happens: no other error, no endless loop."""
    message = ""
    try:
        assert imports.parse(text, origin="f", file_format=imports.detect_format("f", text))
    except UsageError as error:
        message = error.message
    assert message == "" or message.startswith("f:")


def test_a_quote_that_never_closes_is_refused_in_a_long_file_too() -> None:
    with pytest.raises(UsageError, match="not closed"):
        dotenv('A="' + "x\\y" * 1_000_000)


def test_json_is_an_object_of_strings() -> None:
    assert {"B": "1", "A": "two\nlines"} == json('{"B": "1", "A": "two\\nlines"}')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"A": 5}', "app.json: 'A' is a number, expected a string"),
        ('{"A": 5.5}', "app.json: 'A' is a number, expected a string"),
        ('{"A": NaN}', "app.json: 'A' is a number, expected a string"),
        ('{"A": true}', "app.json: 'A' is true or false, expected a string"),
        ('{"A": null}', "app.json: 'A' is null, expected a string"),
        ('{"A": ["hunter2"]}', "app.json: 'A' is an array, expected a string"),
        ('{"A": {"B": "hunter2"}}', "app.json: 'A' is an object, expected a string"),
        ('{"A": "1", "A": "hunter2"}', "app.json: 'A' is there twice"),
        ('{"A": ""}', "app.json: 'A': secret value cannot be empty"),
        ('{"A": "\\ud800"}', "app.json: 'A': secret value is not valid Unicode text"),
        ('{"A B": "hunter2"}', "app.json: no secret name stands there"),
        ('["hunter2"]', "app.json: expected a JSON object, got an array"),
        ('"hunter2"', "app.json: expected a JSON object, got a string"),
        ('{"A": hunter2}', "app.json:1: no JSON: expecting value"),
        ('{"A":\n"hunter2', "app.json:2: no JSON: unterminated string starting at"),
        ("[" * 100_000, "app.json: no JSON object of strings"),
        ('{"A": ' + "9" * 5_000 + "}", "app.json: no JSON object of strings"),
    ],
)
def test_a_json_error_names_the_key_or_the_line_and_repeats_no_value(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        json(text)
    assert message == caught.value.message
    assert "hunter2" not in f"{caught.value.message}{caught.value.hint}{caught.value.__cause__}"
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.json", "A=1", "json"),
        ("A.JSON", "A=1", "json"),
        ("a.env", "{}", "dotenv"),
        (".env", "{}", "dotenv"),
        ("stdin", '  {"A": "1"}', "json"),
        ("stdin", "A={}", "dotenv"),
        ("secrets.txt", "", "dotenv"),
    ],
)
def test_the_extension_decides_the_format_and_the_content_when_it_says_nothing(
    name: str, text: str, expected: str
) -> None:
    assert expected == imports.detect_format(name, text)


@pytest.mark.parametrize(("text", "file_format"), [("", "dotenv"), ("# nothing\n", "dotenv"), ("{}", "json")])
def test_a_file_without_secrets_is_an_error(text: str, file_format: imports.Format) -> None:
    with pytest.raises(UsageError) as caught:
        imports.parse(text, origin="f", file_format=file_format)
    assert "f: no secrets in it" == caught.value.message


def test_text_is_utf8_with_or_without_a_mark() -> None:
    assert "A=é\r\n" == imports.decode(b"\xef\xbb\xbfA=\xc3\xa9\r\n", origin="f")
    assert "A=é\n" == imports.decode(b"A=\xc3\xa9\n", origin="f")


def test_line_ends_of_dotenv_become_lf() -> None:
    assert {"A": "é", "B": "1\n2"} == dotenv("A=é\r\nB='1\r\n2'\r\n")


def test_bytes_that_are_no_utf8_are_refused_with_their_line() -> None:
    with pytest.raises(UsageError) as caught:
        imports.decode(b"A=1\nB=hunter2\xff\n", origin="f")
    assert "f:2: not UTF-8 text" == caught.value.message
    assert caught.value.__suppress_context__  # the foreign error holds the whole file
