"""The front door: every name is there, comes from its room, and costs nothing before it is used."""

import subprocess
import sys

import pytest

import autokestra_secrets
from autokestra_secrets import errors


@pytest.mark.parametrize("name", autokestra_secrets.__all__)
def test_every_public_name_can_be_imported_and_has_a_docstring(name):
    value = getattr(autokestra_secrets, name)
    assert name == "SecretName" or value.__doc__
    assert name in dir(autokestra_secrets)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = autokestra_secrets.nothing


def test_importing_the_package_imports_none_of_its_rooms():
    program = "import sys, autokestra_secrets; print([m for m in sys.modules if m.startswith('autokestra_secrets.')])"
    assert "[]\n" == subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


def test_reading_a_secret_imports_neither_the_template_parser_nor_the_finder():
    program = (
        "import sys\n"
        "from autokestra_secrets import MasterKeyProvider, SecretStore\n"
        "heavy = {'jinja2', 'hyperscan', 'pydantic', 'rich', 'aiosql', 'logging', 'asyncio'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    assert "[]\n" == subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


LEAVES = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, errors.SecretsError) and value is not errors.SecretsError
]


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.__name__)
def test_every_error_has_an_exit_code_of_its_own_and_is_at_the_front_door(leaf):
    assert leaf.exit_code in {2, 3, 4, 5, 6, 7, 8, 9, 11}
    assert leaf.__name__ in autokestra_secrets.__all__


def test_errors_say_what_is_wrong_and_what_to_type():
    missing = errors.MissingSecretsError(["KEY2", "KEY3"])
    assert ("missing secrets: KEY2, KEY3", ("KEY2", "KEY3")) == (missing.message, missing.names)
    absent = errors.SecretNotFoundError("A")
    assert ("secret 'A' not found", "store it with: workflow secrets set A") == (absent.message, absent.hint)
    undeclared = errors.SecretNotDeclaredError("A", workflow="w")
    assert "secret 'A' is not declared in workflow 'w'" == undeclared.message
    assert "secrets: [A]" in undeclared.hint
    assert "secret 'A' is not declared" == errors.SecretNotDeclaredError("A").message
    template = errors.TemplateError("bad", offset=3, number=1, path=("a", 0))
    assert (3, 1, ("a", 0), None) == (template.offset, template.number, template.path, template.hint)
