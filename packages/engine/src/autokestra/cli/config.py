"""`workflow config`: the settings, what each is set to, and where that comes from."""

import click

from autokestra.cli import console
from autokestra.cli.stores import say

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group("config")
def config() -> None:
    """Show settings and where each comes from.

    A flag wins, then the variable AUTOKESTRA_…, then config.toml in the home directory, then the default.
    """


@config.command("list")
@json_option
def list_(as_json: bool) -> None:  # noqa: FBT001  # click calls by name
    """List all settings, their values, and where these come from."""
    from autokestra.settings import load_settings, shown  # noqa: PLC0415

    values = load_settings(notify=say).values.values()
    if as_json:
        console.out_json(
            [
                {
                    "id": each.setting.key,
                    "value": shown(each.value) if isinstance(each.value, str) else each.value,
                    "source": each.source,
                    "variable": each.setting.variable,
                    "description": each.setting.description,
                }
                for each in values
            ]
        )
    else:
        rows = ((each.setting.key, str(each), each.source) for each in values)
        console.out(console.table(("SETTING", "VALUE", "FROM"), rows))


@config.command("path")
def path() -> None:
    """Print where the configuration file is, or would be."""
    from autokestra.configpath import config_path  # noqa: PLC0415

    console.out(config_path())
