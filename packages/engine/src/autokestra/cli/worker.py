"""`workflow worker`: a process that runs attempts for a cluster, and one above it that starts it anew.

Supervision is a process of its own, so that whatever becomes of the worker (its scheduler died, it ran out of memory, a
task took it along) there is another one a moment later. It holds no key open and loads nothing of Dask. Only the first
process ends for good where a database cannot be reached: then it may be the address that is wrong.
"""

import ctypes
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import click

from autokestra.cli import console
from autokestra.cli.codes import EXIT_UNAVAILABLE
from autokestra.cli.plugin import plugins_option
from autokestra.cli.pool import pool_address, pool_options
from autokestra.cli.run import store_option
from autokestra.cli.states import state_option
from autokestra.cli.stores import say
from autokestra.errors import StateUnavailableError, UsageError

if TYPE_CHECKING:
    from types import FrameType

    from autokestra.worker.address import PoolAddress

AGAIN: Final = 75  # EX_TEMPFAIL of sysexits.h: what the worker process ends with when it could not write its rows
SCHEDULER_LEFT: Final = 76  # these three are said to the supervisor only
NO_SCHEDULER: Final = 77
NO_DATABASE: Final = 78
PAUSE_SECONDS: Final = 0.5  # before it is started anew; doubled each time that it could not join
LONGEST_PAUSE_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 0.1  # how soon a signal ends such a pause
_ANEW: Final = (AGAIN, SCHEDULER_LEFT, NO_SCHEDULER, NO_DATABASE)
_STOPS: Final = (signal.SIGTERM, signal.SIGINT)
# The one that the worker process hears. A terminal and systemd send theirs to both processes, and the supervisor hands
# it on: as the same signal it would be the second one, after which nothing is waited for.
_STOP: Final = signal.SIGUSR1
# What the command ends with when it was asked to stop: nothing is lost where nothing ran.
_ENDS: Final = {AGAIN: EXIT_UNAVAILABLE} | dict.fromkeys(
    # An interpreter that has done its work hears every signal once more, just before it is gone.
    (SCHEDULER_LEFT, NO_SCHEDULER, NO_DATABASE, -_STOP, *(-number for number in _STOPS)),
    0,
)
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
    scheduler or the database does, or when its process dies. The first SIGTERM or Ctrl-C waits for what runs.
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
        supervisor,
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
    supervisor: "_Supervisor",
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
    from autokestra_secrets import StoreUnavailableError  # noqa: PLC0415

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
    code: int | None = None
    is_open = has_joined = False

    def joined() -> None:
        nonlocal has_joined
        has_joined = True
        if not quiet:
            console.notice(f"joined {address.url}: {words}")

    try:
        with cluster_worker(app, address, slots=slots, tags=tags) as serving:
            is_open = True
            code = serve(
                address,
                serving.runner,
                supervisor.directory,
                stop=_STOP,
                offers=serving.offers,
                slots=slots,
                joined=joined,
            )
    except (StateUnavailableError, StoreUnavailableError) as error:
        was_open = is_open or supervisor.starts > 1
        if code == 0 or not was_open:  # asked to stop, or maybe the address is wrong
            raise
        if supervisor.last != NO_DATABASE:
            console.warn(f"{error.message}: waiting for it", hint=error.hint)
        return NO_DATABASE
    if code == AGAIN:
        return SCHEDULER_LEFT if has_joined else NO_SCHEDULER
    return code


class _Supervisor:
    """Starts worker processes one after another; `code` is what the command ends with.

    `starts` counts them, and the one before had ended with `last`. Each has a `directory`, which is removed here: a
    process that is killed removes nothing.
    """

    def __init__(self, address: "PoolAddress", *, quiet: bool) -> None:
        self.code = 0
        self.starts = 0
        self.last = 0
        self.directory = ""
        self._address = address
        self._quiet = quiet
        self._child = 0
        self._stopping = 0  # or the signal that asked for it
        self._insisted = False
        self._has_worked = False

    def supervise(self) -> bool:
        """Return True in each worker process, and False in the supervisor when there is nothing more to supervise."""
        for number in _STOPS:
            signal.signal(number, self._hand_on)
        pause = PAUSE_SECONDS
        while not self._stopping:
            started = time.monotonic()
            if self._start():
                return True
            code = self._wait()
            lasted = time.monotonic() - started
            if not self._goes_on(code, lasted):
                break
            pause = PAUSE_SECONDS if lasted > 2 * LONGEST_PAUSE_SECONDS else min(2 * pause, LONGEST_PAUSE_SECONDS)
            self._rest(pause)
        return False

    def _start(self) -> bool:
        """Start a process; return True in it."""
        parent = os.getpid()
        self.directory = tempfile.mkdtemp(prefix="autokestra-worker-")  # anew: a name that is free again is anybody's
        self.starts += 1
        sys.stdout.flush()
        sys.stderr.flush()
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)  # one that came before the child is noted would not reach it
        try:
            self._child = os.fork()
            if self._child == 0:
                for number in _STOPS:
                    signal.signal(number, _hear_nothing)  # not SIG_IGN, which tasks would inherit
                _die_with(parent)
                return True
        except OSError:
            shutil.rmtree(self.directory, ignore_errors=True)
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)
        if self._stopping:  # since before the child was there
            os.kill(self._child, _STOP)
        return False

    def _wait(self) -> int:
        _, status = os.waitpid(self._child, 0)
        self._child = 0
        shutil.rmtree(self.directory, ignore_errors=True)
        return os.waitstatus_to_exitcode(status)

    def _goes_on(self, code: int, lasted: float) -> bool:
        """Whether another process follows one that ended like this; say why, or note what the command ends with."""
        last, self.last = self.last, code
        if self._stopping:
            at_once = code == 128 + _STOP or (code == -_STOP and self._insisted)
            self.code = 128 + self._stopping if at_once else _ENDS.get(code, 128 - code if code < 0 else code)
            return False
        is_late = code == EXIT_UNAVAILABLE and self._has_worked and lasted > LONGEST_PAUSE_SECONDS
        if not (code < 0 or code in _ANEW or is_late):
            self.code = code
            return False
        self._has_worked = True
        if code < 0:
            console.warn(f"the worker was killed by signal {-code}: starting it again")
        elif code == NO_SCHEDULER and last != NO_SCHEDULER and not self._quiet:
            doubt = " (or it refuses our certificate)" if self._address.certificates else ""
            console.notice(f"no scheduler at {self._address.url}{doubt}: waiting for it")
        return True

    def _rest(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self._stopping and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, LOOK_SECONDS))

    def _hand_on(self, number: int, _: "FrameType | None") -> None:
        if not self._stopping and not self._quiet:
            waited = ": running tasks are waited for; once more to leave at once" if self._child else ""
            console.notice(f"stopping{waited}")
        self._insisted = bool(self._stopping)
        self._stopping = number
        if self._child:
            with suppress(ProcessLookupError):  # it has just ended, and nobody has noted it yet
                os.kill(self._child, _STOP)


def _hear_nothing(_: int, __: "FrameType | None") -> None:
    """Leave a signal to the supervisor."""


def _die_with(parent: int) -> None:
    """Have the kernel end this process with its supervisor, so that none is left without one."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it was faster
            os._exit(AGAIN)
