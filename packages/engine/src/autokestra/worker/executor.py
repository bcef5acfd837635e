"""The whole way of one attempt on a worker: claim, resolve, run, mask, keep.

Secrets are resolved here and nowhere before, just in time; the action gets plain inputs without template syntax.
Whatever leaves (lines, messages, the output as it is shown) passes through a masker that knows every secret which
the workflow declares, used by this task or not.
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from pydantic import JsonValue

from autokestra.actions.child import child_environment
from autokestra.actions.isolation import IsolationPolicy
from autokestra.actions.protocol import Action, ActionContext, ActionError, Cancellation
from autokestra.errors import AutokestraError
from autokestra.executions.records import Account, AttemptState, Lease, LogLine, StoredOutput
from autokestra.worker.context import template_context
from autokestra.worker.envelope import Envelope
from autokestra.worker.heartbeat import RunningAttempts
from autokestra.worker.maskers import ExecutionMaskers
from autokestra.worker.minted import Declared, Learn, Minted, Noting
from autokestra.worker.outputs import OutputError, OutputVault, to_json
from autokestra.worker.tasklog import MAX_LOG_BYTES, IdleWatch, TaskLog
from autokestra_secrets import SecretMasker, SecretResolver, SecretScope, SecretsError, SecretValue, resolve_templates

if TYPE_CHECKING:
    from autokestra.actions.nested import Caller

ELSEWHERE: Final = "ELSEWHERE"  # the answer when the attempt is not, or no longer, this worker's


class AttemptRows(Protocol):
    """The rows that a worker writes itself."""

    def claim(self, execution: str, task: str, number: int, *, lease: Lease, now: int) -> bool:
        """Claim the attempt by compare-and-set."""
        ...

    def end_attempt(
        self,
        execution: str,
        task: str,
        number: int,
        *,
        owner: str,
        state: AttemptState,
        now: int,
        reason: str | None = None,
        message: str | None = None,
        exit_code: int | None = None,
        output: StoredOutput | None = None,
        shown: StoredOutput | None = None,
        account: Account | None = None,
    ) -> bool:
        """Write how it ended."""
        ...


RunNested = Callable[[Path, Mapping[str, JsonValue], ActionContext, "Caller"], JsonValue]


class LogSink(Protocol):
    """Where masked lines go."""

    def add(self, lines: Sequence[LogLine]) -> None:
        """Take a batch."""
        ...

    def drain(self) -> None:
        """Return when all that was added is durable."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ending:
    state: AttemptState
    reason: str | None = None
    message: str | None = None
    exit_code: int | None = None
    result: str | None = None  # JSON


class WorkflowTaskExecutor:
    """Runs attempts. One object serves all threads of a worker process.

    `environ` is the environment from which children inherit the basic variables and what `passEnv` lists;
    `clock` gives microseconds UTC. `isolation` decides under which level a task's children run,
    `nested` runs a workflow as a part of a task. With `accounts` the coordinator is another process, which learns from
    the rows what is masked and which secrets were read; `past_values` gives the kept versions of secrets, for outputs
    that were made before one was changed, perhaps on another worker.
    """

    def __init__(
        self,
        resolver: SecretResolver,
        *,
        actions: Mapping[str, Action],
        rows: AttemptRows,
        outputs: OutputVault,
        logs: LogSink,
        maskers: ExecutionMaskers,
        running: RunningAttempts,
        environ: Mapping[str, str],
        clock: Callable[[], int],
        isolation: IsolationPolicy | None = None,
        nested: RunNested | None = None,
        accounts: bool = False,
        past_values: Callable[[Sequence[str]], Iterable[tuple[SecretValue, str]]] = lambda _: (),
    ) -> None:
        self._past_values = past_values
        self._past_known: set[str] = set()  # executions whose masker knows them
        self._accounts = accounts
        self._nested = nested
        self._isolation = isolation or IsolationPolicy()
        self._resolver = resolver
        self._actions = actions
        self._rows = rows
        self._outputs = outputs
        self._logs = logs
        self._maskers = maskers
        self._environ = environ
        self._running = running
        self._clock = clock
        self._idle = IdleWatch()

    def execute(self, envelope: str) -> str:
        """Run the attempt in `envelope`; return its id and state as JSON.

        Raises only when the rows cannot be written (state database gone): what a task does wrong is a state.
        """
        job = Envelope.from_json(envelope)
        key = (job.execution_id, job.task_id, job.attempt)
        lease = self._running.lease()
        if not self._rows.claim(*key, lease=lease, now=self._clock()):
            return json.dumps({"attempt": job.id, "state": ELSEWHERE})
        masker = self._maskers.of(job.execution_id)
        minted = Minted()
        # What a task registers for itself stays with it, and goes with its output.
        own = self._maskers.for_task(job.execution_id, minted.note)
        log = TaskLog(
            own,
            self._logs.add,
            execution_id=job.execution_id,
            task_id=job.task_id,
            attempt=job.attempt,
            clock=self._clock,
            limit=job.max_output or MAX_LOG_BYTES,
        )
        with self._running.over(key) as cancelled:
            with self._idle.over(log):
                ending = self._guarded(job, masker, own, minted, log, cancelled)
            log.close()  # first what the task printed, then what became of it
            if self._running.was_given_up(key):
                log.message("this worker was not heard of in time, and the attempt was given up", "error")
            elif ending.message and ending.state is not AttemptState.CANCELLED:
                log.message(ending.message, "error")
            self._logs.drain()  # a task run that is finished has its whole log
        masked = own.counts  # now: what is masked in the output from here on is no line of the log
        self._maskers.note_masked(job.execution_id, job.parent or job.task_id, masked)
        ended = self._rows.end_attempt(
            *key,
            owner=lease.owner,
            state=ending.state,
            now=self._clock(),
            reason=ending.reason,
            message=own.mask(ending.message) if ending.message else None,
            exit_code=ending.exit_code,
            output=self._kept(job, ending, minted),
            shown=self._shown(job, ending, own),
            account=Account(used=self._maskers.used(job.execution_id), masked=masked) if self._accounts else None,
        )
        return json.dumps({"attempt": job.id, "state": ending.state.value if ended else ELSEWHERE})

    def cancel(self, execution: str, task: str, number: int) -> None:
        """Stop one attempt: its child is terminated, then killed. One that has not started yet will not."""
        self._running.cancel((execution, task, number))

    def forget(self, execution: str) -> None:
        """Drop everything that is kept in memory for an execution that is over."""
        self._past_known.discard(execution)
        self._running.forget(execution)
        self._outputs.forget(execution)
        self._maskers.drop(execution)

    def _guarded(
        self,
        job: Envelope,
        masker: SecretMasker,
        own: SecretMasker,
        minted: Minted,
        log: TaskLog,
        cancelled: Cancellation,
    ) -> _Ending:
        try:
            return self._run(job, masker, own, minted, log, cancelled)
        except ActionError as error:
            state = AttemptState.CANCELLED if error.reason == "cancelled" else AttemptState.FAILED
            partial = None if error.output is None else to_json(error.output)
            return _Ending(
                state=state, reason=error.reason, message=str(error), exit_code=error.exit_code, result=partial
            )
        except (SecretsError, AutokestraError) as error:
            reason = "secrets" if isinstance(error, SecretsError) else "engine"
            message = f"{error.message}; {error.hint}" if error.hint else error.message
            return _Ending(state=AttemptState.FAILED, reason=reason, message=message)
        except Exception as error:  # noqa: BLE001  # a bug in an action fails its task, never the engine
            return _Ending(
                state=AttemptState.FAILED,
                reason="internal-error",
                message=f"the action failed unexpectedly: {type(error).__name__}: {error}",
            )

    def _run(
        self,
        job: Envelope,
        masker: SecretMasker,
        own: SecretMasker,
        minted: Minted,
        log: TaskLog,
        cancelled: Cancellation,
    ) -> _Ending:
        deadline = None if job.timeout is None else time.monotonic() + job.timeout
        if cancelled.is_set():
            return _Ending(state=AttemptState.CANCELLED, reason="cancelled", message="cancelled before it started")
        action = self._actions.get(job.type)
        if action is None:  # it was there when the workflow was checked
            raise ActionError(
                f"there is no action '{job.type}' any more; name the folder of its plugin with --plugins DIR, or "
                "install its package",
                reason="start",
            )
        with ExitStack() as stack:
            scope = stack.enter_context(self._resolver.scope(job.secrets, workflow=job.workflow_id))
            declared = Declared(masker)
            scope.register(declared)
            if job.secrets and job.execution_id not in self._past_known:
                for value, name in self._past_values(job.secrets):
                    masker.add(value, name)
                self._past_known.add(job.execution_id)  # last: an attempt beside this one may not rely on half of them
            inputs, env = self._resolve(job, scope, Noting(declared, minted), minted.learner(own))
            self._maskers.note_used(job.execution_id, scope.used)
            model = _validated(action, inputs)
        context = ActionContext(
            output=log,
            workdir=Path(job.workdir),
            environ=child_environment(self._environ, job.pass_env, env),
            deadline=deadline,
            cancelled=cancelled,
            mask=own.add,
            task_id=job.task_id,
            execution_id=job.execution_id,
            attempt=job.attempt,
            isolation=self._isolation.of(job.isolation),
            limits=job.limits,
            run_workflow=self._nested and partial(self._run_nested, job, own),
        )
        return _Ending(state=AttemptState.SUCCESS, result=to_json(action.run(model, context)))

    def _run_nested(
        self,
        job: Envelope,
        own: SecretMasker,
        path: Path,
        inputs: Mapping[str, JsonValue],
        context: ActionContext,
    ) -> JsonValue:
        from autokestra.actions.nested import Caller  # noqa: PLC0415  # few tasks run workflows

        assert self._nested is not None
        caller = Caller(
            workflow_id=job.workflow_id,
            secrets=job.secrets,
            pass_env=job.pass_env,
            isolation=job.isolation,
            masker=own,
        )
        return self._nested(path, inputs, context, caller)

    def _kept(self, job: Envelope, ending: _Ending, minted: Minted) -> StoredOutput | None:
        """Keep the output of a success for other tasks; of a failure it is only shown."""
        if ending.result is None or ending.state is not AttemptState.SUCCESS:
            return None
        return self._outputs.keep(
            job.execution_id,
            job.task_id,
            job.attempt,
            ending.result,
            has_secrets=bool(job.secrets),
            values=minted.values,
        )

    def _shown(self, job: Envelope, ending: _Ending, own: SecretMasker) -> StoredOutput | None:
        if ending.result is None:
            return None
        masked = to_json(own.mask_object(json.loads(ending.result)))
        return self._outputs.keep_shown(
            job.execution_id, job.task_id, job.attempt, masked, has_secrets=bool(job.secrets)
        )

    def _resolve(self, job: Envelope, scope: SecretScope, masker: Noting, learn: Learn) -> tuple[Any, dict[str, str]]:
        if job.secrets:
            self._outputs.guard(job.execution_id)
        context = template_context(
            execution=job.execution_id,
            arguments=job.arguments,
            variables=job.variables,
            outputs=self._outputs,
            parents=job.parents,
            environ=self._environ,
            pass_env=job.pass_env,
            failed=job.failed,
            learn=learn,
        )
        if job.parent is not None and job.item is not None:
            context |= {"item": self._item(job, job.parent, job.item, learn), "index": job.item}
        inputs = resolve_templates(dict(job.inputs), scope=scope, context=context, masker=masker)
        env = resolve_templates(dict(job.env), scope=scope, context=context, masker=masker, as_text=True)
        return inputs, env

    def _item(self, job: Envelope, parent: str, number: int, learn: Learn) -> Any:
        """Items do not travel: they may hold what a task made of a secret."""
        items = self._outputs.items(job.execution_id, parent, learn=learn)
        if items is None or number >= len(items):
            raise OutputError(f"the items of task '{parent}' were only kept in memory and are gone")
        return items[number]


def _validated(action: Action, inputs: object) -> Any:
    from pydantic import ValidationError  # noqa: PLC0415  # pydantic is loaded with the workflow model long before

    from autokestra.workflow.wording import described  # noqa: PLC0415

    try:
        return action.input_model.model_validate(inputs)
    except ValidationError as error:
        problems = described(error, inputs)  # never a value: it may hold a secret
    raise ActionError(f"inputs do not fit {action.type}: {problems}", reason="bad-input")
