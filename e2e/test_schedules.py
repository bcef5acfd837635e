"""The lines for cron and systemd that the pages show, taken as cron and systemd take them.

Typed into a shell they would prove nothing: cron ends a command at `%`, systemd knows `%u` and no `$(…)`. So a crontab
line is cut, unescaped and given to /bin/sh as cron(5) and crontab(5) say, and a command line of a unit is split and expanded as
systemd.service(5) and systemd.unit(5) say. Where `systemd-analyze` is, it has to take the units too.
"""

import os
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from book.blocks import blocks
from e2e.conftest import COMMAND

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/howto/*.md"), *ROOT.glob("examples/*/README.md")])
BACK_UP = ROOT / "docs/howto/back-up.md"
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


def as_systemd(line: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run a command line of a user's unit as systemd does."""
    environ = {"HOME": str(home), "USER": "ada", "LOGNAME": "ada", "SHELL": "/bin/sh", "PATH": CRON_PATH}
    specifiers = {"%": "%", "h": str(home), "u": "ada", "n": "unit.service", "i": "nightly"}
    return subprocess.run(
        split(line, specifiers, environ), cwd=home, env=environ,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.fixture
def ada(tmp_path: Path) -> Path:
    """A user's home where pipx has put the command, with a secret stored, and a folder for backups."""
    folder = tmp_path / "ada"
    (folder / ".local/bin").mkdir(parents=True)
    (folder / ".local/bin/workflow").symlink_to(COMMAND)
    (folder / "backups").mkdir()
    subprocess.run(
        [folder / ".local/bin/workflow", "secrets", "set", "API_TOKEN"], input=b"tok-4f9c2e7a81",
        env={"HOME": str(folder), "PATH": CRON_PATH}, capture_output=True, check=True,
    )  # fmt: skip
    return folder


def backups(home: Path) -> list[str]:
    return [path.name for path in (home / "backups").iterdir()]


def days() -> set[str]:
    """Return today's number; around midnight both are right."""
    return {f"secrets-{datetime.now(UTC).astimezone().isoweekday()}.backup"}


def test_the_crontab_line_of_the_backup_makes_a_file_for_the_day(workflow, ada: Path) -> None:
    [command] = cron_lines(BACK_UP)
    before = days()
    done = as_cron(command, ada)
    assert (0, "") == (done.returncode, done.stdout)
    [made] = backups(ada)
    assert made in before | days()
    workflow.ok("secrets", "verify", ada / "backups" / made, env={"AUTOKESTRA_HOME": str(ada / ".autokestra")})


def test_the_unit_of_the_backup_makes_a_file_for_the_day(ada: Path) -> None:
    [line] = exec_start(BACK_UP)
    before = days()
    done = as_systemd(line, ada)
    assert (0, "") == (done.returncode, done.stdout)
    [made] = backups(ada)
    assert made in before | days()


NAIVE = '{home}/.local/bin/workflow secrets backup --force --quiet "{home}/backups/secrets-$(date +%u).backup"'


def test_the_same_line_without_care_makes_none(ada: Path) -> None:
    """What a shell takes, neither cron nor systemd does: this test would notice."""
    assert 0 != as_cron(NAIVE.format(home="$HOME"), ada).returncode
    assert [] == backups(ada)
    assert 0 == as_systemd(NAIVE.format(home="%h"), ada).returncode
    assert ["secrets-$(date +ada).backup"] == backups(ada)


@pytest.mark.parametrize("page", [page for page in PAGES if cron_lines(page)], ids=lambda page: page.stem)
def test_no_crontab_line_has_a_percent_that_cron_would_end_it_at(page: Path) -> None:
    assert [] == [command for command in cron_lines(page) if re.search(r"(?<!\\)%", command)]


UNITS = [page for page in PAGES if exec_start(page)]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not on the PATH")
@pytest.mark.parametrize("page", UNITS, ids=lambda page: page.stem)
def test_systemd_takes_the_units_of_a_page(page: Path, tmp_path: Path) -> None:
    runnable = tmp_path / "program"
    runnable.write_text("#!/bin/sh\n")
    runnable.chmod(0o755)
    services = [block.text for block in blocks(page) if block.kind == "ini" and "[Service]" in block.text]
    for number, text in enumerate(services):
        unit = tmp_path / f"page-{number}@.service"
        # What a line begins with is not installed here; systemd-analyze asks for it.
        unit.write_text(re.sub(r"^ExecStart=(?!/bin/)\S+", f"ExecStart={runnable}", text, flags=re.MULTILINE))
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", f"{unit.parent}/page-{number}@x.service"], text=True, check=False, timeout=60,
            env={**os.environ, "SYSTEMD_LOG_LEVEL": "warning"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        about_us = [line for line in done.stdout.splitlines() if "page-" in line]
        assert [] == about_us, done.stdout
