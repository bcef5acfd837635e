"""`workflow secrets key`: where the master key is; never the key."""

import click

from autokestra.cli import console
from autokestra.cli.stores import key_provider


@click.group("key")
def key() -> None:
    """Look at the master key's place."""


@key.command("show")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(as_json: bool) -> None:  # noqa: FBT001  # click calls by name
    """Print source, path and fingerprint of the master key; never the key."""
    found = key_provider().describe()
    if as_json:
        console.out_json({"source": found.source, "path": found.path, "fingerprint": found.fingerprint})
    else:
        console.out(f"source: {console.visible(found.source)}")
        console.out(f"path: {console.visible(found.path or '-')}")
        console.out(f"fingerprint: {found.fingerprint}")
