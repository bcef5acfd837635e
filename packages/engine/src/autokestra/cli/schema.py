"""`workflow schema`: what an editor needs to complete and check workflow files while they are written."""

from collections.abc import Sequence

import click

from autokestra.cli import console
from autokestra.cli.plugin import plugins_option
from autokestra.cli.stores import say


@click.command("schema")
@plugins_option
def schema(plugins: Sequence[str]) -> None:
    """Print the JSON schema of workflow files, for editors.

    It knows the inputs of every action, plugins included. Save it beside your workflows and name it in their first
    line:

    \b
        workflow schema > workflow.schema.json
        # yaml-language-server: $schema=workflow.schema.json
    """  # noqa: D301  # click's mark for text that keeps its lines
    from autokestra.actions.plugin import Catalog  # noqa: PLC0415
    from autokestra.app import App  # noqa: PLC0415
    from autokestra.workflow.schema import workflow_schema  # noqa: PLC0415

    console.out_json(workflow_schema(Catalog(App(plugins=plugins, notify=say).actions)))
