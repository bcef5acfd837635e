"""What `doctor` says of machines that this one is not: other file systems, clocks, and ways in which bubblewrap fails."""

import os
import shutil
from pathlib import Path

import pytest

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


@pytest.mark.parametrize(("script", "works"), [("exit 0", True), ("exit 1", False)])
def test_bubblewrap_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, works: bool) -> None:
    program = tmp_path / "bwrap"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (check,) = machine.check_isolation()
    assert str(program) in check.message
    assert works == ("does not work here" not in check.message)
    program.write_text("no program")
    (check,) = machine.check_isolation()
    assert "does not work here" in check.message


def test_no_bubblewrap_comes_with_the_way_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (check,) = machine.check_isolation()
    assert ("warn", "apt install bubblewrap") == (check.status, check.fix)
