"""`core/workflow.run`: a workflow as a task of another. Who runs it is handed in; here is what it may not do.

A workflow file may have been written by a task. So it gets nothing that the calling workflow has not: no secret, no
variable of the environment, and no less isolation.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, JsonValue

from autokestra.actions.file import absolute, refuse_private_path
from autokestra.actions.inputs import SubWorkflowInputs
from autokestra.actions.protocol import ActionContext, ActionError
from autokestra.workflow.model import Isolation, Workflow

MAX_DEPTH: Final = 8  # workflows within workflows; one that calls itself ends there


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """What the calling task has, and its sub-workflow may have at most."""

    workflow_id: str
    secrets: tuple[str, ...]
    pass_env: tuple[str, ...]
    isolation: Isolation | None
    masker: Any  # the task's own: what the sub-workflow registers counts for its output too


class WorkflowRun:
    """Runs a workflow; output: `execution` (its id) and `tasks` (the output of each, as `tasks.ID.output`)."""

    type: Final = "core/workflow.run"
    input_model: Final = SubWorkflowInputs

    def run(self, inputs: BaseModel, context: ActionContext) -> JsonValue:
        """Run it to its end. Raises ActionError when it does not succeed."""
        assert isinstance(inputs, SubWorkflowInputs)
        if context.run_workflow is None:
            raise ActionError("workflows cannot be run from here", reason="start")
        path = absolute(inputs.file, context)
        refuse_private_path(path, context)
        return context.run_workflow(path, inputs.inputs, context)


def refuse_wider(workflow: Workflow, caller: Caller, inputs: Mapping[str, JsonValue]) -> None:
    """Raise ActionError if `workflow` asks for more than its caller has, or `inputs` would be stored with a secret."""
    for what, wanted, had, key in (
        ("secret", workflow.secrets, caller.secrets, "secrets"),
        ("variable", workflow.pass_env, caller.pass_env, "passEnv"),
    ):
        missing = [name for name in wanted if name not in had]
        if missing:
            raise ActionError(
                f"workflow '{workflow.id}' wants the {what} '{missing[0]}', which '{caller.workflow_id}' has not; "
                f"if it is meant to, declare it there: {key}: [{', '.join(missing)}]",
                reason="scope",
            )
    levels = [workflow.isolation, *(task.isolation for task in workflow.all_tasks)]
    if "none" in levels and caller.isolation != "none":
        raise ActionError(
            f"workflow '{workflow.id}' wants isolation: none, which this task of '{caller.workflow_id}' has not; "
            "if it is meant to, write isolation: none in the task",
            reason="scope",
        )
    if caller.masker.mask_object(inputs) != inputs:
        raise ActionError(
            "an input of the workflow holds a secret, and inputs are stored as they are: declare the secret in "
            f"'{workflow.id}' and use it there",
            reason="scope",
        )
