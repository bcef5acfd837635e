"""Lines for cron and systemd on the pages, taken as cron and systemd take them.

A crontab line is cut, unescaped and given to /bin/sh as crontab(5) says; a command line of a unit is split and expanded as
systemd.service(5) and systemd.unit(5) say. No shell of ours takes part in either.
"""

import re
import subprocess
from pathlib import Path

from book.blocks import blocks

SCHEDULE = re.compile(r"(?:[\d*/,-]+ +){5}(?P<command>\S.*)")
CRON_PATH = "/usr/bin:/bin"  # what a job of a user gets on Debian; crontab(5)


def cron_lines(page: Path) -> list[str]:
    """Return the command of each crontab line of a page."""
    return [
        match["command"]
        for block in blocks(page)
        for line in block.text.splitlines()
        if block.kind == "text" and (match := SCHEDULE.fullmatch(line.strip()))
    ]


def as_cron(command: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of a crontab as cron does: the text up to the first `%` that no backslash stands before, by /bin/sh.

    What follows a `%` is the standard input, with each further one as a line break; a backslash before a `%` goes away.
    """
    command, *given = re.split(r"(?<!\\)%", command)
    return subprocess.run(
        ["/bin/sh", "-c", command.replace(r"\%", "%")],
        input="\n".join(given).replace(r"\%", "%"),
        cwd=home,
        env={"HOME": str(home), "LOGNAME": "ada", "SHELL": "/bin/sh", "PATH": CRON_PATH},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False,
    )  # fmt: skip


def exec_start(page: Path, key: str = "ExecStart") -> list[str]:
    """Return the command lines of the units of a page."""
    return [
        line.partition("=")[2]
        for block in blocks(page)
        for line in block.text.splitlines()
        if block.kind == "ini" and line.startswith(f"{key}=")
    ]


def split(line: str, specifiers: dict[str, str], environ: dict[str, str]) -> list[str]:
    """Return the words that systemd makes of a command line: quotes, then specifiers, then `$NAME` and `${NAME}`.

    No shell takes part: `$(…)`, `;`, `|` and `>` are text. An unknown specifier is an error, as it is there.
    """
    words = []
    for quoted in re.findall(r"""'[^']*'|"[^"]*"|[^\s'"]+""", line):
        word = quoted[1:-1] if quoted[0] in "'\"" else quoted
        word = re.sub(r"%(.)", lambda match: specifiers[match[1]], word)
        word = re.sub(r"\$\$|\$\{(\w+)\}", lambda match: environ.get(match[1], "") if match[1] else "$", word)
        if re.fullmatch(r"\$\w+", word):  # alone it is split into words; within a word it stays
            words += environ.get(word[1:], "").split()
        else:
            words.append(word)
    return words


def as_systemd(line: str, home: Path, instance: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command line of a user's unit as systemd does."""
    environ = {"HOME": str(home), "USER": "ada", "LOGNAME": "ada", "SHELL": "/bin/sh", "PATH": CRON_PATH}
    specifiers = {"%": "%", "h": str(home), "u": "ada", "n": "unit.service", "i": instance}
    return subprocess.run(
        split(line, specifiers, environ), cwd=home, env=environ,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, timeout=60, check=False,
    )  # fmt: skip
