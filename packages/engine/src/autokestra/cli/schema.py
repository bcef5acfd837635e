"""`workflow schema`: what an editor needs to complete and check workflow files while they are written."""

import click

from autokestra.cli import console


@click.command("schema")
def schema() -> None:
    """Print the JSON schema of workflow files, for editors.

    It knows the inputs of every action. Save it beside your workflows and name it in their first line:

    \b
        workflow schema > workflow.schema.json
        # yaml-language-server: $schema=workflow.schema.json
    """  # noqa: D301  # click's mark for text that keeps its lines
    from autokestra.actions.registry import catalog  # noqa: PLC0415
    from autokestra.workflow.schema import workflow_schema  # noqa: PLC0415

    console.out_json(workflow_schema(catalog()))
