"""Which descriptors a program gets: pipes for what are pipes and files of ours, terminals of its own for terminals."""

import os
from collections.abc import Callable
from contextlib import ExitStack
from typing import NamedTuple

from autokestra.cli.exec.channel import Channel
from autokestra.cli.exec.output import OutputMasker
from autokestra.cli.exec.terminal import Terminal


class Twin(NamedTuple):
    """A terminal of ours, and our side of the one that the program has in its place."""

    terminal: Terminal
    ours: int


class Wiring(NamedTuple):
    """What was made.

    `descriptors` are the program's 0, 1 and 2. `controlling` is the program's side of the terminal that controls it,
    `twin` the same with ours, None without any terminal. `keyboard` is where keys come from. `is_interactive`: all
    three are terminals, so that the keyboard is nobody else's.
    """

    descriptors: tuple[int, int, int]
    controlling: int | None
    twin: Twin | None
    twins: tuple[Twin, ...]
    channels: tuple[Channel, ...]
    keyboard: int | None
    is_interactive: bool


def connect(masker: OutputMasker, *, strict: bool, stack: ExitStack, handed_on: ExitStack) -> Wiring:
    """Make what a program needs in place of our 0, 1 and 2.

    What is one place for us is one for the program, so that stdout and stderr keep their order where they go to one
    terminal or file. A stdin that is no terminal is handed on as it is: nothing secret comes from there. `stack`
    closes all when we are done, `handed_on` what only the program needs when it has been started.
    """
    theirs: dict[tuple[int, ...], int] = {}
    twins: dict[tuple[int, ...], Twin] = {}
    channels: list[Channel] = []
    for number in (1, 2, 0):
        place = _place(number)
        if place in theirs or (number == 0 and not os.isatty(0)):
            continue
        output = masker.output(early=os.isatty(number) and not strict)
        if os.isatty(number):
            terminal = Terminal(number)
            source, theirs[place] = terminal.open_twin()
            twins[place] = Twin(terminal, source)
            sink = number or _opened(os.ttyname(0), os.O_WRONLY, stack.callback)
            channel = Channel(source, sink, output, theirs=theirs[place])
        else:
            source, theirs[place] = os.pipe()
            handed_on.callback(os.close, theirs[place])
            channel = Channel(source, number, output)
        stack.callback(channel.close)
        channels.append(channel)
    descriptors = (theirs.get(_place(0), 0), theirs[_place(1)], theirs[_place(2)])
    if not os.isatty(0):
        descriptors = (0, *descriptors[1:])
    first = next((_place(number) for number in (0, 1, 2) if _place(number) in twins), None)
    if first is None:
        return Wiring(descriptors, None, None, (), tuple(channels), None, is_interactive=False)
    keyboard = 0 if os.isatty(0) else _opened("/dev/tty", os.O_RDONLY, stack.callback)
    interactive = all(map(os.isatty, (0, 1, 2)))
    return Wiring(
        descriptors, theirs[first], twins[first], tuple(twins.values()), tuple(channels), keyboard, interactive
    )


def _place(number: int) -> tuple[int, ...]:
    """Return what a descriptor leads to, equal for those that lead to the same file, pipe or terminal."""
    if os.isatty(number):
        try:
            os.tcgetpgrp(number)
        except OSError:
            return (os.fstat(number).st_rdev,)
        return (-1,)  # the terminal that controls us, under its own name or as /dev/tty
    status = os.fstat(number)
    return (status.st_dev, status.st_ino)


def _opened(path: str, flags: int, at_exit: Callable[..., object]) -> int | None:
    try:
        descriptor = os.open(path, flags | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return None
    at_exit(os.close, descriptor)
    return descriptor
