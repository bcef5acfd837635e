"""Groups of commands that import a command's module when the command runs, and not for a help text."""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple, cast

import click

from autokestra.errors import UsageError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class Entry(NamedTuple):
    """Where a command lives (`module:attribute`) and the line that `--help` of its group shows for it."""

    target: str
    summary: str


class LazyGroup(click.Group):
    """A group that imports the module of a command when the command runs, and not for its help."""

    def __init__(self, name: str, entries: Mapping[str, Entry], *, help: str) -> None:  # noqa: A002  # click's word
        super().__init__(name, help=help, context_settings={"help_option_names": ["-h", "--help"]})
        self.entries = entries

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """Return the names in the order in which a newcomer needs them."""
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import and return one command, None when there is no such command."""
        entry = self.entries.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.target.partition(":")
        return cast(click.Command, getattr(import_module(module), attribute))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that `args` begin with. Raises UsageError with the nearest name."""
        name = args[0]
        if name in self.entries or name.startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        from difflib import get_close_matches  # noqa: PLC0415  # only after a slip

        nearest = get_close_matches(name, self.entries, n=1)
        raise UsageError(
            # Which word is not said: `workflow secrets VALUE` must not put a value into a log.
            "no such command",
            hint=f"did you mean {nearest[0]}?" if nearest else f"{ctx.command_path} --help",
        )

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem[str]]":
        """Suggest commands from the entries alone, and options."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415  # only when a key is pressed

        found = [
            CompletionItem(name, help=entry.summary)
            for name, entry in self.entries.items()
            if name.startswith(incomplete)
        ]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the table of commands from the entries alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in self.entries.items()])
