"""A pytest plugin: what tests print, log and raise is masked in the report.

Switch it on with `-p autokestra_secrets.masking.pytest_plugin` or in `conftest.py`:
`pytest_plugins = ["autokestra_secrets.masking.pytest_plugin"]`. Values come from the environment variables that the
ini option `mask_env` lists, and from tests by the fixture `secret_masker`.
"""

import os
from collections.abc import Generator
from typing import Any, Final

import pytest

from autokestra_secrets.masking.masker import SecretMasker

WITHHELD: Final = "<report withheld: masking failed>"
_MASKER: Final = pytest.StashKey[SecretMasker]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the ini option `mask_env`."""
    parser.addini("mask_env", "environment variables whose values are masked in reports", type="args", default=[])


def pytest_configure(config: pytest.Config) -> None:
    """Register the values of the listed variables."""
    masker = config.stash[_MASKER] = SecretMasker()
    for name in config.getini("mask_env"):
        if os.environ.get(name):
            masker.add(os.environ[name], name)


@pytest.fixture(scope="session")
def secret_masker(pytestconfig: pytest.Config) -> SecretMasker:
    """The masker of this test run; what is added counts for every report from then on."""
    return pytestconfig.stash[_MASKER]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Mask a report's captured output and its failure."""
    report = yield
    masker = item.config.stash[_MASKER]
    try:
        report.sections = [(title, masker.mask(text)) for title, text in report.sections]
        if report.longrepr is not None and not isinstance(report.longrepr, tuple):
            text = str(report.longrepr)
            if masker.mask(text) != text:
                report.longrepr = masker.mask(text)
    except Exception:  # noqa: BLE001  # a report that cannot be masked must not pass
        report.sections, report.longrepr = [], WITHHELD
    return report
