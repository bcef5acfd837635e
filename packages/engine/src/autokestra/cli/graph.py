"""`workflow graph`: what comes after what, read from the file, without running anything."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from autokestra.cli import console
from autokestra.cli.plugin import plugins_option
from autokestra.cli.run import show_problems

if TYPE_CHECKING:
    from autokestra.workflow.model import Workflow


@click.command("graph")
@click.argument("file", type=click.Path(readable=False))  # the loader says it better
@click.option("--format", "form", type=click.Choice(["text", "mermaid"]), default="text", show_default=True)
@click.option("--mermaid", "form", flag_value="mermaid", help="The same as --format mermaid.")
@plugins_option
@click.option("--json", "as_json", is_flag=True, help="Print the tasks as a JSON array.")
def graph(file: str, form: str, plugins: Sequence[str], as_json: bool) -> int:  # noqa: FBT001  # click calls by name
    """Show what comes after what, and when.

    As steps of tasks that may run at the same time, or as a Mermaid flowchart for a page. Exit code 3 when the
    workflow is invalid.
    """
    from autokestra.actions.plugin import Catalog  # noqa: PLC0415
    from autokestra.app import App  # noqa: PLC0415
    from autokestra.workflow.drawing import mermaid, rows  # noqa: PLC0415
    from autokestra.workflow.loader import load_workflow  # noqa: PLC0415
    from autokestra.workflow.problems import WorkflowInvalidError  # noqa: PLC0415

    try:
        workflow = load_workflow(Path(file), catalog=Catalog(App(plugins=plugins).actions)).workflow
    except WorkflowInvalidError as error:
        show_problems(error.problems)
        return error.exit_code
    if as_json:
        console.out_json(_objects(workflow))
    elif form == "mermaid":
        console.out(mermaid(workflow))
    else:
        console.out(console.table(("STEP", "TASK", "ACTION", "HOW"), rows(workflow)))
    return 0


def _objects(workflow: "Workflow") -> list[dict[str, object]]:
    from autokestra.workflow.drawing import steps  # noqa: PLC0415

    step = {task.id: number for number, layer in enumerate(steps(workflow), start=1) for task in layer}
    return [
        {
            "id": task.id,
            "type": task.type,
            "step": step.get(task.id),
            "needs": list(task.needs),
            "when": task.when,
            "forEach": list(task.for_each) if isinstance(task.for_each, tuple) else task.for_each,
            "continueOnError": task.continue_on_error,
            "onFailure": task.id not in step,
        }
        for task in workflow.all_tasks
    ]
