"""Every command with its arguments and options, as click knows them."""

from collections.abc import Iterator

import click

from autokestra.cli.main import root

OPENING = """# Every command and option

What `--help` says, of all commands on one page. [The commands](commands.md) shows each of them at work, and has the
exit codes and the variables.
"""


def commands() -> Iterator[click.Context]:
    """Yield the context of every command and group, in the order in which help shows them."""
    # With its settings: click remembers the help option that it makes for the first context.
    with click.Context(root, info_name="workflow", **root.context_settings) as context:
        yield from _below(context)


def _below(context: click.Context) -> Iterator[click.Context]:
    yield context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            command = context.command.get_command(context, name)
            if command is not None and not command.hidden:
                with click.Context(command, info_name=name, parent=context) as child:
                    yield from _below(child)


def options(context: click.Context) -> list[tuple[str, str]]:
    """Return spelling and meaning of each option of a command, `--help` left out."""
    records = [
        parameter.get_help_record(context)
        for parameter in context.command.get_params(context)
        if isinstance(parameter, click.Option) and "--help" not in parameter.opts
    ]
    return [record for record in records if record is not None]


def page() -> str:
    """Return the page."""
    return OPENING + "".join(_section(context) for context in commands())


def _section(context: click.Context) -> str:
    command = context.command
    depth = "##" if context.parent is None or context.parent.parent is None else "###"
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    lines = ["", f"{depth} `{context.command_path}`", "", f"```text\n{usage}\n```", "", _prose(command.help or "")]
    rows = options(context)
    if rows:
        lines += ["", "| option | meaning |", "|---|---|"]
        lines += [f"| `{_code(spelling)}` | {_cell(meaning)} |" for spelling, meaning in rows]
    if isinstance(command, click.Group):
        names = list(command.list_commands(context))
        links = (f"[`{name}`](#{f'{context.command_path} {name}'.replace(' ', '-')})" for name in names)
        lines += ["", "Commands: " + ", ".join(links) + "."]
    return "\n".join(lines) + "\n"


def _prose(text: str) -> str:
    """Return a help text as Markdown: what click keeps as it is (after its mark) becomes a block."""
    parts = []
    for paragraph in text.strip().split("\n\n"):
        if paragraph.lstrip().startswith("\b"):
            parts.append("```text\n" + paragraph.replace("\b", "").strip("\n") + "\n```")
        else:
            parts.append(" ".join(paragraph.split()).replace("<", "&lt;"))
    return "\n\n".join(parts)


def _code(text: str) -> str:
    return text.replace("|", "\\|")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("[", "\\[")  # `[x>=1]` would be taken for a link
