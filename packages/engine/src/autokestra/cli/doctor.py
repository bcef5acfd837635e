"""`workflow doctor`: what is right and what is not with keys, stores and this machine, each with what to do."""

import os
from typing import Final

import click

from autokestra.cli import console
from autokestra.cli.codes import EXIT_FOUND
from autokestra.cli.states import state_option
from autokestra.cli.stores import named_location, store_option

_COLOURS: Final = {"ok": "32", "warn": "33", "fail": "31"}


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@state_option
@store_option
def doctor(as_json: bool, state: str | None) -> int:  # noqa: FBT001  # click calls by name
    """Check keys, stores and this machine, and say what to do.

    Exit code 12 when something failed; warnings do not count. No key and no value is shown.
    """
    from autokestra.cli.checkup import examine  # noqa: PLC0415

    checks = list(examine(os.environ, store=named_location(), state=state))
    if as_json:
        console.out_json([check._asdict() for check in checks])
    else:
        width = max(len(check.name) for check in checks)
        for check in checks:
            status = f"{check.status:4}"
            if console.stdout_has_colour():
                status = f"\x1b[{_COLOURS[check.status]}m{status}\x1b[0m"
            console.out(f"{status}  {check.name:{width}}  {console.visible(check.message)}")
            if check.fix:
                console.out(f"      {'':{width}}  fix: {console.visible(check.fix)}")
    return EXIT_FOUND if any(check.status == "fail" for check in checks) else 0
