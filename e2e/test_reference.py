"""The page of commands lists every command with all its options, and an example of each that is run as it stands."""

import re
from pathlib import Path

import click
import pytest

from autokestra.cli.main import root

PAGE = (Path(__file__).parents[1] / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^### `(workflow [^`]*)`\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL))
EVERYWHERE = {"--help", "--store", "--accept-rollback", "--json", "--quiet"}  # said once for all commands


def commands(group, *path):
    """Yield the path and the object of every command below a group."""
    context = click.Context(group, **root.context_settings)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)
        else:
            yield (*path, name), command


SECRETS = dict(
    commands(root.get_command(click.Context(root, **root.context_settings), "secrets"), "workflow", "secrets")
)


def section(path):
    words = " ".join(path)
    found = [text for title, text in SECTIONS.items() if title == words or title.startswith(f"{words} ")]
    assert 1 == len(found), f"docs/reference/commands.md has {len(found)} sections for `{words}`"
    return found[0]


@pytest.mark.parametrize("path", SECRETS, ids=" ".join)
def test_every_command_has_its_section_with_an_example_that_is_run(path) -> None:
    examples = re.findall(r"^```console\n(.*?)^```", section(path), re.MULTILINE | re.DOTALL)
    assert any(" ".join(path) in line for example in examples for line in example.splitlines() if line[:2] == "$ ")


@pytest.mark.parametrize("path", SECRETS, ids=" ".join)
def test_every_option_is_in_the_section_of_its_command(path) -> None:
    text = section(path)
    options = {option for parameter in SECRETS[path].params for option in parameter.opts if option[:2] == "--"}
    said = set(re.findall(r"(?<![\w-])--[a-z-]+", text))
    assert set() == options - EVERYWHERE - said


def test_what_all_commands_have_is_said_at_the_top() -> None:
    top = PAGE[: PAGE.index("### ")] + PAGE[PAGE.index("## Secrets") : PAGE.index("### `workflow secrets set")]
    assert set() == {option for option in EVERYWHERE if option not in top}
