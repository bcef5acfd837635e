"""The image, the Compose file and the unit of the page about containers, as far as that can be tried without Docker.

What the files say is taken from the page: the instructions of the Dockerfile, environment, mounts and user of the service, and
the commands of the reader. Their paths are led into a folder of the test, which is the container; what `docker compose run` would start
there is started with the environment that it would give, as somebody who is not root. e2e/test_release_pipx.py types
the line that installs.
"""

import os
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from autokestra_secrets.testing import assert_no_leak
from book.blocks import blocks
from e2e.conftest import Workflow

PAGE = Path(__file__).parents[1] / "docs/howto/key-in-containers-and-systemd.md"
RUN = "docker compose run --rm "
VALUE = "tok-4f9c2e7a81"


def titled(name: str) -> str:
    [text] = [block.text for block in blocks(PAGE) if block.title == name]
    return text


def instructions() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile: the word, and the rest in one line."""
    text = titled("Dockerfile").replace("\\\n", "")
    pairs = (line.partition(" ")[::2] for line in text.splitlines() if not line.startswith("#"))
    return [(word, rest.strip()) for word, rest in pairs]


def instruction(word: str) -> str:
    [rest] = [rest for each, rest in instructions() if each == word]
    return rest


def service() -> dict[str, Any]:
    return yaml.safe_load(titled("compose.yaml"))["services"]["reports"]


def commands() -> list[list[str]]:
    """Return what the reader types after the image is built, less the part that every line begins with."""
    [text] = [block.text for block in blocks(PAGE) if block.kind == "sh" and "docker compose build" in block.text]
    assert text.startswith("docker compose build\n")
    lines = text.splitlines()[1:]
    assert [] == [line for line in lines if not line.startswith(RUN)]
    return [shlex.split(line.removeprefix(RUN)) for line in lines]


class Container:
    """What `docker compose run` does with our service: mounts, environment and command, in a folder of its own."""

    def __init__(self, workflow: Workflow) -> None:
        self.workflow = workflow
        self.root = workflow.user / "container"
        for folder in ("data", "app", "run/secrets", "tmp"):
            make_folder(workflow, self.root / folder)

    def inside(self, text: str) -> str:
        """Lead the paths of the container that stand in a text to where they are here."""
        return f"{self.root}{text}" if text.startswith(("/data", "/app", "/run", "/tmp")) else text

    def environment(self) -> dict[str, str | None]:
        name, _, value = instruction("ENV").partition("=")
        return {each: self.inside(text) for each, text in {name: value, **service()["environment"]}.items()}

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a line of the page, from behind `docker compose run --rm`."""
        given = list(words)
        while given[0] == "-v":
            source, target, _ = given[1].replace("$PWD/", "").split(":")
            copy(self.workflow, self.workflow.user / source, Path(self.inside(target)))
            del given[:2]
        assert given.pop(0) == "reports"
        program, *arguments = given or yaml.safe_load(instruction("CMD"))
        assert program == "workflow"
        return self.workflow(*(self.inside(word) for word in arguments), env=self.environment())


def make_folder(workflow: Workflow, folder: Path) -> None:
    owned(workflow, folder, lambda: folder.mkdir(parents=True))


def copy(workflow: Workflow, source: Path, target: Path) -> None:
    owned(workflow, target, lambda: target.write_bytes(source.read_bytes()))


def owned(workflow: Workflow, path: Path, make: Callable[[], object]) -> None:
    """Make something that belongs to the user whose command it is."""
    missing = [each for each in (path, *path.parents) if not each.exists()]
    make()
    owner = workflow.user.stat()
    for each in missing or [path]:
        os.chown(each, owner.st_uid, owner.st_gid)


@pytest.fixture
def container(unprivileged: Workflow) -> Container:
    """The container, with the key mounted and the workflow copied, and the reader's folder beside it."""
    made = Container(unprivileged)
    unprivileged.ok("secrets", "set", "API_TOKEN", input=VALUE)
    unprivileged.ok("secrets", "key", "add", "--key-file", unprivileged.user / "container.key", "--label", "container")
    unprivileged.ok("secrets", "backup", unprivileged.user / "secrets.backup")
    [name] = service()["secrets"]
    file = yaml.safe_load(titled("compose.yaml"))["secrets"][name]["file"]
    copy(unprivileged, unprivileged.user / file, made.root / "run/secrets" / name)
    source, target = instruction("COPY").split()
    (unprivileged.user / source).write_text(titled(source))
    copy(unprivileged, unprivileged.user / source, Path(made.inside(target + source)))
    return made


def test_the_files_agree_with_each_other() -> None:
    name, _, home = instruction("ENV").partition("=")
    [volume], [secret] = service()["volumes"], service()["secrets"]
    assert "AUTOKESTRA_HOME" == name
    assert volume.partition(":")[2] == str(Path(home).parent)
    assert f"/run/secrets/{secret}" == service()["environment"]["AUTOKESTRA_SECRET_KEY_FILE"]
    assert instruction("USER") == service()["user"] != "0"
    [made] = [rest for word, rest in instructions() if word == "RUN" and "useradd" in rest]
    assert f"--uid {service()['user']} " in made
    assert "mkdir -m 700 /data && chown reports /data" in made
    words = [word for word, _ in instructions()]
    assert words.index("USER") > max(index for index, word in enumerate(words) if word in ("RUN", "COPY"))


def test_a_new_volume_has_no_secret_until_the_store_is_restored(container: Container) -> None:
    done = container.run("reports")
    assert 4 == done.returncode
    assert "missing secrets: API_TOKEN" in done.stderr


def test_what_the_page_types_ends_with_the_workflow_run(container: Container) -> None:
    restore, doctor, run = commands()
    assert 0 == container.run(*restore).returncode
    shown = container.run(*doctor)
    assert [] == [line for line in shown.stdout.splitlines() if line.startswith("fail")]
    done = container.run(*run)
    assert 0 == done.returncode, done.stderr
    assert "[fetch] calling the API with ***SECRET***\n" in done.stdout
    assert_no_leak([VALUE], done.stdout, done.stderr, shown.stdout, container.root / "data")


def test_a_volume_that_is_open_to_all_is_no_home(container: Container) -> None:
    """The home is a folder in the volume, so the mode of a volume that came from elsewhere does not matter."""
    (container.root / "data").chmod(0o755)
    restore, doctor, _ = commands()
    container.run(*restore)
    assert "fail" not in {line.split()[0] for line in container.run(*doctor).stdout.splitlines() if line.strip()}


def test_no_unit_or_service_of_the_page_runs_as_root() -> None:
    [unit] = [block.text for block in blocks(PAGE) if block.kind == "ini"]
    assert "\nUser=reports\n" in unit
    assert "workflow run --require-isolation " in unit
    [pod] = [block.text for block in blocks(PAGE) if "persistentVolumeClaim" in block.text]
    assert yaml.safe_load(pod)["spec"]["securityContext"]["runAsNonRoot"] is True


def test_a_task_of_a_user_cannot_read_the_key_that_is_mounted(hidden: Workflow) -> None:
    key = hidden.user / "autokestra-key"
    hidden.ok("secrets", "set", "API_TOKEN", input=VALUE)
    hidden.ok("secrets", "key", "add", "--key-file", key)
    (hidden.user / "peek.yaml").write_text(
        "id: peek\ntasks:\n  - id: peek\n    type: core/shell.run\n    inputs: {script: 'cat autokestra-key'}\n"
    )
    done = hidden("run", "--require-isolation", "peek.yaml", env={"AUTOKESTRA_SECRET_KEY_FILE": str(key)})
    assert 1 == done.returncode
    assert "akey1-" not in done.stdout + done.stderr
