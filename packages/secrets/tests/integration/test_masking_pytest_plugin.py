"""The pytest plugin: what tests print, log and raise is masked in the report."""

import os
import subprocess
import sys

TOKEN = "hunter2-of-the-day"


def run_pytest(tmp_path, test: str, conftest: str = "") -> str:
    (tmp_path / "test_it.py").write_text(test)
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["autokestra_secrets.masking.pytest_plugin"]\n' + conftest)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmask_env = TOKEN ABSENT\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:randomly", "-rA", "test_it.py"],
        cwd=tmp_path,
        env={**os.environ, "TOKEN": TOKEN},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.stdout + done.stderr


def test_captured_output_and_failures_are_masked(tmp_path):
    out = run_pytest(
        tmp_path,
        "import logging, os, pytest, sys\n"
        "def test_fails():\n"
        "    print('printed', os.environ['TOKEN'])\n"
        "    print('to stderr', os.environ['TOKEN'], file=sys.stderr)\n"
        "    logging.warning('logged %s', os.environ['TOKEN'])\n"
        "    raise ValueError(os.environ['TOKEN'])\n"
        "def test_passes(secret_masker):\n"
        "    secret_masker.add('minted-in-a-test')\n"
        "    print('printed', 'minted-in-a-test')\n"
        "def test_fails_without_a_value(): assert 1 == 2\n"
        "@pytest.mark.skip(reason='no need')\n"
        "def test_skipped(): pass\n",
    )
    assert "2 failed, 1 passed, 1 skipped" in out
    assert TOKEN not in out
    assert "minted-in-a-test'" not in out.replace("'minted-in-a-test')", "")
    for line in ("printed ***SECRET***", "to stderr ***SECRET***", "logged ***SECRET***", "ValueError: ***SECRET***"):
        assert line in out


def test_a_report_that_cannot_be_masked_is_withheld(tmp_path):
    out = run_pytest(
        tmp_path,
        "import os\ndef test_fails():\n    print(os.environ['TOKEN'])\n    raise ValueError(os.environ['TOKEN'])\n",
        "from autokestra_secrets import SecretMasker\n"
        "def broken(self, data, *, counted=True): raise RuntimeError(data)\n"
        "SecretMasker.mask = broken\n",
    )
    assert TOKEN not in out
    assert "<report withheld: masking failed>" in out


def test_why_something_was_skipped_or_expected_to_fail_is_masked(tmp_path):
    out = run_pytest(
        tmp_path,
        "import os, pytest\n"
        "def test_skips(): pytest.skip('skipped ' + os.environ['TOKEN'])\n"
        "def test_gives_up(): pytest.xfail('given up ' + os.environ['TOKEN'])\n",
    )
    assert "1 skipped, 1 xfailed" in out
    assert TOKEN not in out
    for line in ("skipped ***SECRET***", "given up ***SECRET***"):
        assert line in out


def test_what_a_module_prints_and_raises_on_import_is_masked(tmp_path):
    out = run_pytest(
        tmp_path, "import os\nprint('printed', os.environ['TOKEN'])\nraise ValueError(os.environ['TOKEN'])\n"
    )
    assert "1 error" in out
    assert TOKEN not in out
    for line in ("printed ***SECRET***", "ValueError: ***SECRET***"):
        assert line in out


def test_a_reason_that_cannot_be_masked_is_withheld(tmp_path):
    out = run_pytest(
        tmp_path,
        "import os, pytest\n"
        "def test_skips(): pytest.skip(os.environ['TOKEN'])\n"
        "def test_gives_up(): pytest.xfail(os.environ['TOKEN'])\n",
        "from autokestra_secrets import SecretMasker\n"
        "def broken(self, data, *, counted=True): raise RuntimeError(data)\n"
        "SecretMasker.mask = broken\n",
    )
    assert "1 skipped, 1 xfailed" in out
    assert TOKEN not in out
    assert "<report withheld: masking failed>" in out
