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


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Mask a test's captured output, its failure, and the reason why it was skipped or expected to fail."""
    report = yield
    return _masked(report, item.config.stash[_MASKER])


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, Any]:
    """Mask what a module printed while it was imported, and why that failed or was skipped."""
    report = yield
    return _masked(report, collector.config.stash[_MASKER])


def _masked(report: Any, masker: SecretMasker) -> Any:
    skipped = isinstance(report.longrepr, tuple)  # path, line, reason: it must stay a tuple
    try:
        report.sections = [(title, masker.mask(text)) for title, text in report.sections]
        if hasattr(report, "wasxfail"):
            report.wasxfail = masker.mask(report.wasxfail)
        if skipped:
            report.longrepr = (*report.longrepr[:2], masker.mask(report.longrepr[2]))
        elif report.longrepr is not None:
            text = str(report.longrepr)
            masked = masker.mask(text)
            if masked != text:
                report.longrepr = masked
    except Exception:  # noqa: BLE001  # a report that cannot be masked must not pass
        report.sections = []
        report.longrepr = (*report.longrepr[:2], WITHHELD) if skipped else WITHHELD
        if hasattr(report, "wasxfail"):
            report.wasxfail = WITHHELD
    return report
