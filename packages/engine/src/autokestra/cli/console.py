"""What the command line says and asks: data on stdout, talk on stderr, questions on the terminal.

Colour is an ornament of three words on terminals and never carries meaning. Text from outside that is shown goes
through `visible`, so that no name or message can move the cursor. Values of secrets are not shown here; `out_bytes`
writes them as they are.
"""

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Final, TextIO

from autokestra.errors import UsageError

# Longest line that the kernel's line editor hands over; what is typed beyond it is lost without a word.
# Linux: N_TTY_BUF_SIZE - 1 (drivers/tty/n_tty.c); macOS: MAX_CANON - 1 (sys/syslimits.h). Bytes.
LINE_BYTES: Final = 1023 if sys.platform == "darwin" else 4095

STDOUT: Final = "stdout"  # what an OSError names in the place of a file

_RED: Final = "31"
_YELLOW: Final = "33"
_CYAN: Final = "36"

# Controls (C0, DEL, C1), line separators and what reorders text. Zero-width joiners stay: scripts need them.
_UNSEEN: Final = frozenset(
    [*range(0x20), *range(0x7F, 0xA0), 0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A), 0xFEFF]
)


def visible(text: str) -> str:
    r"""Return `text` with controls, line breaks and bidirectional marks written as escapes (`\x1b`, `\u202e`)."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(char) for char in text)


def _escape(char: str) -> str:
    code = ord(char)
    if code in _UNSEEN or 0xD800 <= code <= 0xDFFF:
        return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"
    return char


# --- data ---------------------------------------------------------------------------------------------------------


def out(text: str) -> None:
    """Write `text` and a line break to stdout. Raises UsageError when stdout is closed, OSError naming stdout."""
    stream = _stdout()
    try:
        stream.write(text + "\n")
    except OSError as error:
        raise _naming_stdout(error) from None


def out_bytes(data: bytes) -> None:
    """Write exactly `data` to stdout, at once. Raises as `out` does."""
    stream = _stdout()
    try:
        stream.flush()
        stream.buffer.write(data)
        stream.buffer.flush()
    except OSError as error:
        raise _naming_stdout(error) from None


def out_json(value: object) -> None:
    """Write `value` to stdout as indented JSON, in ASCII, which every terminal and locale can carry."""
    import json  # noqa: PLC0415  # not needed by `secrets get`

    out(json.dumps(value, indent=2))


def flush() -> None:
    """Hand what was written to the system, so that a full disk or a closed pipe is found while it can be told."""
    if sys.stdout is None or sys.stdout.closed:
        return
    try:
        sys.stdout.flush()
    except OSError as error:
        raise _naming_stdout(error) from None


def drop_output() -> None:
    """Send what is still unwritten nowhere: nobody reads stdout any more, and the interpreter must not try again."""
    if sys.stdout is not None:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def end_talk() -> None:
    """Forget talk that could not be written: the interpreter would try again, and end with a code of its own (120)."""
    if sys.stderr is not None and not sys.stderr.closed:
        try:
            sys.stderr.flush()
        except OSError:
            sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115  # lives as long as we do


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return aligned columns with two spaces between, the header first; cells are made `visible`."""
    columns = [_column(cells) for cells in zip(headers, *rows, strict=True)]
    return "\n".join(map(str.rstrip, map("  ".join, zip(*columns, strict=True))))


def _column(cells: Sequence[str]) -> list[str]:
    """Return the cells as they are shown, all of one width."""
    text = "".join(cells)
    if text.isascii() and text.isprintable():  # asked once for all: a list may have 10,000 rows
        width = max(map(len, cells))
        return [cell.ljust(width) for cell in cells]
    shown = [visible(cell) for cell in cells]
    widths = [_width(cell) for cell in shown]
    width = max(widths)
    return [cell + " " * (width - taken) for cell, taken in zip(shown, widths, strict=True)]


def stdout_is_terminal() -> bool:
    """Whether somebody looks at stdout."""
    return _is_terminal(sys.stdout)


def stdout_can_be_redrawn() -> bool:
    """Whether lines on stdout can be taken back: it is a terminal that moves its cursor."""
    return _is_terminal(sys.stdout) and os.environ.get("TERM", "dumb") not in ("dumb", "")


def stdout_has_colour() -> bool:
    """Whether colours may be written to stdout."""
    return _has_colour(sys.stdout)


def _stdout() -> TextIO:
    stream: TextIO | None = sys.stdout
    if stream is None:
        raise UsageError("stdout is closed, and there is something to write to it")
    return stream


def _naming_stdout(error: OSError) -> OSError:
    # OSError() picks the subclass by number, so that a broken pipe stays a BrokenPipeError.
    return OSError(error.errno, error.strerror, STDOUT)


def clipped(text: str, cells: int) -> str:
    """Return as much of `text` as fits into `cells` columns of a terminal, with `…` where something is cut."""
    if cells <= 0:
        return ""
    if _width(text) <= cells:
        return text
    used, end = 0, 0
    for end, char in enumerate(text):  # noqa: B007  # where it ends is what is looked for
        used += _width(char)
        if used > cells - 1:
            break
    return f"{text[:end]}…"


def columns_of(text: str) -> int:
    """Return how many columns of a terminal `text` fills."""
    return _width(text)


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    import unicodedata  # noqa: PLC0415  # only for text beyond ASCII

    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


_cover: Callable[[], None] | None = None


def cover_with(cover: Callable[[], None] | None) -> None:
    """Have `cover` called before each line of talk: whoever redraws lines takes them back first. None ends that."""
    global _cover  # noqa: PLW0603  # there is one terminal
    _cover = cover


# --- talk ---------------------------------------------------------------------------------------------------------


def error(message: str, *, hint: str | None = None) -> None:
    """Say on stderr what went wrong, in one line, and in a second one what to do about it."""
    _say("error", message, _RED)
    if hint:
        _say("hint", hint, _CYAN)


def warn(message: str, *, hint: str | None = None) -> None:
    """Say on stderr what is dangerous but goes on."""
    _say("warning", message, _YELLOW)
    if hint:
        _say("hint", hint, _CYAN)


def notice(message: str) -> None:
    """Say on stderr what was done."""
    _write_stderr(visible(message) + "\n")


def show_help(text: str) -> None:
    """Show a help text of ours on stderr, in place of an error."""
    _write_stderr(text + "\n")


def _say(kind: str, message: str, colour: str) -> None:
    label = f"{kind}:"
    if _has_colour(sys.stderr):
        label = f"\x1b[{colour}m{label}\x1b[0m"
    _write_stderr(f"{label} {visible(message)}\n")


def _write_stderr(text: str) -> None:
    """Write to stderr if anybody can hear it; talk that nobody hears is no reason to fail."""
    if sys.stderr is not None:
        if _cover is not None:
            _cover()
        try:
            if sys.stdout is not None and not sys.stdout.closed:
                sys.stdout.flush()  # where both go to one place, data and talk keep their order
        except OSError:
            pass  # whoever writes to stdout next, or the end of the command, tells of it
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except OSError:
            pass


def _has_colour(stream: TextIO | None) -> bool:
    if not _is_terminal(stream):
        return False
    mode = _colour_mode()
    # no-color.org: any value but the empty one counts, and a setting of this program's own counts more.
    return mode == "always" or (mode == "auto" and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb")


@cache
def _colour_mode() -> str:
    from autokestra.settings import load_settings  # noqa: PLC0415  # only on terminals

    try:
        return load_settings().colour
    except Exception:  # noqa: BLE001  # what is wrong with the settings is said by who needs them
        return "auto"


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and not stream.closed and stream.isatty()


# --- questions ----------------------------------------------------------------------------------------------------


def can_ask() -> bool:
    """Whether there is a person at a terminal: stdin is one. A script that pipes something in is never asked."""
    return _is_terminal(sys.stdin)


def ask_hidden(*questions: str) -> tuple[bytes, ...]:
    """Ask each question on the controlling terminal and return the lines typed, without showing them.

    Nothing is shown between the questions either, and what was typed ahead counts. Raises UsageError when there is
    no terminal, when the input ends, or when a line is longer than the terminal can hand over.
    """
    import termios  # noqa: PLC0415  # POSIX only, and only when somebody is asked

    terminal = _open_terminal()
    try:
        before = termios.tcgetattr(terminal)
        hidden = [*before]
        hidden[3] &= ~(termios.ECHO | termios.ECHONL)
        # FLUSH: what was typed before the first question was typed with echo, so it is no answer; and when we are
        # done, the rest of a pasted text must not reach the shell, which would show it or run it.
        termios.tcsetattr(terminal, termios.TCSAFLUSH, hidden)
        try:
            return tuple(_answer(terminal, question, hidden=True) for question in questions)
        finally:
            termios.tcsetattr(terminal, termios.TCSAFLUSH, before)
    finally:
        os.close(terminal)


def confirm(question: str) -> bool:
    """Ask on the controlling terminal; only `y` or `yes` is yes, and the end of input is no."""
    terminal = _open_terminal()
    try:
        return _answer(terminal, f"{question} [y/N] ").strip().lower() in {b"y", b"yes"}
    except EndOfInputError:
        return False
    finally:
        os.close(terminal)


class EndOfInputError(UsageError):
    """The input ended where an answer was expected (Ctrl-D)."""


def _open_terminal() -> int:
    try:
        return os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        if can_ask():  # a terminal, though not the controlling one
            return os.dup(sys.stdin.fileno())
    raise UsageError("there is no terminal to ask")


def _answer(terminal: int, question: str, *, hidden: bool = False) -> bytes:
    _show_on_terminal(terminal, visible(question))
    ended = False
    try:
        line = os.read(terminal, LINE_BYTES + 1)
        ended = line.endswith(b"\n")
    finally:
        # The user's Enter was hidden with the rest, and Ctrl-C or Ctrl-D leave the cursor behind the question.
        if hidden or not ended:
            _show_on_terminal(terminal, "\n")
    if not line:
        raise EndOfInputError("the input ended before an answer")
    if len(line) >= LINE_BYTES:
        raise UsageError(
            f"a terminal cannot hand over lines of {LINE_BYTES:,} bytes or more", hint="use --from-file or a pipe"
        )
    return line.removesuffix(b"\n")


def _show_on_terminal(terminal: int, text: str) -> None:
    if _is_terminal(sys.stderr):
        _write_stderr(text)
    else:  # stderr goes to a file: the question must be seen all the same
        os.write(terminal, text.encode())
