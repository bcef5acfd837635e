"""`workflow execution report`: the page of one execution, written for its owner alone, whole or not at all."""

import click

from autokestra.cli import console
from autokestra.cli.completion.suggestions import execution_ids, file_paths
from autokestra.cli.states import found_state, state_option


@click.command("report")
@click.argument("id_", metavar="ID", shell_complete=execution_ids)
@click.option(
    "--html",
    "file",
    metavar="FILE",
    required=True,
    shell_complete=file_paths,
    help="Where the page goes, for you alone (0600); - is stdout.",
)
@click.option("-f", "--force", is_flag=True, help="Overwrite FILE.")
@click.option("-q", "--quiet", is_flag=True, help="Do not say what was written.")
@state_option
def report(
    id_: str,
    file: str,
    force: bool,  # noqa: FBT001  # click calls by name
    quiet: bool,  # noqa: FBT001
    state: str | None,
) -> None:
    """Write one execution as a page to look at and hand on.

    Graph, timeline, inputs with secrets as names, and the masked log with a search. The page loads nothing from
    anywhere; values of secrets and outputs of tasks are not on it, and no key is needed.
    """
    from importlib.metadata import version  # noqa: PLC0415  # reads the installed files: 20 ms

    from autokestra.app import now  # noqa: PLC0415
    from autokestra.cli.report.material import Material  # noqa: PLC0415
    from autokestra.cli.report.page import page  # noqa: PLC0415
    from autokestra.cli.transfer import write_private  # noqa: PLC0415

    with found_state(state) as store:
        material = Material.read(store, id_, now=now())
    text = page(material, version=version("autokestra"))
    if file == "-":
        console.out_bytes(text.encode())
        return
    write_private(file, text.encode(), force=force)
    if not quiet:
        console.notice(
            f"wrote {file}: execution {material.execution.id} of workflow '{material.execution.workflow_id}'"
        )
