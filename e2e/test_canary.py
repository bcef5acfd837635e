"""Unique secrets are planted, workflows are run, and everything that can be seen afterwards is searched for them.

Beside each secret travels a marker: a text that is no secret, on the same way (the name of the secret, an input, the id
of the workflow, an environment variable). Where a secret is not found the marker must be: otherwise the search looked
in the wrong place, or could not find anything.
"""

import base64
import json
import os
import secrets
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from e2e.runs import served

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted(ROOT.glob("examples/*/*.yaml"))


# --- the search ---------------------------------------------------------------------------------------------------


def spellings(value: str) -> dict[str, bytes]:
    """Return what a value always looks like in each encoding, whatever stands around it."""
    data = value.encode()
    forms = {
        "plain": data,
        "reversed": data[::-1],
        "hex": data.hex().encode(),
        "upper-case hex": data.hex().upper().encode(),
        "percent-encoded": quote(value, safe="").encode(),
        "JSON": json.dumps(value)[1:-1].encode(),
        "UTF-16": value.encode("utf-16-le"),
        "NUL between": b"\0".join(bytes([byte]) for byte in data),
    }
    for skipped in range(3):
        groups = data[skipped : skipped + (len(data) - skipped) // 3 * 3]
        forms[f"base64, {skipped} skipped"] = base64.b64encode(groups)
        forms[f"URL-safe base64, {skipped} skipped"] = base64.urlsafe_b64encode(groups)
    return forms


def found(values: dict[str, str], data: bytes) -> list[str]:
    """Return which of the values stand in `data`, and how they are written there."""
    return [
        f"{name}: {kind}" for name, value in values.items() for kind, form in spellings(value).items() if form in data
    ]


@pytest.mark.parametrize(
    "leak",
    [
        lambda text: f"Bearer {text}\n",
        lambda text: "".join(reversed(f"<{text}>")),
        lambda text: f"<{text}>".encode().hex(),
        lambda text: f"<{text}>".encode().hex().upper(),
        lambda text: quote(f"/?token={text}&x=1", safe=""),
        lambda text: json.dumps({"token": text}),
        lambda text: base64.b64encode(f"{text}\n".encode()).decode(),
        lambda text: base64.b64encode(f"u{text}\n".encode()).decode(),
        lambda text: base64.urlsafe_b64encode(f"u:{text}\n".encode()).decode(),
    ],
)
def test_the_search_finds_a_planted_copy(leak: Callable[[str], str]) -> None:
    value = canary()
    assert [] == found({"S": value}, b"nothing of the kind")
    assert found({"S": value}, f"before {leak(value)} after".encode())


def canary() -> str:
    """Return a value that stands nowhere else, with characters that each encoding writes differently."""
    return f'cn/{secrets.token_urlsafe(18)}+"=?~'


# --- who starts which process -------------------------------------------------------------------------------------

# Python tells its audit hooks of every program that it starts, before it does (PEP 578), and code in Python has no way
# around that. `workflow` loads this as `sitecustomize`. The fork server, which starts the tasks, runs isolated and
# loads nothing; so the place where it is started gets this file put in front of it.
RECORDER = """
import json, os, sys

STARTS = {starts!r}

def texts(items):
    return [os.fsdecode(item) for item in items]

def note(kind, argv, environ):
    environ = os.environ if environ is None else environ
    pairs = environ.items() if hasattr(environ, "items") else (item.split("=", 1) for item in texts(environ))
    record = {{"kind": kind, "argv": texts(argv), "environ": {{os.fsdecode(k): os.fsdecode(v) for k, v in pairs}}}}
    file = os.open(STARTS, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, json.dumps(record).encode() + b"\\n")
    os.close(file)

def hook(event, details):
    if event in ("os.exec", "os.posix_spawn"):
        _, argv, environ = details
        note(event, argv, environ)
    elif event == "subprocess.Popen":
        _, argv, _, environ = details
        note(event, [argv] if isinstance(argv, (str, bytes)) else argv, environ)
    elif event in ("os.system", "os.spawn", "pty.spawn"):
        note(event, [repr(details)], None)

sys.addaudithook(hook)
if __name__ == "__main__":
    import runpy
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")
else:
    note("itself", sys.orig_argv, None)
    spawn = os.posix_spawn

    def recorded(path, argv, environ, **others):
        argv = list(argv)
        if "-I" in argv or "-S" in argv or "-E" in argv:
            script = next(number for number, item in enumerate(argv) if str(item).endswith(".py"))
            argv.insert(script, {recorder!r})
        return spawn(path, argv, environ, **others)

    os.posix_spawn = recorded
"""


@dataclass
class Recorder:
    """Records every start of a process by a Python program that runs with `variables`."""

    folder: Path
    starts: Path = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.starts = self.folder / "starts"
        code = self.folder / "sitecustomize.py"
        code.write_text(RECORDER.format(starts=str(self.starts), recorder=str(code)))
        self.variables = {"PYTHONPATH": str(self.folder)}

    def records(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.starts.read_text().splitlines()]


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    """A recorder with nothing in it."""
    return Recorder(tmp_path / "recorder")


IN_A_FORK = (
    "import os\nif os.fork() == 0:\n    os.execve('/bin/sh', [b'sh', b'-c', b': MARK'], {b'V': b'MARK'})\nos.wait()"
)


@pytest.mark.parametrize(
    "code",
    [
        "import subprocess; subprocess.run(['sh', '-c', ': MARK'], env={'V': 'MARK'})",
        "import os; os.environ['V'] = 'MARK'; os.system(': MARK')",
        "import os; os.waitpid(os.posix_spawn('/bin/sh', ['sh', '-c', ': MARK'], {'V': 'MARK'}), 0)",
        IN_A_FORK,
        "import os, sys; os.waitpid(os.posix_spawn(sys.executable, ['py', '-I', '-S', 'fork.py'], {'V': 'MARK'}), 0)",
    ],
    ids=["subprocess", "system", "posix_spawn", "fork and exec", "fork and exec by an isolated child"],
)
def test_the_recorder_misses_no_way_of_starting_a_process(recorder: Recorder, tmp_path: Path, code: str) -> None:
    (tmp_path / "fork.py").write_text(IN_A_FORK)
    environ = {"PATH": os.environ["PATH"], **recorder.variables}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environ, check=True, timeout=30)
    seen = [record for record in recorder.records() if record["kind"] != "itself"]
    assert any("MARK" in argument for record in seen for argument in record["argv"])
    assert any("MARK" in record["environ"].values() for record in seen)


# --- what a run leaves to be seen ---------------------------------------------------------------------------------


@dataclass
class Scene:
    """A home, the command in it, and everything that can be seen of what it does, by channel."""

    workflow: object
    recorder: Recorder
    seen: dict[str, bytes] = field(default_factory=dict)

    def run(self, channel: str, *arguments: str | Path, env: dict[str, str] | None = None, input: str = "") -> int:  # noqa: A002
        done = self.workflow(*arguments, env={**(env or {}), **self.recorder.variables}, input=input)
        for stream in ("stdout", "stderr"):
            text = getattr(done, stream).encode(errors="surrogateescape")
            self.seen[f"{channel} {stream}"] = self.seen.get(f"{channel} {stream}", b"") + text
        return done.returncode

    def look(self) -> None:
        """Ask for everything that can be asked for."""
        for command in ("show", "logs"):
            self.run(command, "execution", command, "latest")
            self.run(f"{command} --json", "execution", command, "latest", "--json")
        self.run("list", "execution", "list")
        self.run("list --json", "execution", "list", "--json")

    def collect(self, *folders: Path) -> None:
        """Read every file below the folders, databases and their write-ahead logs among them."""
        for folder in folders:
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    self.seen[str(path.relative_to(folder))] = path.read_bytes()

    def starts(self, allowed: set[str] = frozenset()) -> dict[str, bytes]:
        """Return the argument lists, and the environments without the variables that tasks ask for by `env:`."""
        channels = {"argv": b"", "environ": b""}
        for record in self.recorder.records():
            channels["argv"] += json.dumps(record["argv"], ensure_ascii=False).encode() + b"\n"
            if record["kind"] == "itself":
                continue  # what the user gave to the command
            environ = {name: value for name, value in record["environ"].items() if name not in allowed}
            channels["environ"] += json.dumps(environ, ensure_ascii=False).encode() + b"\n"
            # JSON escapes quotes; so that nothing hides behind that, once more without it.
            channels["argv"] += "\n".join(record["argv"]).encode(errors="surrogateescape") + b"\n"
            channels["environ"] += "\n".join(environ.values()).encode(errors="surrogateescape") + b"\n"
        return channels

    def tasks_started(self) -> int:
        """Return how many programs were started that are neither the command nor its fork server."""
        return sum(record["kind"] == "os.exec" for record in self.recorder.records())


@pytest.fixture
def scene(workflow, recorder: Recorder) -> Scene:
    """Nothing has happened yet."""
    return Scene(workflow, recorder)


@contextmanager
def held_open(*databases: Path) -> Iterator[None]:
    """Be one more reader, so that SQLite does not delete the write-ahead log when the command ends."""
    with ExitStack() as stack:
        for database in databases:
            connection = sqlite3.connect(database)
            stack.callback(connection.close)
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        yield


# --- a workflow that misuses its secrets ----------------------------------------------------------------------------

# S is the name of a secret in the store, V that of one in the environment; both names hold the marker.
MISUSE = """\
id: misuse-MARK
inputs: {mark: {type: string}}
secrets: [S, V]
tasks:
  - id: quiet
    type: core/shell.run
    inputs:
      script: |
        echo quiet MARK
        cat /proc/[0-9]*/cmdline > proc-cmdline 2> /dev/null || true
        cat /proc/self/environ /proc/$PPID/environ > proc-environ 2> /dev/null || true
  - id: marked
    type: core/shell.run
    env: {MARKED: "{{ inputs.mark }}"}
    inputs: {script: 'echo "$MARKED"'}
  - id: shell
    type: core/shell.run
    retry: {max: 1, backoffSeconds: 0}
    continueOnError: true
    env: {A: "{{ secrets.S }}", B: "{{ secrets.V }}"}
    inputs:
      script: |
        set -x
        echo "$A and $B" "$(printf 'x:%s' "$A" | base64 -w0)" "$(printf '%s' "$B" | base64 -w0 | tr '+/' '-_')"
        echo "$A" >&2
        printf '%s' "${A:0:5}"; sleep 0.05; printf '%s' "${A:5}"
        exit 3
  - id: python
    type: core/python.run
    continueOnError: true
    inputs:
      inputs: {values: ["{{ secrets.S }}", "{{ secrets.V }}"]}
      script: |
        import sys
        first, second = inputs["values"]
        for character in first:
            print(character, end="", flush=True)
        print(second, file=sys.stderr)
        try:
            open("/no/such/" + first)
        except OSError as error:
            error.add_note("a note with " + second)
            raise RuntimeError(f"{first!r} {second!r}") from error
  - id: output
    type: core/python.run
    inputs:
      inputs: {values: ["{{ secrets.S }}", "{{ secrets.V }}"]}
      script: 'output = {"list": inputs["values"], inputs["values"][0]: 1, "mark": "MARK"}'
  - id: uses-output
    type: core/shell.run
    needs: [output]
    env: {A: "{{ tasks.output.output.list[0] }}", B: "{{ tasks.output.output.list[1] }}"}
    inputs: {script: 'echo "$A" and "$B"'}
  - id: log
    type: core/console.log
    inputs: {message: {text: "{{ secrets.S }}", more: ["{{ secrets.V }}", "{{ (secrets.S ~ secrets.V) | b64encode }}"]}}
  - id: address
    type: core/http.get
    continueOnError: true
    inputs: {url: "http://user:{{ secrets.S | urlencode }}@127.0.0.1:9/{{ secrets.V }}", timeout: 5s}
  - id: wrong-type
    type: core/http.get
    continueOnError: true
    inputs: {url: "http://127.0.0.1:9/", timeout: "{{ secrets.S }}"}
  - id: folder
    type: core/shell.run
    continueOnError: true
    inputs: {script: "true", workdir: "{{ secrets.V }}"}
  - id: arithmetic
    type: core/console.log
    continueOnError: true
    inputs: {message: "{{ secrets.S + 1 }}"}
  - id: lint
    type: core/shell.run
    continueOnError: true
    inputs: {script: "echo '{{ secrets.S }}'"}
"""
CHILDREN = 8  # quiet, marked, shell twice, python, output, uses-output, lint


def test_a_workflow_that_misuses_its_secrets_gives_none_away(scene: Scene, home: Path, tmp_path: Path) -> None:
    mark = f"MK{secrets.token_hex(8)}"
    stored, variable = f"S_{mark}", f"V_{mark}"
    values = {stored: canary(), variable: canary(), f"OTHER_{mark}": canary(), "AN_EARLIER_VALUE": canary()}
    file = scene.workflow.user / "misuse.yaml"
    text = MISUSE.replace("MARK", mark).replace("[S, V]", f"[{stored}, {variable}]")
    file.write_text(text.replace("secrets.S", f"secrets.{stored}").replace("secrets.V", f"secrets.{variable}"))
    run = ("run", file, "-i", f"mark={mark}", "--max-parallel", "4")
    environ = {variable: values[variable], "TMPDIR": str(tmp_path / "temporary")}
    (tmp_path / "temporary").mkdir()

    # Once so that SQLite folds everything into the databases, and once so that the write-ahead logs keep it.
    assert 0 == scene.run("set", "secrets", "set", stored, input=values["AN_EARLIER_VALUE"])
    assert 0 == scene.run("run", *run, env=environ)
    with held_open(home / "secrets.db", home / "state.db"):
        for name in (stored, f"OTHER_{mark}"):  # an update empties the log, a new secret stays in it
            assert 0 == scene.run("set", "secrets", "set", name, input=values[name])
        assert 0 == scene.run("run --json", *run, "--json", env=environ), scene.seen["run --json stdout"]
        scene.look()
        scene.collect(home, scene.workflow.user, tmp_path / "temporary")
    values["THE_KEY"] = scene.seen.pop("secret.key").decode().strip()

    assert scene.tasks_started() == 2 * CHILDREN
    seen = {**scene.seen, **scene.starts(allowed={"A", "B"})}
    for channel, data in seen.items():
        assert [] == found(values, data), channel

    # The same search, in the same places, does find what is there.
    expected = {
        *("set stderr", "run stdout", "run stderr", "run --json stdout", "run --json stderr"),
        *(
            "show stdout",
            "show --json stdout",
            "logs stdout",
            "logs --json stdout",
            "list stdout",
            "list --json stdout",
        ),
        *("secrets.db", "secrets.db-wal", "state.db", "state.db-wal"),
        *("argv", "environ", "proc-cmdline", "misuse.yaml"),
    }
    missed = {channel for channel in expected if not found({"MARK": mark}, seen[channel])}
    assert set() == missed, "these places were not searched"
    assert found(values, scene.starts()["environ"]), "the environment of a task with `env:` is recorded"
    assert b"PATH=" in seen["proc-environ"]
    assert seen["run stdout"].count(b"***SECRET***") > 20
    assert seen["state.db-wal"].count(b"***SECRET***") > 20


# --- the examples -------------------------------------------------------------------------------------------------


Needs = Callable[[Path, dict[str, str]], AbstractContextManager[list[str]]]


def listening(program: str, token: str, name: str, *arguments: str) -> Needs:
    """The server of an example, which wants the planted `token`; its address is the input `name`."""

    @contextmanager
    def needs(file: Path, values: dict[str, str]) -> Iterator[list[str]]:
        with served(file.parent / program, *arguments, token=values[token]) as address:
            yield ["-i", f"{name}={address}"]

    return needs


@contextmanager
def archive(file: Path, values: dict[str, str]) -> Iterator[list[str]]:
    """The database that is archived, and for the way back an archive of it."""
    code = "import os, sample, archive; from pathlib import Path as P; archive.create(P('shop.db'), P('.'), os.environ['P'])"
    environ = {"PATH": os.environ["PATH"], "P": values["BACKUP_PASSPHRASE"], "PYTHONPATH": str(file.parent)}
    subprocess.run([sys.executable, "-c", code], cwd=file.parent, env=environ, check=True)
    [made] = file.parent.glob("*.enc")
    yield ["-i", f"archive={made.name}"] if file.name == "restore.yaml" else []


@contextmanager
def orders(file: Path, values: dict[str, str]) -> Iterator[list[str]]:
    """A database whose name is the planted secret."""
    name = values["DATABASE_URL"].replace("/", "-") + ".db"
    values["DATABASE_URL"] = f"sqlite:///{name}"
    if file.name == "report.yaml":
        with closing(sqlite3.connect(file.parent / name)) as database, database:
            database.execute("CREATE TABLE orders (day, product, cents)")
            database.execute("INSERT INTO orders VALUES ('2026-10-01', 'tea', 450)")
        yield ["-i", "from=2026-10-01", "-i", "until=2026-10-02"]
    else:
        yield []


@contextmanager
def signing(file: Path, values: dict[str, str]) -> Iterator[list[str]]:
    """A signing key in the place of the planted text, which is none."""
    key = Ed25519PrivateKey.generate()
    values["SIGNING_KEY"] = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    yield []


@contextmanager
def plugins(file: Path, values: dict[str, str]) -> Iterator[list[str]]:
    """The folder of the plugin."""
    yield ["--plugins", str(file.parent / "plugins")]


@contextmanager
def nothing(file: Path, values: dict[str, str]) -> Iterator[list[str]]:
    """An example that runs as it is."""
    yield []


NEEDS: dict[str, Needs] = {
    "ci": signing,
    "database-backup": archive,
    "penguins": listening("server.py", "API_TOKEN", "api"),
    "plugin-python": listening("receiver.py", "WEBHOOK_KEY", "url"),
    "plugin-shell": plugins,
    "retry": listening("flaky.py", "RATES_TOKEN", "api", "--failures", "1"),
    "sql-report": orders,
}


SOURCES = [(example, "store") for example in EXAMPLES] + [
    (example, "environment") for example in EXAMPLES if example.parent.name in ("ci", "penguins")
]


@pytest.mark.parametrize(
    ("example", "source"), SOURCES, ids=[f"{file.parent.name}/{file.name}-{source}" for file, source in SOURCES]
)
def test_an_example_gives_no_secret_away(
    scene: Scene, home: Path, tmp_path: Path, example: Path, source: str, request: pytest.FixtureRequest
) -> None:
    if example.parent.name == "plugin-python":
        scene.workflow.executable = request.getfixturevalue("plugin_environment") / "workflow"
    copy = tmp_path / "example"
    shutil.copytree(example.parent, copy)
    file = copy / example.name
    document = yaml.safe_load(file.read_text())
    values = {name: f"cn/{secrets.token_urlsafe(18)}+=" for name in document.get("secrets", [])}
    asked_for = {name for task in document["tasks"] for name in task.get("env", {})}
    # A first run, which fails for want of its secrets, makes the database that is then held open.
    with NEEDS.get(example.parent.name, nothing)(file, values) as arguments:
        scene.run("first", "run", file, *arguments)
        if source == "store":
            for name, value in values.items():
                assert 0 == scene.run("set", "secrets", "set", name, input=value)
        with held_open(home / "state.db"):
            assert 0 == scene.run("run", "run", file, *arguments, env=values if source == "environment" else {})
            scene.look()
            scene.collect(home, copy)
    children = sum(task["type"] in ("core/shell.run", "core/python.run") for task in document["tasks"])
    assert scene.tasks_started() >= children

    row = json.loads(scene.seen["show --json stdout"])
    # What only a called workflow uses is written down there.
    assert ({source} if "{{ secrets." in file.read_text() else set()) == set(row["secrets"].values())
    seen = {**scene.seen, **scene.starts(allowed=asked_for)}
    for channel, data in seen.items():
        assert [] == found(values, data), channel
    for channel in ("run stdout", "state.db-wal", "show stdout", "list stdout", "argv"):
        assert found({"the name": document["id"]}, seen[channel]), f"{channel} was not searched"
