"""The installed `workflow` command, run as a user runs it: in a fresh home, with an environment of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pexpect
import pytest

from e2e.runs import running
from servers.nobody import AS_NOBODY, NOBODY, WITHOUT_POWERS

COMMAND = Path(sys.executable).with_name("workflow")
EXAMPLES = Path(__file__).parents[1] / "examples"
SECONDS = 60  # a command that takes longer hangs

# Shells start background jobs with SIGINT ignored, and what is ignored is inherited: the programs under test would
# not hear their Ctrl-C. A handler of ours becomes the default again in every child.
signal.signal(signal.SIGINT, signal.default_int_handler)


def environment(home: Path, user: Path, changes: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """Return the environment of a command: only what a shell always has, our home, and `changes` (None removes)."""
    environ: dict[str, str | None] = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(user),
        "LANG": "C.UTF-8",
        "AUTOKESTRA_HOME": str(home),
        **{name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")},
        **(changes or {}),
    }
    return {name: value for name, value in environ.items() if value is not None}


class Workflow:
    """Calls the command and returns what it did; see `__call__`."""

    executable = COMMAND
    prefix: tuple[str, ...] = ()  # of every command
    changes: Mapping[str, str | None] = {}  # of every environment

    def __init__(self, home: Path, user: Path) -> None:
        self.home = home
        self.user = user

    def environment(self, changes: Mapping[str, str | None] | None = None) -> dict[str, str]:
        """Return what the command gets as environment, for tests that start it themselves."""
        return environment(self.home, self.user, changes)

    def __call__(
        self,
        *args: str | Path,
        input: str | bytes | None = None,  # noqa: A002  # the word of subprocess.run
        env: Mapping[str, str | None] | None = None,
        cwd: Path | None = None,
        powerless: bool = False,
        timeout: float = SECONDS,
    ) -> subprocess.CompletedProcess[str]:
        """Run to the end without a terminal; no `input` is an empty stdin.

        Output is decoded so that bytes are kept: `.encode(errors="surrogateescape")` gives what was written. With
        `powerless`, file modes count even when the tests run as root.
        """
        given = input.encode(errors="surrogateescape") if isinstance(input, str) else input
        done = subprocess.run(
            [*self.prefix, *command(*args, powerless=powerless, executable=self.executable)],
            input=given or b"",
            env=self.environment({**self.changes, **(env or {})}),
            cwd=cwd or self.user,
            capture_output=True,
            check=False,
            timeout=timeout,
        )
        return subprocess.CompletedProcess(
            done.args,
            done.returncode,
            done.stdout.decode(errors="surrogateescape"),
            done.stderr.decode(errors="surrogateescape"),
        )

    def fails(self, *args: str | Path, code: int, **options: object) -> str:
        """Run, expect this exit code, no data and one clear line of error; return that line."""
        done = self(*args, **options)  # type: ignore[arg-type]
        assert (code, "") == (done.returncode, done.stdout), done.stderr
        talk = [line for line in done.stderr.splitlines() if not line.startswith(("hint: ", "warning: "))]
        assert len(talk) == 1, done.stderr
        assert talk[0].startswith("error: "), done.stderr
        return talk[0].removeprefix("error: ")

    def ok(self, *args: str | Path, **options: object) -> str:
        """Run, expect success and return stdout."""
        done = self(*args, **options)  # type: ignore[arg-type]
        assert done.returncode == 0, done.stderr
        return done.stdout


def command(*args: str | Path, powerless: bool = False, executable: Path = COMMAND) -> list[str]:
    """Return the argv of the command; with `powerless` and as root, behind something that drops root's powers."""
    argv = [str(executable), *map(str, args)]
    if powerless and os.geteuid() == 0:
        if sys.platform != "linux":
            pytest.skip("root ignores file modes, and only Linux lets it give that up")
        return [sys.executable, "-c", WITHOUT_POWERS, *argv]
    return argv


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An AUTOKESTRA_HOME that does not exist yet, as on a fresh machine."""
    return tmp_path / "home"


@pytest.fixture
def user(tmp_path: Path) -> Path:
    """The user's own directory: HOME and the working directory."""
    path = tmp_path / "user"
    path.mkdir()
    return path


@pytest.fixture
def workflow(home: Path, user: Path) -> Workflow:
    """The installed command: `workflow("secrets", "get", "A")`."""
    return Workflow(home, user)


@pytest.fixture
def start(workflow: Workflow) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the command and leave it running, see `running`: `start("run", file)`."""
    with running(workflow) as begin:
        yield begin


@pytest.fixture
def unprivileged() -> Iterator[Workflow]:
    """The installed command as somebody who is not root, in folders of their own: where tasks can be isolated."""
    with tempfile.TemporaryDirectory(prefix="autokestra-", ignore_cleanup_errors=True) as folder:
        workflow = Workflow(Path(folder, "home"), Path(folder, "user"))
        workflow.user.mkdir()
        if os.geteuid() == 0:
            # Coverage's data lies where this user may not write.
            workflow.changes = dict.fromkeys((name for name in os.environ if name.startswith("COVERAGE_")), None)
            workflow.prefix = (sys.executable, "-c", AS_NOBODY, str(NOBODY))
            for path in (folder, workflow.user):
                os.chown(path, NOBODY, NOBODY)
            if workflow("--version").returncode:
                pytest.skip("the interpreter of these tests can be read by root only")
        yield workflow


@pytest.fixture
def hidden(unprivileged: Workflow) -> Workflow:
    """The command as somebody whose tasks can be isolated here."""
    checks = {check["name"]: check for check in json.loads(unprivileged("doctor", "--json").stdout)}
    if checks["isolation"]["status"] == "warn":
        pytest.skip(checks["isolation"]["message"])
    return unprivileged


@pytest.fixture
def example(user: Path) -> Callable[[str], Path]:
    """Copy an example into the user's directory, and return its folder: `example("retry")`."""

    def copied(name: str) -> Path:
        return shutil.copytree(EXAMPLES / name, user / name, ignore=shutil.ignore_patterns("__pycache__"))

    return copied


@pytest.fixture(scope="session")
def plugin_environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that has this one's packages and that of examples/plugin-python, as pip installs it."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    site = next(folder.glob("lib/python*/site-packages"))
    (site / "ours.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    source = shutil.copytree(EXAMPLES / "plugin-python", folder / "source")  # building leaves files behind
    programs = folder / "bin"
    options = ("--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check")
    pip = (sys.executable, "-m", "pip", "--python", programs / "python")
    subprocess.run([*pip, "install", *options, source], check=True)
    command = programs / "workflow"
    command.write_text(f"#!{programs}/python\nimport sys\nfrom autokestra.cli.main import main\nsys.exit(main())\n")
    command.chmod(0o755)
    return programs


class Terminal(pexpect.spawn):  # type: ignore[misc]  # generic in its stubs only
    """A command that runs on a terminal of its own: `expect`, `sendline`, and at last `ended`."""

    def ended(self) -> tuple[int | None, str]:
        """Wait for the end; return the exit code and what was shown since the last `expect`."""
        self.expect(pexpect.EOF)
        self.close()
        return self.exitstatus, (self.before or b"").decode().replace("\r\n", "\n")


@pytest.fixture
def terminal(home: Path, user: Path) -> Iterator[Callable[..., Terminal]]:
    """Start the command on a terminal: `terminal("secrets", "set", "A").expect("Value")`."""
    children: list[Terminal] = []

    def start(
        *args: str | Path, env: Mapping[str, str | None] | None = None, rows: int = 24, columns: int = 80
    ) -> Terminal:
        environ = environment(home, user, {"TERM": "xterm", **(env or {})})
        child = Terminal(
            str(COMMAND), [*map(str, args)], env=environ, cwd=str(user), timeout=SECONDS, dimensions=(rows, columns)
        )
        children.append(child)
        return child

    yield start
    for child in children:
        child.close(force=True)
