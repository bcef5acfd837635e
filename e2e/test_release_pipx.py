"""The wheels installed as the pages say, by the real pipx and pip, into a home of its own; then used without any of ours.

As long as the packages are not on an index, a name of ours that an installer asks an index for is an invitation to
whoever registers it. So what is typed here may have what others published, and not ours: only the files that a page
names by path can be it.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from book.blocks import blocks
from release.build import PACKAGES, ROOT, build, sums
from release.pins import read_pins

SECONDS = 300  # an environment is made, and everything that is needed installed
PAGE = ROOT / "docs/howto/install.md"
NOWHERE = "http://127.0.0.1:9/simple"  # the discard port: nobody listens

pytestmark = pytest.mark.skipif(
    not all((ROOT / package / "src").is_dir() for package in PACKAGES), reason="there is no source here to build"
)


def said(*words: str, page: Path = PAGE) -> str:
    """Return the one block of a page that has all these words, less what builds and what edits a profile."""
    [text] = [block.text for block in blocks(page) if block.kind == "sh" and all(word in block.text for word in words)]
    return re.sub(r"^(git pull.*|make wheels|pipx ensurepath.*)\n", "", text, flags=re.MULTILINE)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what `make wheels` leaves, and the pins."""
    folder = tmp_path_factory.mktemp("checkout")
    built = build(ROOT, folder / "dist")
    (folder / "dist/SHA256SUMS").write_text(sums(built), encoding="utf-8")
    (folder / "requirements").mkdir()
    shutil.copy(ROOT / "requirements/runtime.txt", folder / "requirements")
    return folder


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheels of all pins that an installation needs; skips where they cannot be had."""
    folder = tmp_path_factory.mktemp("wheels")
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
    assert [] == list(folder.glob("autokestra*"))
    return folder


@pytest.fixture
def user(others: Path, tmp_path: Path) -> dict[str, str]:
    """The environment of a user with pipx and pip, for whom the wheels of others are all that an index has."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("pipx", "pip", "python3"):
        (tools / name).symlink_to(Path(sys.executable).with_name(name))
    home = tmp_path / "home"
    home.mkdir()
    return {
        "PATH": f"{home}/.local/bin:{tools}:{os.defpath}",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PIPX_HOME": f"{home}/pipx",
        "PIPX_BIN_DIR": f"{home}/.local/bin",
        "PIPX_MAN_DIR": f"{home}/man",
        "PIPX_DEFAULT_PYTHON": sys.executable,
        "PIP_NO_INDEX": "1",  # for what pipx does on its own account too
        "PIP_FIND_LINKS": str(others),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "USE_EMOJI": "0",
    }


@pytest.fixture
def typed(user: dict[str, str], checkout: Path, tmp_path: Path) -> Callable[..., str]:
    """Type lines of a page in a copy of the checkout, or in a folder of it, and return what they print."""
    place = tmp_path / "checkout"
    shutil.copytree(checkout, place)

    def type_in(text: str, folder: str = ".", code: int = 0, **changes: str) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text], cwd=place / folder, env={**user, **changes},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=SECONDS, check=False,
        )  # fmt: skip
        assert code == done.returncode, done.stdout
        return done.stdout

    return type_in


def call(user: dict[str, str], *arguments: str, given: str = "") -> str:
    """Run a command of the installation in its user's home, and return stdout."""
    done = subprocess.run(
        arguments, env=user, cwd=user["HOME"], input=given, capture_output=True, text=True, timeout=60, check=False
    )  # fmt: skip
    assert 0 == done.returncode, done.stderr
    return done.stdout


def test_an_installation_by_pipx_is_whole_and_can_be_upgraded(typed: Callable[..., str], user: dict[str, str]) -> None:
    """One test, for an installation takes longer than all that is asked of it."""
    typed(said("pipx install dist", "ensurepath"))
    both_names_of_the_command_are_there(user)
    a_secret_is_stored_used_and_masked(user)
    what_lives_in_files_of_the_wheel_is_found(user)
    shown = typed(said("pipx uninstall", "before-upgrade"))
    assert "uninstalled autokestra" in shown
    assert "tok-4f9c2e7a81" == call(user, "workflow", "secrets", "get", "API_TOKEN", "--quiet")


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_the_front_pages_install_as_the_page_about_it_does(page: str) -> None:
    line = said("pipx install dist", "ensurepath")
    assert line in said("pipx install dist", page=ROOT / page)


def test_an_installation_by_path_and_hash_is_whole_and_takes_no_other_file(
    typed: Callable[..., str], user: dict[str, str]
) -> None:
    typed(said("install/wheels.txt"))
    typed(said("python3 -m venv"))
    a_secret_is_stored_used_and_masked(user)
    pip = f"{user['HOME']}/.local/share/autokestra/bin/pip"
    shown = typed(f"echo >> autokestra_secrets-0.1.0-py3-none-any.whl; {pip} install --force-reinstall --no-deps "
                  "--require-hashes -r wheels.txt", folder="install", code=1)  # fmt: skip
    assert "DO NOT MATCH" in shown


def test_the_jobs_of_ci_install_by_path_and_hash(typed: Callable[..., str], user: dict[str, str]) -> None:
    page = ROOT / "docs/howto/run-in-ci.md"
    github, gitlab = (
        yaml.safe_load(block.text)["deploy" if "script" in block.text else "jobs"]
        for block in blocks(page)
        if block.kind == "yaml" and block.note
    )
    example = yaml.safe_load((ROOT / "examples/ci/.github/workflows/release.yml").read_text(encoding="utf-8"))
    [first] = [step for step in github["deploy"]["steps"] if step.get("run", "").startswith("pip")]
    [second] = [step for step in example["jobs"]["release"]["steps"] if step.get("run", "").startswith("pip")]
    assert first == second
    assert gitlab["script"][0] == f"(cd {first['working-directory']} && {first['run']})"
    typed(said("install/wheels.txt"))
    typed("python3 -m venv job")
    typed(f"source job/bin/activate; {gitlab['script'][0]}; workflow --version")


def test_the_image_installs_by_path_and_hash(typed: Callable[..., str]) -> None:
    """The line of the Dockerfile, with a folder in the place of the one that is mounted."""
    [text] = [b.text for b in blocks(ROOT / "docs/howto/key-in-containers-and-systemd.md") if b.title == "Dockerfile"]
    [line] = re.findall(r"^RUN --mount=type=bind,source=install,target=/install (.*\\\n.*)$", text, re.MULTILINE)
    typed(said("install/wheels.txt"))
    typed("python3 -m venv image")
    typed(f"source image/bin/activate; {line.replace('cd /install', 'cd install')}; workflow --version")


def test_an_installation_without_a_network_needs_nothing_but_its_folder(
    typed: Callable[..., str], user: dict[str, str], others: Path
) -> None:
    typed(said("pip download"), PIP_FIND_LINKS=str(others))
    # pipx has installed nothing here yet, and no setting helps it.
    typed(said("wheels/autokestra-0.1.0"), PIP_NO_INDEX="0", PIP_FIND_LINKS="", PIP_RETRIES="0", PIP_INDEX_URL=NOWHERE)
    both_names_of_the_command_are_there(user)


def test_no_page_tells_to_install_by_a_name_that_is_not_ours_yet() -> None:
    """What may be typed: names of ours stand in files, or in the text about the day when they are published."""
    wanted = re.compile(r"\bpipx? install (?:--?\S+ )*'?autokestra(?!-0)")
    files = [
        ROOT / "README.md",
        *ROOT.glob("packages/*/README.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("examples/**/*.md"),
    ]
    typed_in = {str(file.relative_to(ROOT)) for file in files for block in blocks(file) if wanted.search(block.text)}
    assert set() == typed_in
    jobs = [file for file in ROOT.glob("examples/**/*.yml") if wanted.search(file.read_text(encoding="utf-8"))]
    assert [] == jobs


def both_names_of_the_command_are_there(user: dict[str, str]) -> None:
    assert "autokestra 0.1.0\n" == call(user, "workflow", "--version")
    assert "autokestra 0.1.0\n" == call(user, "autokestra", "--version")
    assert shutil.which("workflow", path=user["PATH"]) == str(Path(user["PIPX_BIN_DIR"], "workflow"))


def a_secret_is_stored_used_and_masked(user: dict[str, str]) -> None:
    call(user, "workflow", "secrets", "set", "API_TOKEN", given="tok-4f9c2e7a81")
    assert "tok-4f9c2e7a81" == call(user, "workflow", "secrets", "get", "API_TOKEN", "--quiet")
    Path(user["HOME"], "leak.yaml").write_text(
        "id: leak\nsecrets: [API_TOKEN]\ntasks:\n  - id: say\n    type: core/shell.run\n"
        '    env: {TOKEN: "{{ secrets.API_TOKEN }}"}\n    inputs: {script: "echo the token is $TOKEN"}\n',
        encoding="utf-8",
    )
    printed = call(user, "workflow", "run", "leak.yaml")
    assert "[say] the token is ***SECRET***\n" in printed
    assert "tok-4f9c2e7a81" not in printed


def what_lives_in_files_of_the_wheel_is_found(user: dict[str, str]) -> None:
    """SQL, the page's style and script, the completion: each is read from the installation."""
    call(user, "workflow", "init", "here")
    call(user, "workflow", "run", "here/hello.yaml", "--quiet")
    call(user, "workflow", "execution", "report", "latest", "--html", "report.html")
    assert "<style" in Path(user["HOME"], "report.html").read_text(encoding="utf-8")
    assert "complete -o nosort" in call(user, "workflow", "completion", "bash")
    place = call(
        user,
        str(Path(user["PIPX_HOME"], "venvs/autokestra/bin/python")),
        "-c",
        "import autokestra, autokestra_secrets; print(autokestra.__file__, autokestra_secrets.__file__)",
    )
    assert 2 == place.count(f"{user['PIPX_HOME']}/venvs/autokestra/")
