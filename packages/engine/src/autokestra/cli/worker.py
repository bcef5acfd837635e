"""`workflow worker`: a process that runs attempts for a cluster, and one above it that starts it anew.

Supervision is a process of its own, so that whatever becomes of the worker (its scheduler died, it ran out of memory, a
task took it along) there is another one a moment later. It holds no key open and loads nothing of Dask.
"""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import click

from autokestra.cli import console
from autokestra.cli.codes import EXIT_UNAVAILABLE
from autokestra.cli.plugin import plugins_option
from autokestra.cli.pool import pool_address, pool_options
from autokestra.cli.run import store_option
from autokestra.cli.states import state_option
from autokestra.cli.stores import say
from autokestra.errors import UsageError

if TYPE_CHECKING:
    from types import FrameType

    from autokestra.worker.address import PoolAddress

AGAIN: Final = 75  # EX_TEMPFAIL of sysexits.h: what the worker process ends with when it is to be started anew
PAUSE_SECONDS: Final = 0.5  # before it is; doubled each time that it could not join
LONGEST_PAUSE_SECONDS: Final = 5.0
_PR_SET_PDEATHSIG: Final = 1  # prctl(2), linux/prctl.h


@click.command("worker")
@pool_options
@click.option("--tags", metavar="A,B", default="", help="What tasks may ask for with `tags:`.")
@click.option("--slots", type=click.IntRange(1, 1024), metavar="N", help="Most tasks at once.  [default: processors]")
@plugins_option
@click.option("--require-isolation", is_flag=True, help="Refuse tasks that cannot be isolated.")
@click.option("-q", "--quiet", is_flag=True, help="Print only what went wrong.")
@store_option
@state_option
def worker(
    pool: str | None,
    tls_ca: str | None,
    tls_cert: str | None,
    tls_key: str | None,
    insecure_cluster: bool,  # noqa: FBT001  # click calls by name
    tags: str,
    slots: int | None,
    plugins: Sequence[str],
    require_isolation: bool,  # noqa: FBT001
    quiet: bool,  # noqa: FBT001
    store: str | None,
    state: str | None,
) -> int:
    """Run tasks for `workflow run --pool`, until it is stopped.

    Opens the secrets store with the key of this machine, so the key never travels. Comes back by itself when the
    scheduler does, or when its process dies. The first SIGTERM or Ctrl-C waits for what runs.
    """
    address = pool_address(
        pool=pool, tls_ca=tls_ca, tls_cert=tls_cert, tls_key=tls_key, insecure_cluster=insecure_cluster
    )
    if address is None:
        raise UsageError("a worker needs a pool", hint="workflow worker --pool tls://HOST:PORT")
    names = _tags(tags)
    supervisor = _Supervisor(address, quiet=quiet)
    if not supervisor.supervise():
        return supervisor.code
    return _work(
        address,
        tags=names,
        slots=slots or os.cpu_count() or 1,
        quiet=quiet,
        plugins=plugins,
        require_isolation=require_isolation,
        store=store,
        state=state,
    )


def _tags(text: str) -> tuple[str, ...]:
    import re  # noqa: PLC0415

    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,128}", name):
            raise UsageError("invalid tag", hint="a tag is 1 to 128 of letters, digits, '_' and '-'")
    return names


def _work(
    address: "PoolAddress",
    *,
    tags: Sequence[str],
    slots: int,
    quiet: bool,
    plugins: Sequence[str],
    require_isolation: bool,
    store: str | None,
    state: str | None,
) -> int:
    """Be the worker process; return its exit code. Raises what is wrong with key, store, state or cluster."""
    from autokestra.actions.isolation import prepare as prepare_isolation  # noqa: PLC0415  # only for those who run
    from autokestra.actions.spawner import SPAWNER  # noqa: PLC0415
    from autokestra.app import App  # noqa: PLC0415
    from autokestra.cluster import cluster_worker  # noqa: PLC0415
    from autokestra.worker.dask_worker import serve  # noqa: PLC0415

    prepare_isolation()
    SPAWNER.prepare()
    papers = address.certificates  # with the key of these, a task could run code on every worker
    app = App(
        store=store,
        state=state,
        notify=say,
        require_isolation=require_isolation,
        plugins=plugins,
        hidden=[str(papers.key)] if papers else [],
    )
    words = f"{slots} slots" if slots > 1 else "1 slot"
    words += f", tags {', '.join(tags)}" if tags else ""

    def joined() -> None:
        if not quiet:
            console.notice(f"joined {address.url}: {words}")

    with cluster_worker(app, address, slots=slots, tags=tags) as serving:
        return serve(address, serving.runner, offers=serving.offers, slots=slots, joined=joined)


class _Supervisor:
    """Starts worker processes one after another; `code` is how the last one ended."""

    def __init__(self, address: "PoolAddress", *, quiet: bool) -> None:
        self.code = 0
        self._address = address
        self._quiet = quiet
        self._child = 0
        self._stopping = False

    def supervise(self) -> bool:
        """Return True in each worker process, and False in the supervisor when there is nothing more to supervise."""
        before = [signal.signal(number, self._hand_on) for number in (signal.SIGTERM, signal.SIGINT)]
        pause, has_worked, told = PAUSE_SECONDS, False, False
        while True:
            started = time.monotonic()
            parent = os.getpid()
            sys.stdout.flush()
            sys.stderr.flush()
            self._child = os.fork()
            if self._child == 0:
                for number, handler in zip((signal.SIGTERM, signal.SIGINT), before, strict=True):
                    signal.signal(number, handler)
                _die_with(parent)
                return True
            code = self._wait()
            lasted = time.monotonic() - started
            has_worked = has_worked or code == AGAIN or code < 0
            again = (
                code == AGAIN
                or code < 0
                or (code == EXIT_UNAVAILABLE and has_worked and lasted > LONGEST_PAUSE_SECONDS)
            )
            if self._stopping or not again:
                self.code = 128 - code if code < 0 else code
                return False
            pause = PAUSE_SECONDS if lasted > 2 * LONGEST_PAUSE_SECONDS else min(2 * pause, LONGEST_PAUSE_SECONDS)
            if code < 0:
                console.warn(f"the worker was killed by signal {-code}: starting it again")
            elif not told and not self._quiet:
                console.notice(f"no scheduler at {self._address.url}: waiting for it")
            told = code == AGAIN
            time.sleep(pause)

    def _wait(self) -> int:
        while True:
            try:
                _, status = os.waitpid(self._child, 0)
            except InterruptedError:  # pragma: no cover  # Python waits again by itself since 3.5
                continue
            return os.waitstatus_to_exitcode(status)

    def _hand_on(self, number: int, _: "FrameType | None") -> None:
        if not self._stopping and not self._quiet:
            console.notice("stopping: running tasks are waited for; once more to leave at once")
        self._stopping = True
        if self._child:
            os.kill(self._child, number)


def _die_with(parent: int) -> None:
    """Have the kernel end this process with its supervisor, so that none is left without one."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it was faster
            os._exit(AGAIN)
