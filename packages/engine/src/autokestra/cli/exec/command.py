"""`workflow secrets exec`: what is typed, and which of our own failures have which code."""

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import click

from autokestra.cli import console
from autokestra.cli.codes import EXIT_CANNOT, EXIT_NOT_FOUND, EXIT_OWN
from autokestra.cli.completion.suggestions import file_paths
from autokestra.cli.stores import opened_store, store_option
from autokestra.errors import UsageError

_T = TypeVar("_T")


class ExecCommand(click.Command):
    """A command whose own failures cannot be taken for those of the program that it runs."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: object
    ) -> click.Context:
        """Parse; whatever is wrong ends with 125."""
        return _own(lambda: super(ExecCommand, self).make_context(info_name, args, parent, **extra))

    def invoke(self, ctx: click.Context) -> object:
        """Run; whatever goes wrong before the program ends ends with 125."""
        return _own(lambda: super(ExecCommand, self).invoke(ctx))


def _own(work: Callable[[], _T]) -> _T:
    try:
        return work()
    except click.exceptions.Exit:  # --help
        raise
    except Exception as failure:  # noqa: BLE001  # said in the usual way, only the code differs
        from autokestra.cli.main import report  # noqa: PLC0415  # it imports this module when the command runs

        report(failure)
        raise click.exceptions.Exit(EXIT_OWN) from None


@click.command("exec", cls=ExecCommand, context_settings={"allow_interspersed_args": False})
@click.option(
    "--only", multiple=True, metavar="A,B", help="Pass these only: names, patterns with '*', or VARIABLE=NAME."
)
@click.option("--prefix", default="", metavar="P", help="Put P before the name of each variable: TF_VAR_.")
@click.option("--strict", is_flag=True, help="Show nothing early that may be the beginning of a value.")
@click.option("-q", "--quiet", is_flag=True, help="Do not warn of what cannot be passed or masked.")
@click.argument(
    "command", nargs=-1, required=True, metavar="-- COMMAND...", type=click.UNPROCESSED, shell_complete=file_paths
)
@store_option
def exec_(command: Sequence[str], only: Sequence[str], prefix: str, strict: bool, quiet: bool) -> int:  # noqa: FBT001
    """Run a program with secrets in its environment, and mask its output.

    Each secret is the variable of its name, before all others. The code is that of the program, 128 + n when signal n
    ended it; 125 when we failed, 126 when it cannot be run, 127 when it is not found.
    """
    from autokestra.cli.exec.output import OutputMasker  # noqa: PLC0415
    from autokestra.cli.exec.relay import StartError, run  # noqa: PLC0415
    from autokestra.cli.exec.variables import choose, environment, variable_for  # noqa: PLC0415
    from autokestra.settings import load_settings  # noqa: PLC0415
    from autokestra_secrets import MissingSecretsError, SecretResolver  # noqa: PLC0415

    placeholder = load_settings().mask
    with opened_store() as store:
        choice = choose(store.names(), only=only, prefix=prefix)
        with SecretResolver(store).scope(choice.variables.values()) as scope:
            try:
                scope.check()
            except MissingSecretsError as error:
                _refuse_values(error.names, choice.variables, prefix)
                raise
            values = {name: scope[name] for name in choice.variables.values()}
    environ, left_out = environment(os.environb, choice, values)
    passed = {name: values[name] for name in choice.variables.values() if name not in left_out}
    masker = OutputMasker(passed, placeholder=placeholder)
    if not quiet:
        for name, reason in left_out.items():
            hint = f"--only {variable_for(name)}={name}" if name in choice.left_out else None
            console.warn(f"secret '{name}' is not passed: {reason}", hint=hint)
        for name, reason in masker.masker.unmaskable.items():
            console.warn(f"secret '{name}' cannot be masked: {reason}")
    if not command[0]:  # execvp would look for the directories of PATH themselves
        return _report_start(command[0], errno.ENOENT)
    try:
        return run(masker, command, environ, strict=strict)
    except StartError as failure:
        return _report_start(command[0], failure.number)


def _refuse_values(missing: Sequence[str], variables: Mapping[str, str], prefix: str) -> None:
    """Raise UsageError when one of `missing` was typed as `VARIABLE=…`: what stands there is as likely a value."""
    for variable, name in variables.items():
        if name in missing and variable != prefix + name:
            raise UsageError(
                f"--only: the secret for variable '{variable}' is missing",
                hint="write VARIABLE=NAME, with the name of a secret and never its value",
            )


def _report_start(program: str, number: int) -> int:
    from autokestra.cli.main import shown_name  # noqa: PLC0415  # it imports this module when the command runs

    if number == errno.ENOENT:
        # Not which: `exec NAME=VALUE program`, as with env, is a slip that people make.
        console.error("no such program", hint="the program and its arguments come after '--'")
        return EXIT_NOT_FOUND
    hint = {
        errno.E2BIG: "choose fewer secrets with --only",
        errno.ENOEXEC: "does it begin with a line like #!/bin/sh ?",
    }.get(number)
    console.error(f"cannot run '{shown_name(program)}': {os.strerror(number).lower()}", hint=hint)
    return EXIT_CANNOT
