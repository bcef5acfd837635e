"""What `doctor` says of machines that this one is not: other file systems, clocks, and ways in which bubblewrap fails."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from autokestra.actions import isolation
from autokestra.cli import machine

MOUNT = "36 35 {device} / /data rw,noatime shared:1 - {kind} server:/export rw\n"


def mounts(tmp_path: Path, kind: str) -> str:
    device = tmp_path.stat().st_dev
    file = tmp_path / "mountinfo"
    file.write_text(
        MOUNT.format(device="0:9999", kind="proc")
        + MOUNT.format(device=f"{os.major(device)}:{os.minor(device)}", kind=kind)
    )
    return str(file)


@pytest.mark.parametrize("kind", ["nfs4", "ext4", "fuse.sshfs"])
def test_the_type_of_a_file_system_is_that_of_its_mount(tmp_path: Path, kind: str) -> None:
    assert kind == machine.file_system(tmp_path, mounts(tmp_path, kind))


def test_a_system_that_does_not_tell_its_mounts_is_no_failure(tmp_path: Path) -> None:
    assert machine.file_system(tmp_path, str(tmp_path / "missing")) is None
    (tmp_path / "empty").write_text("")
    assert machine.file_system(tmp_path, str(tmp_path / "empty")) is None


@pytest.mark.parametrize(("kind", "status"), [("nfs4", "warn"), ("fuse.sshfs", "warn"), ("ext4", "ok")])
def test_a_network_is_a_warning(tmp_path: Path, kind: str, status: str) -> None:
    first, *_ = machine.check_place(tmp_path / "not" / "there" / "yet", mounts=mounts(tmp_path, kind))
    assert ("file system", status) == (first.name, first.status)


@pytest.mark.parametrize(
    ("free", "status"), [(machine.FREE_FAIL - 1, "fail"), (machine.FREE_WARN - 1, "warn"), (machine.FREE_WARN, "ok")]
)
def test_a_full_disk_is_said_before_it_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, status: str
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=free)
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: usage)
    *_, disk = machine.check_place(tmp_path)
    assert ("disk", status) == (disk.name, disk.status)


def test_a_clock_before_this_program_was_written_is_wrong() -> None:
    assert ["fail"] == [check.status for check in machine.check_clock(0.0)]
    assert ["ok"] == [check.status for check in machine.check_clock(float(machine.EARLIEST))]


def bubblewrap(folder: Path, script: str) -> str:
    program = folder / "bwrap"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return str(program)


ENCLOSES_NOTHING = 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"'


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has it")
def test_bubblewrap_is_not_believed_but_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "files that are hidden from it\nall processes" == machine.seen_under(bubblewrap(tmp_path, ENCLOSES_NOTHING))
    assert "does not start" in machine.seen_under(bubblewrap(tmp_path, "exit 1"))
    assert "does not start" in machine.seen_under(str(tmp_path / "missing"))
    program = bubblewrap(tmp_path, ENCLOSES_NOTHING)
    monkeypatch.setattr(machine, "find_bubblewrap", lambda: (program, None))
    (check,) = machine.check_isolation()
    assert ("isolation", "fail") == (check.name, check.status)


@pytest.mark.parametrize(
    "reason", [isolation.ROOT, isolation.NOT_INSTALLED, isolation.NOT_LINUX, isolation.NOT_ALLOWED]
)
def test_no_isolation_comes_with_its_reason_and_the_way_to_it(monkeypatch: pytest.MonkeyPatch, reason: str) -> None:
    monkeypatch.setattr(machine, "find_bubblewrap", lambda: (None, reason))
    (check,) = machine.check_isolation()
    assert ("warn", True, True) == (check.status, reason in check.message, bool(check.fix))
    assert "none" in check.message


@pytest.mark.parametrize(
    ("setting", "value", "fix"),
    [
        ("kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
        (
            "kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        ("user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=15000"),
        ("user/max_user_namespaces", "15000", "in a container: docker run --user 1000"),
    ],
)
def test_the_switch_that_forbids_it_is_named(tmp_path: Path, setting: str, value: str, fix: str) -> None:
    path = tmp_path / setting
    path.parent.mkdir()
    path.write_text(value + "\n")
    assert machine.way_to_isolation(isolation.NOT_ALLOWED, settings=tmp_path).startswith(fix)
