"""Builds objects and wires them together; `cluster` does so for what runs on several machines.

Everything else takes what it needs as arguments. Nothing is opened before it is asked for: `execution list` needs
no secrets store, and a workflow without secrets needs no key.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import JsonValue

from autokestra.actions.isolation import Isolation, IsolationPolicy
from autokestra.actions.places import BESIDE_DATABASES, Remembered, remember
from autokestra.actions.plugin import Actions, Catalog, plugin_folders
from autokestra.actions.protocol import ActionContext
from autokestra.engine import Worker, WorkflowEngine
from autokestra.errors import StateUnavailableError
from autokestra.executions.clock import SteadyClock
from autokestra.executions.events import Observer
from autokestra.executions.lease import this_process
from autokestra.executions.logs import LogWriter
from autokestra.executions.records import LogLine
from autokestra.executions.store import ExecutionStore
from autokestra.settings import Settings, load_settings
from autokestra.worker.executor import WorkflowTaskExecutor
from autokestra.worker.heartbeat import RunningAttempts
from autokestra.worker.maskers import ExecutionMaskers
from autokestra.worker.outputs import OutputVault
from autokestra.worker.pools import LocalPool
from autokestra.workflow.model import Workflow
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
)

if TYPE_CHECKING:
    from autokestra.actions.nested import Caller

STATE_VARIABLE: Final = "AUTOKESTRA_STATE"
STATE_FILE: Final = "state.db"
KEY_FILE_VARIABLE: Final = "AUTOKESTRA_SECRET_KEY_FILE"

now: Final = SteadyClock()  # microseconds since 1970 in UTC, as all rows of this process count it


class App:
    """Settings of one command, and the objects made from them.

    `store` and `state` are what `--store` and `--state` said; None leaves them to `settings`. `hidden` are further
    files that no isolated task may see.
    """

    def __init__(
        self,
        *,
        environ: Mapping[str, str] = os.environ,
        store: str | None = None,
        state: str | None = None,
        notify: Callable[[str], None] | None = None,
        settings: Settings | None = None,
        require_isolation: bool = False,
        plugins: Sequence[str] = (),
        hidden: Sequence[str] = (),
    ) -> None:
        self._environ = environ
        self._store = store
        self._state = state
        self._notify = notify
        self._settings = settings
        self._require_isolation = require_isolation or self.settings.require_isolation
        self._remembered: dict[tuple[str, ...], Remembered] = {}
        self._hidden = tuple(os.path.abspath(path) for path in hidden)  # noqa: PTH100  # a text in, a text out
        folders = [*plugin_folders(plugins, environ), *self.settings.plugins]
        self.actions = Actions(folders, isolate=self._isolate_plugin)

    @property
    def settings(self) -> Settings:
        """What variables and the configuration file say. Raises SettingsError."""
        if self._settings is None:
            self._settings = load_settings(self._environ, notify=self._notify)
        return self._settings

    @property
    def state(self) -> Path | str:
        """Where the state database is, or would be: a path, or the URL of a database that several machines share.

        Raises StateUnavailableError for an empty setting, or a URL of another kind.
        """
        named = self._state if self._state is not None else self.settings.state
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
                "no backend for this kind of address of a state database",
                hint="give the path of a file, or postgresql://USER@HOST/DATABASE",
            )
        return Path(path).expanduser().absolute()

    @property
    def state_path(self) -> Path | None:
        """The path of the state database, None where it is no file."""
        return self.state if isinstance(self.state, Path) else None

    def check_isolation(self, workflow: Workflow) -> None:
        """Raise IsolationRefusedError where isolation is required and some task would do without it."""
        if self._require_isolation:
            policy = self.isolation("")
            for task in workflow.all_tasks:
                policy.of(task.isolation or workflow.isolation)

    def _isolate_plugin(self) -> Isolation:
        with self.secrets() as store:
            return self.isolation(store.location).of(None)

    def isolation(self, store: str) -> IsolationPolicy:
        """Return what decides about the level of a task; `store` is the location of the secrets store."""
        hidden = self.hidden_places(store)
        # Once, for sub-workflows and plugins too: they come when tasks may have moved what is remembered here.
        if hidden not in self._remembered:
            self._remembered[hidden] = remember(hidden)
        remembered = self._remembered[hidden]
        return IsolationPolicy(hidden=hidden, remembered=remembered, is_required=self._require_isolation)

    def hidden_places(self, store: str) -> tuple[str, ...]:
        """Return what no task may see: the home, the databases with what SQLite keeps beside them, the key file.

        `store` is the location of the secrets store.
        """
        places = [home_directory(self._environ)]
        for database in (str(self.state), store):
            if "://" not in database:
                places += [database + suffix for suffix in ("", *BESIDE_DATABASES)]
        key_file = self._environ.get(KEY_FILE_VARIABLE)
        return (*places, *self._hidden, *([key_file] if key_file else []))

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
        return SecretStore.open(
            self._store or self.settings.store, keys=keys, environ=self._environ, notify=self._notify
        )

    def output_cipher(self) -> OutputCipher | None:
        """Return what opens sealed outputs, None where there is no store or no key at hand."""
        with self.secrets() as store:
            return cipher_at_hand(store)

    def resolver(self, store: SecretStore, *, fallback: bool = True) -> SecretResolver:
        """Return what looks up declared secrets, in the store first and with `fallback` in the environment after it."""
        return SecretResolver(store, environ=self._environ, fallback=fallback)

    @property
    def environ(self) -> Mapping[str, str]:
        """The environment of the command."""
        return self._environ

    @property
    def notify(self) -> Callable[[str], None]:
        """What says a remark to a person who waits."""
        return self._notify or (lambda _: None)

    @contextmanager
    def engine(self, *, max_parallel: int, observer: Observer) -> Iterator[WorkflowEngine]:
        """Build an engine on the local pool, and take it down in the right order."""
        with ExitStack() as stack:
            secrets = stack.enter_context(self.secrets())
            executions = stack.enter_context(self.executions(create=True))
            shared = self._share(stack, secrets, executions, cipher_at_hand(secrets), max_parallel=max_parallel)
            yield self._wire(shared, stack, observer=observer, maskers=ExecutionMaskers(self.make_masker))[0]

    @contextmanager
    def worker(
        self, secrets: SecretStore, executions: ExecutionStore, cipher: OutputCipher | None, *, max_parallel: int
    ) -> Iterator[WorkflowTaskExecutor]:
        """Build what runs attempts for coordinators of other processes: no secret comes from the environment."""
        with ExitStack() as stack:
            shared = self._share(stack, secrets, executions, cipher, max_parallel=max_parallel, is_local=False)
            maskers = ExecutionMaskers(self.make_masker)
            yield self._wire(shared, stack, observer=lambda _: None, maskers=maskers)[1]

    def make_masker(self) -> SecretMasker:
        """Return a masker that does what the settings say."""
        return SecretMasker(placeholder=self.settings.mask, min_length=self.settings.mask_min_length)

    def _share(
        self,
        stack: ExitStack,
        secrets: SecretStore,
        executions: ExecutionStore,
        cipher: OutputCipher | None,
        *,
        max_parallel: int,
        is_local: bool = True,
    ) -> "_Shared":
        writer = executions.log_writer()
        stack.callback(writer.close)
        return _Shared(
            secrets=secrets,
            executions=executions,
            writer=writer,
            outputs=OutputVault(executions, cipher),
            running=RunningAttempts(executions, owner=this_process(os.getpid()), ticks=executions.leases.now),
            environ=dict(self._environ),  # looked through for every child; `os.environ` decodes each name each time
            max_parallel=max_parallel,
            is_local=is_local,
        )

    def _wire(
        self,
        shared: "_Shared",
        stack: ExitStack,
        *,
        observer: Observer,
        maskers: ExecutionMaskers,
        ancestors: tuple[str, ...] = (),
    ) -> tuple[WorkflowEngine, WorkflowTaskExecutor]:
        """Return an engine and its worker; `ancestors` are the workflows that it runs within."""
        worker = WorkflowTaskExecutor(
            self.resolver(shared.secrets, fallback=shared.is_local),
            actions=self.actions,
            rows=shared.executions,
            outputs=shared.outputs,
            logs=_ObservedLog(shared.writer, observer),
            maskers=maskers,
            running=shared.running,
            environ=shared.environ,
            clock=now,
            isolation=self.isolation(shared.secrets.location),
            nested=partial(self._run_nested, shared, ancestors),
            accounts=not (shared.is_local or ancestors),
            # The engine of a local pool knows them: it lives as long as the execution, or has taken it up again.
            past_values=(lambda _: ()) if shared.is_local else lambda names: past_values(shared.secrets, names),
        )
        pool = LocalPool(worker.execute, max_workers=shared.max_parallel)
        stack.callback(pool.close)
        engine = WorkflowEngine(
            store=shared.executions,
            pool=pool,
            worker=_lasting(worker) if ancestors else worker,
            resolver=self.resolver(shared.secrets, fallback=shared.is_local),
            maskers=maskers,
            outputs=shared.outputs,
            observer=observer,
            clock=now,
            max_parallel=shared.max_parallel,
            reads_secrets=True,
            past_values=lambda names: past_values(shared.secrets, names),
            environ=shared.environ,
            notify=self.notify,
        )
        return engine, worker

    def _run_nested(
        self,
        shared: "_Shared",
        ancestors: tuple[str, ...],
        path: Path,
        inputs: Mapping[str, JsonValue],
        context: ActionContext,
        caller: "Caller",
    ) -> JsonValue:
        """Run a workflow file as an execution of its own, for a task that waits for it."""
        from autokestra.engine.nested import run_nested  # noqa: PLC0415  # few tasks run workflows
        from autokestra.workflow.loader import load_workflow  # noqa: PLC0415

        lineage = (*ancestors, caller.workflow_id)
        with ExitStack() as stack:

            def build(observer: Observer) -> tuple[WorkflowEngine, Worker]:
                maskers = ExecutionMaskers(borrowed=caller.masker)
                return self._wire(shared, stack, observer=observer, maskers=maskers, ancestors=lineage)

            return run_nested(
                path,
                inputs,
                context,
                caller,
                ancestors=lineage,
                load=lambda file: load_workflow(file, catalog=Catalog(self.actions)),
                build=build,
                store=shared.executions,
                outputs=shared.outputs,
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shared:
    """What an execution and the workflows that its tasks run have in common."""

    secrets: SecretStore
    executions: ExecutionStore
    writer: LogWriter
    outputs: OutputVault
    running: RunningAttempts
    environ: Mapping[str, str]
    max_parallel: int
    is_local: bool  # whether coordinator and workers are this process


def _lasting(worker: Worker) -> Worker:
    from autokestra.engine.nested import LastingWorker  # noqa: PLC0415  # few tasks run workflows

    return LastingWorker(worker)


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


def past_values(store: SecretStore, names: Sequence[str]) -> Iterator[tuple[SecretValue, str]]:
    """Yield every kept version of those secrets that the store has."""
    for name in store.names().intersection(names):
        for version in store.history(name):
            yield store.get(name, version=version.version), name


def cipher_at_hand(store: SecretStore) -> OutputCipher | None:
    """Return what seals and opens outputs, None where there is no key. Raises WrongKeyError, as the store does."""
    try:
        return store.output_cipher()
    except KeyMissingError:
        return None
