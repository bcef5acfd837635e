"""A workflow on a cluster of processes on loopback: what it shows, what is refused, and what can be seen on the way."""

import base64
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from textwrap import dedent
from urllib.parse import urlsplit

import pytest

from autokestra_secrets.testing import assert_no_leak
from servers.certificates import write_certificates
from servers.cluster import ClusterWorker, Recorder, Scheduler

SECRET = "canary/8+=?~-" + secrets.token_urlsafe(12)

FLOW = """
    id: shared
    inputs: {marker: {type: string, default: none}}
    secrets: [API_TOKEN]
    tasks:
      - id: make
        type: core/shell.run
        env: {TOKEN: "{{ secrets.API_TOKEN }}"}
        inputs: {script: 'echo "token $TOKEN"; echo "$TOKEN" | base64 -w0'}
      - id: hand_on
        type: core/shell.run
        needs: [make]
        env: {TEXT: "{{ tasks.make.output.stdout }}"}
        inputs: {script: 'echo "got ${#TEXT}: $TEXT {{ inputs.marker }}"; env | grep -c ^AUTOKESTRA || true'}
      - id: mint
        type: core/shell.run
        inputs: {script: 'echo "::add-mask::minted-$((40 + 2))-abcdef"; echo "see minted-$((42))-abcdef"'}
"""


class Cluster:
    """A scheduler, its workers, and a command that uses them with state and secrets in PostgreSQL."""

    def __init__(self, workflow, url: str, directory: Path, stack: ExitStack, certificates: Path | None = None) -> None:
        self.workflow = workflow
        self.env = {"AUTOKESTRA_STATE": url, "AUTOKESTRA_STORE": url}
        if certificates:
            for name, file in (("CA", "ca.crt"), ("CERT", "client.crt"), ("KEY", "client.key")):
                self.env[f"AUTOKESTRA_TLS_{name}"] = str(certificates / file)
        self.directory = directory
        self.stack = stack
        self.scheduler = Scheduler(directory, certificates=certificates)
        stack.callback(self.scheduler.stop)
        self.pool = self.scheduler.url
        self.workers: list[ClusterWorker] = []

    def worker(self, *options: str, env: dict[str, str | None] | None = None, pool: str | None = None) -> ClusterWorker:
        """Start a worker; `joined()` waits for it."""
        started = ClusterWorker(
            [str(self.workflow.executable)],
            *options,
            pool=pool or self.pool,
            env=self.workflow.environment({**self.env, **(env or {})}),
            directory=self.directory,
            name=f"worker{len(self.workers)}",
        )
        self.workers.append(started)
        self.stack.callback(started.stop)
        return started

    def run(self, file: str, *options: str, env: dict[str, str | None] | None = None):
        """Run a workflow file on the cluster."""
        return self("run", file, "--pool", self.pool, *options, env=env)

    def __call__(self, *args: str, env: dict[str, str | None] | None = None, **options: object):
        """Run any command with the same databases."""
        return self.workflow(*args, env={**self.env, **(env or {})}, **options)


@pytest.fixture
def cluster(workflow, postgres_url, tmp_path: Path, user: Path) -> Iterator[Cluster]:
    """A cluster without workers, and a key and a secret in its store."""
    (user / "flow.yaml").write_text(dedent(FLOW))
    with ExitStack() as stack:
        made = Cluster(workflow, postgres_url, tmp_path, stack)
        workflow.ok("secrets", "key", "create")
        assert 0 == made("secrets", "set", "API_TOKEN", "-q", input=SECRET).returncode
        yield made


def test_the_same_file_runs_there_with_the_same_masked_result(cluster) -> None:
    cluster.worker("--slots", "2").joined()
    done = cluster.run("flow.yaml")
    assert 0 == done.returncode, done.stderr
    lines = done.stdout.splitlines()
    assert "[make] token ***SECRET***" in lines
    size = len("token \n") + len(SECRET) + len(base64.b64encode(f"{SECRET}\n".encode()))
    assert f"[hand_on] got {size}: token ***SECRET***" in lines
    assert "[hand_on] 0" in lines, "the key stays with the worker"
    assert "[mint] see ***SECRET***" in lines
    assert "masked " in done.stdout + done.stderr
    assert "API_TOKEN" in done.stdout + done.stderr
    row = json.loads(cluster("execution", "show", "latest", "--json").stdout)
    assert {"API_TOKEN": "store"} == row["secrets"]
    assert {"make", "hand_on"} == {task for task, names in row["masked"].items() if "API_TOKEN" in names}
    assert "***SECRET***" in cluster("execution", "logs", "latest").stdout
    assert_no_leak(
        [SECRET], done.stdout, done.stderr, cluster.workers[0].log, cluster.scheduler.log, cluster.workflow.user
    )


def test_as_much_is_counted_as_masked_there_as_here(cluster) -> None:
    cluster.worker("--slots", "2").joined()
    assert 0 == cluster.run("flow.yaml").returncode
    there = json.loads(cluster("execution", "show", "latest", "--json").stdout)["masked"]
    assert 0 == cluster("run", "flow.yaml").returncode
    here = json.loads(cluster("execution", "show", "latest", "--json").stdout)["masked"]
    assert here == there
    assert {"plain": 1, "base64": 1} == here["make"]["API_TOKEN"]


def test_what_a_task_made_of_a_secret_or_minted_is_masked_on_another_worker(cluster) -> None:
    """Each task on a worker of its own, whose masker has seen nothing of the other."""
    (cluster.workflow.user / "apart.yaml").write_text(
        dedent("""
            id: apart
            secrets: [API_TOKEN]
            tasks:
              - id: here
                type: core/shell.run
                tags: [here]
                env: {PART: "{{ secrets.API_TOKEN[:13] }}"}
                inputs: {script: 's="sess-$((6*7))-xyzabc"; echo "::add-mask::$s"; echo "$s and $PART"'}
              - id: there
                type: core/shell.run
                tags: [there]
                needs: [here]
                env: {TEXT: "{{ tasks.here.output.stdout }}"}
                inputs: {script: 'echo "$TEXT"; echo "$TEXT" | rev | rev'}
        """)
    )
    cluster.worker("--tags", "here").joined()
    cluster.worker("--tags", "there").joined()
    done = cluster.run("apart.yaml")
    assert 0 == done.returncode, done.stderr
    assert 2 == done.stdout.splitlines().count("[there] ***SECRET*** and ***SECRET***")
    shown = cluster("execution", "show", "latest", "--json").stdout + cluster("execution", "logs", "latest").stdout
    assert_no_leak(["sess-42-xyzabc", SECRET[:13]], done.stdout, done.stderr, shown)


def test_a_coordinator_needs_no_key(cluster, tmp_path: Path) -> None:
    cluster.worker().joined()
    done = cluster.run("flow.yaml", env={"AUTOKESTRA_HOME": str(tmp_path / "elsewhere")})
    assert 0 == done.returncode, done.stderr
    assert "[make] token ***SECRET***" in done.stdout.splitlines()
    assert not (tmp_path / "elsewhere" / "secret.key").exists()


def test_a_coordinator_without_a_key_resumes_and_repeats_nothing(cluster, tmp_path: Path) -> None:
    cluster.worker().joined()
    (cluster.workflow.user / "flaky.yaml").write_text(
        dedent("""
            id: flaky
            secrets: [API_TOKEN]
            tasks:
              - {id: first, type: core/shell.run, env: {T: "{{ secrets.API_TOKEN }}"}, inputs: {script: 'echo once >> ran; echo "$T"'}}
              - id: second
                type: core/shell.run
                needs: [first]
                env: {TEXT: "{{ tasks.first.output.stdout }}"}
                inputs: {script: 'test -e repaired && echo "with ${#TEXT}"'}
        """)
    )
    away = {"AUTOKESTRA_HOME": str(tmp_path / "elsewhere")}
    assert 1 == cluster.run("flaky.yaml", env=away).returncode
    (cluster.workflow.user / "repaired").touch()
    done = cluster("execution", "resume", "latest", "--pool", cluster.pool, env=away)
    assert 0 == done.returncode, done.stderr
    assert f"[second] with {len(SECRET) + 1}" in done.stdout.splitlines()
    assert "once\n" == (cluster.workflow.user / "ran").read_text()
    masked = json.loads(cluster("execution", "show", "latest", "--json").stdout)["masked"]
    assert {"first"} == set(masked), "what was masked before the resume still counts"


def test_the_value_of_before_a_change_is_masked_in_what_was_made_of_it(cluster) -> None:
    """No worker has an attempt of the execution meanwhile, so each begins anew with what the store says."""
    cluster.worker().joined()
    (cluster.workflow.user / "changed.yaml").write_text(
        dedent("""
            id: changed
            secrets: [API_TOKEN]
            tasks:
              - {id: old, type: core/shell.run, env: {T: "{{ secrets.API_TOKEN }}"}, inputs: {script: 'echo "$T"'}}
              - id: again
                type: core/shell.run
                needs: [old]
                env: {TEXT: "{{ tasks.old.output.stdout }}"}
                inputs: {script: 'test -e changed && echo "again $TEXT"'}
        """)
    )
    assert 1 == cluster.run("changed.yaml").returncode
    assert 0 == cluster("secrets", "set", "API_TOKEN", "-q", input="value-after-the-change").returncode
    (cluster.workflow.user / "changed").touch()
    done = cluster("execution", "resume", "latest", "--pool", cluster.pool)
    assert 0 == done.returncode, done.stderr
    assert "[again] again ***SECRET***" in done.stdout.splitlines()
    logs = cluster("execution", "logs", "latest").stdout + cluster("execution", "show", "latest").stdout
    assert_no_leak([SECRET], done.stdout, done.stderr, logs)


def test_a_variable_is_no_secret_there(cluster) -> None:
    cluster.worker(env={"OTHER": "from-the-environment"}).joined()
    (cluster.workflow.user / "other.yaml").write_text(dedent(FLOW).replace("API_TOKEN", "OTHER"))
    done = cluster.run("other.yaml", env={"OTHER": "from-the-environment"})
    assert 4 == done.returncode
    assert "OTHER" in done.stderr


def test_nothing_of_a_secret_is_on_the_wire(workflow, postgres_server, tmp_path: Path, user: Path) -> None:
    """Without TLS anywhere: coordinator and workers speak with scheduler and database through recorders."""
    (user / "flow.yaml").write_text(dedent(FLOW))
    database = postgres_server.create_database()
    address = urlsplit(postgres_server.url(database, tcp=True, sslmode="disable", gssencmode="disable"))
    to_database = Recorder(address.port or 0)
    url = address._replace(netloc=address.netloc.replace(f":{address.port}", f":{to_database.port}")).geturl()
    with ExitStack() as stack:
        stack.callback(postgres_server.drop_database, database)
        cluster = Cluster(workflow, url, tmp_path, stack)
        to_scheduler = Recorder(cluster.scheduler.port)
        cluster.pool = f"dask://127.0.0.1:{to_scheduler.port}"
        workflow.ok("secrets", "key", "create")
        assert 0 == cluster("secrets", "set", "API_TOKEN", "-q", input=SECRET).returncode
        for worker in (cluster.worker("--slots", "1"), cluster.worker("--slots", "1")):
            worker.joined()
        marker = f"marker-{secrets.token_urlsafe(12)}"  # an input is no secret: it shows that the search can find
        done = cluster.run("flow.yaml", "-i", f"marker={marker}")
        assert 0 == done.returncode, done.stderr
        assert "[make] token ***SECRET***" in done.stdout.splitlines()
        recorders = (to_scheduler, to_database)
        for recorder in recorders:
            assert marker.encode() in recorder.seen
            assert b"secrets.API_TOKEN" in recorder.seen
            assert_no_leak([SECRET], recorder.seen)
            recorder.close()
        key = (workflow.home / "secret.key").read_text().strip()
        assert_no_leak([key, "minted-42-abcdef"], *(recorder.seen for recorder in recorders))


# --- who may take part


def test_tags_lead_to_the_worker_that_has_them(cluster) -> None:
    cluster.worker("--slots", "2", env={"LC_WHO": "plain"}).joined()
    cluster.worker("--slots", "2", "--tags", "gpu,big", env={"LC_WHO": "tagged"}).joined()
    (cluster.workflow.user / "tags.yaml").write_text(
        dedent("""
            id: tags
            tasks:
              - {id: a, type: core/shell.run, tags: [gpu], inputs: {script: 'echo $LC_WHO'}}
              - {id: b, type: core/shell.run, tags: [big, gpu], inputs: {script: 'echo $LC_WHO'}}
              - {id: c, type: core/shell.run, forEach: [1, 2, 3], tags: [big], inputs: {script: 'echo $LC_WHO'}}
        """)
    )
    done = cluster.run("tags.yaml")
    assert 0 == done.returncode, done.stderr
    said = [line.split()[-1] for line in done.stdout.splitlines() if line.endswith((" tagged", " plain"))]
    assert ["tagged"] * 5 == said


def test_a_tag_that_nobody_has_is_an_error_at_once(cluster) -> None:
    (cluster.workflow.user / "tags.yaml").write_text(
        "id: tags\ntasks:\n  - {id: a, type: core/shell.run, tags: [gpu, fpga], inputs: {script: 'true'}}\n"
    )
    words = "task 'a' needs a worker with the tags gpu,fpga, and none has them"
    assert words == cluster.workflow.fails("run", "tags.yaml", code=8, env=cluster.env)
    cluster.worker("--tags", "gpu").joined()
    assert words == cluster.workflow.fails("run", "tags.yaml", "--pool", cluster.pool, code=8, env=cluster.env)
    assert [] == json.loads(cluster("execution", "list", "--json").stdout)


def test_a_cluster_without_workers_or_scheduler_is_an_error_at_once(cluster) -> None:
    fails = cluster.workflow.fails
    assert f"no worker has joined {cluster.pool}" == fails(
        "run", "flow.yaml", "--pool", cluster.pool, code=8, env=cluster.env
    )
    cluster.scheduler.kill()
    words = f"no scheduler answers at {cluster.pool}"
    assert words == fails("run", "flow.yaml", "--pool", cluster.pool, code=8, env=cluster.env)


def test_a_worker_without_the_key_does_not_join(cluster, tmp_path: Path) -> None:
    worker = cluster.worker(env={"AUTOKESTRA_HOME": str(tmp_path / "empty")})
    assert 5 == worker.process.wait(60), worker.log
    assert "joined" not in worker.log
    other = "akey1-" + base64.urlsafe_b64encode(bytes(36)).decode()
    passphrase = cluster.worker(env={"AUTOKESTRA_SECRET_KEY": "quite another passphrase"})
    assert 6 == passphrase.process.wait(60), passphrase.log
    assert "quite another" not in passphrase.log
    broken = cluster.worker(env={"AUTOKESTRA_SECRET_KEY": other})
    assert broken.process.wait(60) in (5, 6), broken.log


def test_workers_of_another_store_or_database_are_told_apart(cluster, postgres_server, tmp_path: Path) -> None:
    other = postgres_server.create_database()
    try:
        url = postgres_server.url(other)
        cluster.worker(env={"AUTOKESTRA_STATE": url}).joined()
        fails = cluster.workflow.fails
        said = fails("run", "flow.yaml", "--pool", cluster.pool, code=8, env=cluster.env)
        assert f"the workers of {cluster.pool} use another state database than this command" == said
        cluster.workers.pop().stop()
        assert (
            0 == cluster("secrets", "set", "API_TOKEN", "-q", input="another", env={"AUTOKESTRA_STORE": url}).returncode
        )
        cluster.worker(env={"AUTOKESTRA_STORE": url}).joined()
        said = fails("run", "flow.yaml", "--pool", cluster.pool, code=8, env=cluster.env)
        assert "use another secrets store" in said
    finally:
        for worker in cluster.workers:
            worker.stop()
        postgres_server.drop_database(other)


def test_other_versions_of_the_envelope_are_refused_on_both_sides(cluster) -> None:
    """A worker of tomorrow is made of one of today, whose number is another."""
    code = "import autokestra.worker.envelope as e; e.VERSION = 2; from autokestra.cli.main import main; raise SystemExit(main())"
    import sys

    tomorrow = ClusterWorker(
        [sys.executable, "-c", code],
        pool=cluster.pool,
        env=cluster.workflow.environment(cluster.env),
        directory=cluster.directory,
        name="tomorrow",
    )
    cluster.stack.callback(tomorrow.stop)
    tomorrow.joined()
    said = cluster.workflow.fails("run", "flow.yaml", "--pool", cluster.pool, code=8, env=cluster.env)
    assert "reads envelopes of version 2, this command writes version 1" in said
    today = cluster.worker()
    assert 8 == today.process.wait(60), today.log
    assert "run the same version of autokestra on every machine" in today.log


def test_a_file_cannot_be_the_state_of_a_cluster(cluster) -> None:
    said = cluster.workflow.fails(
        "run", "flow.yaml", "--pool", cluster.pool, "--state", "s.db", code=8, env=cluster.env
    )
    assert "which the workers of" in said
    assert not (cluster.workflow.user / "s.db").exists()
    worker = cluster.worker("--state", "s.db")
    assert 8 == worker.process.wait(60), worker.log


def test_plain_connections_to_other_machines_are_refused(workflow, user: Path) -> None:
    (user / "flow.yaml").write_text(dedent(FLOW))
    for command in (("run", "flow.yaml"), ("worker",)):
        for host in ("192.0.2.1", "example.invalid"):
            said = workflow.fails(*command, "--pool", f"dask://{host}:8786", code=9)
            assert f"pool dask://{host}:8786 is another machine" in said


@pytest.mark.parametrize(
    "url", ["", "nonsense", "dask://", "dask://127.0.0.1", "http://127.0.0.1:1", "dask://u@h:1", "dask://h:1/x"]
)
def test_other_words_than_an_address_are_usage_errors(workflow, url: str) -> None:
    assert "expected a pool as dask://HOST:PORT or tls://HOST:PORT" in workflow.fails("worker", "--pool", url, code=2)


def test_with_tls_only_holders_of_a_certificate_take_part(workflow, postgres_url, tmp_path: Path, user: Path) -> None:
    (user / "flow.yaml").write_text(dedent(FLOW))
    papers, foreign = tmp_path / "papers", tmp_path / "foreign"
    for directory in (papers, foreign):
        directory.mkdir()
        write_certificates(directory, client="team")
    with ExitStack() as stack:
        cluster = Cluster(workflow, postgres_url, tmp_path, stack, papers)
        workflow.ok("secrets", "key", "create")
        assert 0 == cluster("secrets", "set", "API_TOKEN", "-q", input=SECRET).returncode
        to_scheduler = Recorder(cluster.scheduler.port)
        cluster.pool = f"tls://127.0.0.1:{to_scheduler.port}"
        cluster.worker().joined()
        done = cluster.run("flow.yaml", "-i", "marker=marker-in-clear")
        assert 0 == done.returncode, done.stderr
        assert len(to_scheduler.seen) > 2_000
        assert_no_leak(["secrets.API_TOKEN", "marker-in-clear", SECRET], to_scheduler.seen)
        strangers = {
            "AUTOKESTRA_TLS_CERT": str(foreign / "client.crt"),
            "AUTOKESTRA_TLS_KEY": str(foreign / "client.key"),
        }
        said = cluster.workflow.fails(
            "run", "flow.yaml", "--pool", cluster.pool, code=8, env={**cluster.env, **strangers}
        )
        assert f"no scheduler answers at {cluster.pool} (or it refuses our certificate)" == said
        plain = f"dask://127.0.0.1:{cluster.scheduler.port}"
        assert "no scheduler answers" in workflow.fails("run", "flow.yaml", "--pool", plain, code=8, env=cluster.env)
        mixed = {"AUTOKESTRA_TLS_KEY": str(foreign / "client.key")}
        said = workflow.fails("run", "flow.yaml", "--pool", cluster.pool, code=9, env={**cluster.env, **mixed})
        assert "cannot be used" in said
        nothing = {"AUTOKESTRA_TLS_CERT": None, "AUTOKESTRA_TLS_KEY": None}
        said = workflow.fails("run", "flow.yaml", "--pool", cluster.pool, code=2, env={**cluster.env, **nothing})
        assert "a pool with TLS needs --tls-cert, --tls-key" == said


def test_a_task_does_not_see_the_key_of_the_workers_certificate(hidden, postgres_server, tmp_path: Path) -> None:
    """With it a task could join the cluster and run code where the secrets are."""
    papers = hidden.user / "papers"
    papers.mkdir()
    write_certificates(papers, client="team")
    for path in (papers, *papers.iterdir()):
        os.chown(path, hidden.user.stat().st_uid, -1)
    (hidden.user / "look.yaml").write_text(
        "id: look\ntasks: [{id: look, type: core/shell.run, inputs: {script: 'cat papers/client.key || ls papers'}}]\n"
    )
    database = postgres_server.create_database()
    with ExitStack() as stack:
        stack.callback(postgres_server.drop_database, database)
        cluster = Cluster(hidden, postgres_server.url(database, tcp=True), tmp_path, stack, papers)
        hidden.ok("secrets", "key", "create")
        assert 0 == cluster("secrets", "set", "API_TOKEN", "-q", input=SECRET).returncode
        worker = ClusterWorker(
            [*hidden.prefix, str(hidden.executable)],
            pool=cluster.pool,
            env=hidden.environment({**hidden.changes, **cluster.env}),
            directory=tmp_path,
            name="worker",
        )
        stack.callback(worker.stop)
        worker.joined()
        done = cluster.run("look.yaml")
        assert "PRIVATE KEY" not in done.stdout
        assert "[look] ca.crt" in done.stdout.splitlines(), done.stdout + done.stderr
