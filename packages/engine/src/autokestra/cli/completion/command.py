"""`workflow completion`: the script for a shell, and the answers that it asks for.

The scripts are our own and not click's: those put the line into the arguments of a process, where other users can read
it, and run whatever the line names, `./workflow` too. An answer is lines of kind, word and help with tabs between them;
the kinds `file` and `dir` leave it to the shell.
"""

import re
import sys
from collections.abc import Iterator
from typing import Final

import click

from autokestra.cli import console

SHELLS: Final = ("bash", "zsh", "fish")
LINE_BYTES: Final = 1 << 16  # what is longer is no line that somebody types

# A shell puts a word into the line as it stands, and the next Enter runs it. Names come out of files that somebody else
# may have edited, so nothing that means something to a shell is passed on.
_PLAIN: Final = re.compile(r"[A-Za-z0-9_./,@%+:=-]+")


@click.command("completion")
@click.argument("shell", metavar="SHELL", type=click.Choice(SHELLS))
@click.option("--answer", is_flag=True, help="What the scripts ask: completes the line on stdin.")
def completion(shell: str, answer: bool) -> None:  # noqa: FBT001  # click calls by name
    """Print the script that completes commands for bash, zsh or fish.

    To try it: source <(workflow completion bash). It completes commands, options, files, names of secrets and ids of
    executions; it opens no value and makes no file.
    """
    if answer:
        for line in answers(shell, sys.stdin.buffer.read(LINE_BYTES).decode(errors="replace")):
            console.out(line)
        return
    from importlib.resources import files  # noqa: PLC0415  # only here

    console.out((files(__package__) / f"script.{shell}").read_text(encoding="utf-8").removesuffix("\n"))


def answers(shell: str, line: str) -> Iterator[str]:
    """Yield what may stand at the end of `line`, the beginning of a command; nothing where it makes no sense."""
    from click.shell_completion import ShellComplete, split_arg_string  # noqa: PLC0415  # only here

    from autokestra.cli.main import root  # noqa: PLC0415  # it imports this module when the command runs

    line = line.removesuffix("\n")
    words = split_arg_string(line)
    unfinished = words.pop() if words and not line[-1:].isspace() else ""
    name, equals, _ = unfinished.partition("=")
    # bash cuts words at `=` itself and wants the rest; the others want the whole word again.
    before = name + equals if shell != "bash" and equals and name.startswith("--") else ""
    try:
        items = ShellComplete(root, {}, "workflow", "").get_completions(words[1:], unfinished)
    except Exception:  # noqa: BLE001  # a line that is half typed may be wrong in any way, and this is no place to say so
        return
    for item in items:
        if item.type in {"file", "dir"}:
            yield item.type
        elif _PLAIN.fullmatch(item.value):
            yield f"word\t{before}{item.value}\t{' '.join((item.help or '').split())}".rstrip("\t")
