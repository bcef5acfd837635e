"""The lines for cron and systemd that the pages show do what the pages say, as cron and systemd take them.

Typed into a shell they would prove nothing: cron ends a command at `%`, systemd knows `%u` and no `$(…)`; see
`e2e.schedules`. Where `systemd-analyze` is, it has to take the units too.
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
from e2e.schedules import CRON_PATH, as_cron, as_systemd, cron_lines, exec_start

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/howto/*.md"), *ROOT.glob("examples/*/README.md")])
BACK_UP = ROOT / "docs/howto/back-up.md"


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
