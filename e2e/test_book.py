"""The reference says all there is: pages out of the code are up to date, and no command, option or name is left out."""

import re
from functools import cache
from importlib.metadata import version
from pathlib import Path

import pytest

import autokestra
import autokestra_secrets
from autokestra.errors import AutokestraError
from book import commands, errors, library, schema
from book.inspection import problems
from book.pages import relinked
from book.reference import FOLDER, PAGES, written

ROOT = FOLDER.parents[1]
COMMANDS = (FOLDER / "commands.md").read_text(encoding="utf-8")
HEADING = re.compile(r"^### `(workflow [^`]+)`$", re.MULTILINE)

# What stands once, at the top of the page or of its part, and not with every command.
SAID_ONCE = {"--json", "--state", "--store", "--accept-rollback", "-q", "--quiet"}


def sections() -> dict[str, str]:
    """Return the text under each heading of the page of commands, by the command's words without its arguments."""
    parts = HEADING.split(COMMANDS)[1:]
    found = {}
    for heading, text in zip(parts[::2], parts[1::2], strict=True):
        words = [word for word in heading.split() if re.fullmatch(r"[a-z][a-z-]*", word)]
        found[" ".join(words)] = heading + text.partition("\n## ")[0]
    return found


@pytest.mark.parametrize("name", PAGES)
def test_a_page_out_of_the_code_is_what_the_code_says(name):
    assert written(name) == (FOLDER / name).read_text(encoding="utf-8"), "run: make reference"


def test_every_command_is_shown_at_work():
    leaves = {context.command_path for context in commands.commands() if not hasattr(context.command, "list_commands")}
    assert sorted(leaves) == sorted(sections())


def test_every_option_is_said_where_its_command_is_shown():
    shown = sections()
    missing = [
        f"{context.command_path} {option.opts[-1]}"
        for context in commands.commands()
        for option in context.command.params
        if option.param_type_name == "option" and context.command_path in shown
        if not {*option.opts} & SAID_ONCE
        and not any(
            re.search(rf"(?<![\w-]){spelling}(?![\w-])", shown[context.command_path]) for spelling in option.opts
        )
    ]
    assert missing == []


def test_what_is_said_once_is_said():
    assert [] == [option for option in SAID_ONCE if f"`{option}" not in COMMANDS]


def test_every_variable_is_in_the_reference():
    said = "".join(page.read_text(encoding="utf-8") for page in FOLDER.glob("*.md"))
    packages = (autokestra, autokestra_secrets)
    sources = (path.read_text(encoding="utf-8") for each in packages for path in Path(each.__path__[0]).rglob("*.py"))
    variables = {name for source in sources for name in re.findall(r'"(AUTOKESTRA_[A-Z_]*[A-Z])"', source)}
    assert len(variables) > 5
    assert [] == sorted(name for name in variables if f"`{name}`" not in said)


def test_the_security_page_knows_how_many_versions_of_the_databases_there_are():
    page = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    stores, states = schema.secret_migrations(), schema.state_migrations()
    assert f"| user version 1 and {len(stores['sqlite'])} |" in page
    assert f"| SQLite 1 to {len(states['sqlite'])}, PostgreSQL 1 to {len(states['postgres'])} |" in page
    assert f"(now {version('autokestra').rpartition('.')[0]})" in page


def test_an_error_without_a_remedy_is_found():
    with pytest.raises(LookupError, match="UnheardOfError"):
        errors.remedy("UnheardOfError", [errors.Site("something is wrong", "")])
    assert errors.remedy("UnheardOfError", [errors.Site("something is wrong", "try this")]) is None


def test_no_remedy_is_left_from_an_error_that_is_gone():
    page = written("errors.md")
    assert [] == [name for name in errors.REMEDIES if f"### `{name}`" not in page]


def test_every_error_is_on_the_page_with_its_code():
    page = written("errors.md")
    for base in (AutokestraError, autokestra_secrets.SecretsError):
        found = list(errors.below(base))
        assert found
        for error in found:
            assert f"### `{error.__name__}`\n\nExit code {error.exit_code}:" in page


def test_every_name_of_the_front_door_is_in_the_reference():
    directives = re.findall(r"^::: autokestra_secrets\.(\w+)$", library.page(), re.MULTILINE)
    documented = [*directives, *re.findall(r"^### `(\w+)`$", written("errors.md"), re.MULTILINE), "SecretsError"]
    assert [] == [name for name in autokestra_secrets.__all__ if name not in documented]
    assert sorted(set(directives)) == sorted(directives)


def site(folder: Path, **pages: str) -> list[str]:
    for name, text in pages.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return list(problems(folder))


def test_a_link_that_leads_somewhere_is_no_problem(tmp_path):
    assert [] == site(tmp_path, a='<a href="b.html#x">', b='<p id="x"><a href="https://example.org">')


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('<a href="gone.html">', "a.html: gone.html leads nowhere"),
        ('<a href="#gone">', "a.html: #gone has no such anchor"),
        ('<a href="b.html#gone">', "a.html: b.html#gone has no such anchor"),
        ('<script src="https://cdn.example/x.js">', "a.html: https://cdn.example/x.js is fetched from elsewhere"),
        ('<img src="//cdn.example/x.png">', "a.html: //cdn.example/x.png is fetched from elsewhere"),
        (
            '<link rel="stylesheet" href="https://fonts.example/css">',
            "a.html: https://fonts.example/css is fetched from elsewhere",
        ),
    ],
)
def test_what_is_wrong_with_a_site_is_named(tmp_path, text, problem):
    assert [problem] == site(tmp_path, a=text, b="<p id=x>")


def test_a_style_sheet_that_fetches_is_named(tmp_path):
    (tmp_path / "x.css").write_text("p { background: url(https://cdn.example/x.png) }")
    assert ["x.css: fetches from elsewhere"] == site(tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[x](docs/spec/envelope.md#r1)", "[x](../spec/envelope.md#r1)"),
        ("[x](SECURITY.md)", "[x](security.md)"),
        ("[x](README.md)", "[x](../index.md)"),
        ("[x](docs/adr/)", "x"),
        ("[x](Makefile)", "x"),
        ("[x](docs/gone.md)", "[x](docs/gone.md)"),
        ("[x](https://example.org) [y](#part)", "[x](https://example.org) [y](#part)"),
    ],
)
def test_links_hold_where_the_site_shows_a_page(text, expected):
    assert expected == relinked(text, source="CONTRIBUTING.md", page="project/contributing.md")


NAMED = re.compile(r"`(test_\w+)`")


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: page.name)
def test_a_test_that_a_page_names_is_there(page):
    named = set(NAMED.findall(page.read_text(encoding="utf-8")))
    missing = named - known_tests() if named else set()
    assert set() == missing


@cache
def known_tests() -> frozenset[str]:
    files = [*ROOT.glob("packages/*/tests/**/test_*.py"), *ROOT.glob("e2e/test_*.py")]
    return frozenset(
        name
        for file in files
        for name in re.findall(r"^ *def (test_\w+)", file.read_text(encoding="utf-8"), re.MULTILINE)
    )


def test_the_explanations_of_what_is_promised_name_tests():
    for name in ("security.md", "execution-model.md"):
        assert len(set(NAMED.findall((ROOT / "docs/explanation" / name).read_text(encoding="utf-8")))) > 15
