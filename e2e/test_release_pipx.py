"""The wheels installed as the README says, by the real pipx, into a home of its own; then used without any of ours."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from release.build import PACKAGES, ROOT, build
from release.pins import read_pins

PIPX = Path(sys.executable).with_name("pipx")
SECONDS = 300  # an environment is made, and everything that is needed installed

pytestmark = pytest.mark.skipif(
    not all((ROOT / package / "src").is_dir() for package in PACKAGES), reason="there is no source here to build"
)


@pytest.fixture
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with our wheels and those of all pins that an installation needs; skips where they cannot be had."""
    folder = tmp_path_factory.mktemp("wheels")
    build(ROOT, folder)
    # pipx brings pip in the environments that it makes up to date, and asks for a newer one than Python comes with.
    pip = next(pin for pin in read_pins(ROOT / "requirements/audit.txt") if pin.name == "pip")
    newer = tmp_path_factory.mktemp("pins") / "pip.txt"
    newer.write_text(
        f"pip=={pip.version} " + " ".join(f"--hash=sha256:{each}" for each in pip.hashes), encoding="utf-8"
    )
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "download", "--no-deps"),
            *("--require-hashes", "--only-binary", ":all:", "--retries", "0", "--dest", folder),
            *("-r", ROOT / "requirements/runtime.txt", "-r", newer),
        ],
        stderr=subprocess.PIPE,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"no package index is reachable from here: {done.stderr.strip().splitlines()[-1]}")
    return folder


@pytest.fixture
def installed(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a user who has installed the engine by pipx, with nothing but those wheels."""
    home = tmp_path_factory.mktemp("pipx")
    environ = {
        "PATH": f"{home / 'bin'}:{os.defpath}",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PIPX_HOME": str(home / "pipx"),
        "PIPX_BIN_DIR": str(home / "bin"),
        "PIPX_MAN_DIR": str(home / "man"),
        "PIPX_DEFAULT_PYTHON": sys.executable,
        "PIP_NO_INDEX": "1",  # for what pipx does on its own account too
        "PIP_FIND_LINKS": str(wheels),
        "PIP_CONFIG_FILE": os.devnull,
        "USE_EMOJI": "0",
    }
    done = subprocess.run(
        [PIPX, "install", wheels / "autokestra-0.1.0-py3-none-any.whl", f"--pip-args=--no-index --find-links={wheels}"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    return environ


def call(installed: dict[str, str], *arguments: str, given: str = "") -> str:
    """Run a command of the installation in its user's home, and return stdout."""
    done = subprocess.run(
        arguments,
        env=installed,
        cwd=installed["HOME"],
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout


def test_an_installation_by_pipx_is_whole(installed: dict[str, str]) -> None:
    """One test, for an installation takes longer than all that is asked of it."""
    both_names_of_the_command_are_there(installed)
    a_secret_is_stored_used_and_masked(installed)
    what_lives_in_files_of_the_wheel_is_found(installed)


def both_names_of_the_command_are_there(installed: dict[str, str]) -> None:
    assert "autokestra 0.1.0\n" == call(installed, "workflow", "--version")
    assert "autokestra 0.1.0\n" == call(installed, "autokestra", "--version")
    assert shutil.which("workflow", path=installed["PATH"]) == str(Path(installed["PIPX_BIN_DIR"], "workflow"))


def a_secret_is_stored_used_and_masked(installed: dict[str, str]) -> None:
    call(installed, "workflow", "secrets", "set", "API_TOKEN", given="tok-4f9c2e7a81")
    assert "tok-4f9c2e7a81" == call(installed, "workflow", "secrets", "get", "API_TOKEN", "--quiet")
    Path(installed["HOME"], "leak.yaml").write_text(
        "id: leak\nsecrets: [API_TOKEN]\ntasks:\n  - id: say\n    type: core/shell.run\n"
        '    env: {TOKEN: "{{ secrets.API_TOKEN }}"}\n    inputs: {script: "echo the token is $TOKEN"}\n',
        encoding="utf-8",
    )
    printed = call(installed, "workflow", "run", "leak.yaml")
    assert "[say] the token is ***SECRET***\n" in printed
    assert "tok-4f9c2e7a81" not in printed


def what_lives_in_files_of_the_wheel_is_found(installed: dict[str, str]) -> None:
    """SQL, the page's style and script, the completion: each is read from the installation."""
    call(installed, "workflow", "init", "here")
    call(installed, "workflow", "run", "here/hello.yaml", "--quiet")
    call(installed, "workflow", "execution", "report", "latest", "--html", "report.html")
    assert "<style" in Path(installed["HOME"], "report.html").read_text(encoding="utf-8")
    assert "complete -o nosort" in call(installed, "workflow", "completion", "bash")
    place = call(
        installed,
        str(Path(installed["PIPX_HOME"], "venvs/autokestra/bin/python")),
        "-c",
        "import autokestra, autokestra_secrets; print(autokestra.__file__, autokestra_secrets.__file__)",
    )
    assert 2 == place.count(f"{installed['PIPX_HOME']}/venvs/autokestra/")
