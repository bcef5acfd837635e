"""What only a template can tell before a task starts: whether its condition holds, and over which list it runs.

Evaluated by the coordinator, which masks nothing: no secret can be named here, and no message repeats a value. The
list itself is kept as outputs are, since it may be made of one.
"""

from collections.abc import Mapping
from typing import Any, Final

from autokestra.engine.ports import Job
from autokestra.errors import AutokestraError
from autokestra.worker.context import template_context
from autokestra.worker.minted import Learn, Values
from autokestra.worker.outputs import OutputVault
from autokestra.workflow.model import Task
from autokestra_secrets import find_references, resolve_templates

MAX_ITEMS: Final = 100_000  # rows are made for all of them at once
BAD_CONDITION: Final = "bad-condition"
BAD_ITEMS: Final = "bad-items"


class DecisionError(AutokestraError):
    """A condition or a list is of the wrong kind, or cannot be evaluated; `reason` is for machines."""

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class Decisions:
    """Evaluates `when` and `forEach` of one execution; `environ` is where the variables of `passEnv` come from."""

    def __init__(self, job: Job, outputs: OutputVault, environ: Mapping[str, str]) -> None:
        self._job = job
        self._outputs = outputs
        self._environ = environ

    def holds(self, task: Task, failed: tuple[str, ...]) -> bool:
        """Return whether the condition of `task` is true. Raises DecisionError and SecretsError."""
        value = self._value(task.when, failed, lambda *_: None)  # shown to nobody
        if isinstance(value, bool):
            return value
        raise DecisionError(
            f"'when' gives {_kind(value)}, expected true or false: compare it, as in {{{{ inputs.day == 'monday' }}}}",
            reason=BAD_CONDITION,
        )

    def items(self, task: Task, failed: tuple[str, ...]) -> tuple[list[Any], Values]:
        """Return the list over which `task` runs, and what is to be masked in it.

        Raises DecisionError and SecretsError.
        """
        values: dict[tuple[bytes, str], None] = {}
        value = self._value(task.for_each, failed, lambda *pair: values.update({pair: None}))
        if not isinstance(value, list):
            raise DecisionError(f"'forEach' gives {_kind(value)}, expected a list", reason=BAD_ITEMS)
        if len(value) > MAX_ITEMS:
            raise DecisionError(
                f"'forEach' gives {len(value):,} items, at most {MAX_ITEMS:,} are run", reason=BAD_ITEMS
            )
        return value, list(values)

    def _value(self, template: object, failed: tuple[str, ...], learn: Learn) -> Any:
        template = template.strip() if isinstance(template, str) else template
        context = template_context(
            execution=self._job.id,
            arguments=self._job.arguments,
            variables=self._job.workflow.vars,
            outputs=self._outputs,
            parents=[each.name for each in find_references(template) if each.root == "tasks"],
            environ=self._environ,
            pass_env=self._job.workflow.pass_env,
            failed=failed,
            learn=learn,
        )
        return resolve_templates(template, scope=None, context=context)


def _kind(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case _:
            return "a mapping"
