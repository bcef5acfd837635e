"""What is shown: nothing that moves the cursor, aligned columns, colour for terminals only."""

import io
import json

import pytest

from autokestra.cli import console
from autokestra.errors import UsageError


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class FullDisk(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")

    def flush(self) -> None:
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text", "plain text"),
        ("naïve 日本 😀", "naïve 日本 😀"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("a\nerror: forged", "a\\x0aerror: forged"),
        ("a\rb\tc\x07\x7f\x00", "a\\x0db\\x09c\\x07\\x7f\\x00"),
        ("\x9b2J", "\\x9b2J"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("a\u2028b", "a\\u2028b"),
        ("\udcff", "\\udcff"),
    ],
)
def test_what_could_move_the_cursor_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert shown == console.visible(text)


def test_columns_are_aligned_by_what_the_eye_sees() -> None:
    lines = console.table(("NAME", "N"), [("日本", "1"), ("e\u0301", "22"), ("\x1b[1m", "3")]).split("\n")
    assert ["NAME     N", "日本     1", "e\u0301        22", "\\x1b[1m  3"] == lines


def test_data_goes_to_stdout_and_talk_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    console.out("data")
    console.notice("done")
    console.warn("careful", hint="type this")
    console.error("broken", hint="type that")
    captured = capsys.readouterr()
    assert "data\n" == captured.out
    assert "done\nwarning: careful\nhint: type this\nerror: broken\nhint: type that\n" == captured.err


def test_an_error_is_one_line_whatever_its_message_holds(capsys: pytest.CaptureFixture[str]) -> None:
    console.error("bad name 'a\nb\x1b[0m'")
    assert "error: bad name 'a\\x0ab\\x1b[0m'\n" == capsys.readouterr().err


def test_json_is_ascii_and_reads_back(capsys: pytest.CaptureFixture[str]) -> None:
    console.out_json([{"name": "é\x9b"}])
    out = capsys.readouterr().out
    assert out.isascii()
    assert [{"name": "é\x9b"}] == json.loads(out)


@pytest.mark.parametrize(
    ("stream", "environ", "coloured"),
    [
        (Terminal(), {}, True),
        (Terminal(), {"NO_COLOR": ""}, True),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {}, False),
    ],
)
def test_colour_is_for_terminals_that_want_it(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, environ: dict[str, str], coloured: bool
) -> None:
    monkeypatch.setattr("sys.stderr", stream)
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    console.error("broken")
    assert ("\x1b[31merror:\x1b[0m broken\n" if coloured else "error: broken\n") == stream.getvalue()


def test_data_for_a_closed_stdout_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", None)
    with pytest.raises(UsageError, match="stdout is closed"):
        console.out("data")
    with pytest.raises(UsageError, match="stdout is closed"):
        console.out_bytes(b"data")
    console.flush()
    console.drop_output()
    assert not console.stdout_is_terminal()


def test_talk_for_a_closed_or_full_stderr_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream in (None, FullDisk()):
        monkeypatch.setattr("sys.stderr", stream)
        console.error("broken")


def test_a_failure_of_stdout_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", FullDisk())
    for write in (lambda: console.out("x"), lambda: console.out_bytes(b"x"), console.flush):
        with pytest.raises(OSError) as caught:
            write()
        assert "stdout" == caught.value.filename


def test_a_script_is_never_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream in (None, io.StringIO()):
        monkeypatch.setattr("sys.stdin", stream)
        assert not console.can_ask()
