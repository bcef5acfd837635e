"""The state database for a user who may not write it: it is read as far as it can be, and nothing is left behind."""

import os
import subprocess
import sys

import pytest

from autokestra.executions.records import Execution, ExecutionState
from autokestra.executions.store import ExecutionStore
from servers.nobody import WITHOUT_POWERS

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" and os.geteuid() == 0, reason="root ignores modes, and only Linux lets it give that up"
)

READ = """
import sys
from autokestra.executions.store import ExecutionStore
from autokestra.errors import AutokestraError
try:
    with ExecutionStore.open(sys.argv[1], create=len(sys.argv) > 2) as store:
        print(*(row.id for row in store.executions()))
        store.request_cancel("e", 1)
except AutokestraError as error:
    print(type(error).__name__, error.message, error.hint, sep="|")
"""


def said(path, *more):
    """Read the database without the powers of root, try to write to it, and return what was printed."""
    powerless = [sys.executable, "-c", WITHOUT_POWERS] if os.geteuid() == 0 else []
    line = [*powerless, sys.executable, "-c", READ, str(path), *more]
    done = subprocess.run(line, capture_output=True, text=True, check=False, env={})
    assert "" == done.stderr
    return done.stdout.splitlines()


ROW = Execution(
    id="e",
    workflow_id="w",
    workflow="{}",
    workflow_path="/w.yaml",
    workflow_sha256="0" * 64,
    inputs={},
    state=ExecutionState.PENDING,
    reason=None,
    message=None,
    created_at=1,
    started_at=None,
    finished_at=None,
    lease=None,
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.db"


@pytest.mark.parametrize(("of", "mode"), [("state.db", 0o444), (".", 0o555)])
def test_who_may_only_read_it_reads_it_and_leaves_nothing_behind(tmp_path, path, of, mode):
    with ExecutionStore.open(path) as store:
        store.create(ROW, ["a"])
    (tmp_path / of).chmod(mode)
    try:
        read, refused = said(path)
    finally:
        (tmp_path / of).chmod(0o700)
    assert ROW.id == read
    assert refused.startswith(f"StatePermissionError|the state database {path} cannot be written by this user|")
    assert ["state.db"] == os.listdir(tmp_path)


def test_who_may_only_read_it_reads_what_a_writer_has_in_its_wal(tmp_path, path):
    with ExecutionStore.open(path) as store:
        store.create(ROW, ["a"])
        for each in tmp_path.iterdir():
            each.chmod(0o444)
        assert ROW.id == said(path)[0]


def test_an_older_format_that_cannot_be_migrated_is_refused(path):
    with ExecutionStore.open(path) as store:
        store._rows.connection.execute("PRAGMA user_version = 1")
    path.chmod(0o444)
    assert ["StatePermissionError"] == [line.split("|")[0] for line in said(path)]


def test_a_file_beside_it_that_cannot_be_written_is_named(tmp_path, path):
    with ExecutionStore.open(path) as store:
        store.create(ROW, ["a"])
        (tmp_path / "state.db-shm").chmod(0o444)
        for more in ((), ("create",)):
            assert [
                f"StatePermissionError|the state database {path} cannot be written by this user, because of state.db-shm"
                f"|allow it with: chmod u+rw {path}-shm"
            ] == said(path, *more)
