"""The only place that builds objects and wires them together.

Everything else takes what it needs as arguments. Nothing is opened before it is asked for: `execution list` needs
no secrets store, and a workflow without secrets needs no key.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from autokestra.actions.registry import core_actions
from autokestra.engine import WorkflowEngine
from autokestra.errors import StateUnavailableError
from autokestra.executions.clock import SteadyClock
from autokestra.executions.events import Observer
from autokestra.executions.lease import this_process
from autokestra.executions.logs import LogWriter
from autokestra.executions.records import LogLine
from autokestra.executions.store import ExecutionStore
from autokestra.worker.executor import ExecutionMaskers, WorkflowTaskExecutor
from autokestra.worker.heartbeat import RunningAttempts
from autokestra.worker.outputs import OutputVault
from autokestra.worker.pools import LocalPool
from autokestra_secrets import (
    KeyMissingError,
    MasterKeyProvider,
    OutputCipher,
    SecretMasker,
    SecretResolver,
    SecretStore,
    SecretValue,
    home_directory,
    is_postgres_url,
    make_home,
    placeholder_from,
)

STATE_VARIABLE: Final = "AUTOKESTRA_STATE"
STATE_FILE: Final = "state.db"

now: Final = SteadyClock()  # microseconds since 1970 in UTC, as all rows of this process count it


class App:
    """Settings of one command, and the objects made from them.

    `store` and `state` are what `--store` and `--state` said; None means the variable, else the file in the home.
    """

    def __init__(
        self,
        *,
        environ: Mapping[str, str] = os.environ,
        store: str | None = None,
        state: str | None = None,
        notify: Callable[[str], None] | None = None,
    ) -> None:
        self._environ = environ
        self._store = store
        self._state = state
        self._notify = notify

    @property
    def state(self) -> Path | str:
        """Where the state database is, or would be: a path, or the URL of a database that several machines share.

        Raises StateUnavailableError for an empty setting, or a URL of another kind.
        """
        named = self._state if self._state is not None else self._environ.get(STATE_VARIABLE)
        if named is None:
            return Path(home_directory(self._environ)) / STATE_FILE
        if not named.strip():
            setting = STATE_VARIABLE if self._state is None else "--state"
            raise StateUnavailableError(f"{setting} is empty", hint=f"leave {setting} out, or give it a path")
        if is_postgres_url(named):
            return named
        path = named.removeprefix("sqlite:///")
        if "://" in path:
            raise StateUnavailableError(
                f"no backend for a state database at {path.partition('://')[0]}://",
                hint="give the path of a file, or postgresql://USER@HOST/DATABASE",
            )
        return Path(path).expanduser().absolute()

    @property
    def state_path(self) -> Path | None:
        """The path of the state database, None where it is no file."""
        return self.state if isinstance(self.state, Path) else None

    def executions(self, *, create: bool) -> ExecutionStore:
        """Open the state database; with `create=False` a missing one raises StateUnavailableError."""
        place = self.state
        home = home_directory(self._environ)
        if create and isinstance(place, Path) and place.parent == Path(home):
            make_home(home)
        return ExecutionStore.open(place, create=create)

    def secrets(self) -> SecretStore:
        """Open the secrets store; one that does not exist reads as empty where it is the default one."""
        keys = MasterKeyProvider(self._environ, notify=self._notify)
        return SecretStore.open(self._store, keys=keys, environ=self._environ, notify=self._notify)

    def output_cipher(self) -> OutputCipher | None:
        """Return what opens sealed outputs, None where there is no store or no key at hand."""
        with self.secrets() as store:
            return _cipher(store)

    def resolver(self, store: SecretStore) -> SecretResolver:
        """Return what looks up declared secrets, in the store first and in the environment after it."""
        return SecretResolver(store, environ=self._environ)

    @contextmanager
    def engine(self, *, max_parallel: int, observer: Observer) -> Iterator[WorkflowEngine]:
        """Build an engine on the local pool, and take it down in the right order."""
        with ExitStack() as stack:
            secrets = stack.enter_context(self.secrets())
            executions = stack.enter_context(self.executions(create=True))
            writer = executions.log_writer()
            stack.callback(writer.close)
            outputs = OutputVault(executions, _cipher(secrets))
            environ = dict(self._environ)  # looked through for every child; `os.environ` decodes each name each time
            maskers = ExecutionMaskers(partial(SecretMasker, placeholder=placeholder_from(environ)))
            worker = WorkflowTaskExecutor(
                self.resolver(secrets),
                actions=core_actions(),
                rows=executions,
                outputs=outputs,
                logs=_ObservedLog(writer, observer),
                maskers=maskers,
                running=RunningAttempts(executions, owner=this_process(os.getpid()), ticks=executions.leases.now),
                environ=environ,
                clock=now,
            )
            pool = LocalPool(worker.execute, max_workers=max_parallel)
            stack.callback(pool.close)
            yield WorkflowEngine(
                store=executions,
                pool=pool,
                worker=worker,
                resolver=self.resolver(secrets),
                maskers=maskers,
                outputs=outputs,
                observer=observer,
                clock=now,
                max_parallel=max_parallel,
                reads_secrets=True,
                past_values=lambda names: _past_values(secrets, names),
                environ=environ,
                notify=self._notify or (lambda _: None),
            )


class _ObservedLog:
    """Lines go to the table, and to who looks on while they are written."""

    def __init__(self, writer: LogWriter, observer: Observer) -> None:
        self._writer = writer
        self._observer = observer

    def add(self, lines: Sequence[LogLine]) -> None:
        self._writer.add(lines)
        for line in lines:
            self._observer(line)

    def drain(self) -> None:
        self._writer.drain()


def _past_values(store: SecretStore, names: Sequence[str]) -> Iterator[tuple[SecretValue, str]]:
    """Yield every kept version of those secrets that the store has."""
    for name in store.names().intersection(names):
        for version in store.history(name):
            yield store.get(name, version=version.version), name


def _cipher(store: SecretStore) -> OutputCipher | None:
    """Return what seals outputs. A wrong key is an error; no key means that there is nothing to seal with."""
    try:
        return store.output_cipher()
    except KeyMissingError:
        return None
