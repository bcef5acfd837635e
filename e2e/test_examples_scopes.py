"""The examples about who gets which secret: two scopes over one store, and variables in CI."""

import hmac
import json
import os
import shutil
import subprocess
import tarfile
from hashlib import sha256
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_public_key,
)

from autokestra_secrets.testing import assert_no_leak
from e2e.runs import SECRET, told

OTHER = "pk-91c4e07fd2+/Zq="


@pytest.fixture
def scopes(workflow, example) -> Path:
    """The example with both secrets in one store."""
    workflow.ok("secrets", "set", "LINK_KEY", input=SECRET)
    workflow.ok("secrets", "set", "PAYROLL_KEY", input=OTHER)
    return example("two-scopes")


def code(key: str, text: str) -> str:
    return hmac.new(key.encode(), text.encode(), sha256).hexdigest()


def test_each_workflow_uses_its_own_secret(workflow, scopes: Path) -> None:
    told(workflow, "run", scopes / "newsletter.yaml")
    assert [
        f"https://news.example.org/off?mail={name}%40example.org&s={code(SECRET, f'{name}@example.org')}"
        for name in ("ada", "grace")
    ] == (scopes / "links.txt").read_text().splitlines()
    told(workflow, "run", scopes / "payroll.yaml")
    rows = "DE02120300000000202051;4100.00\nDE02500105170137075030;3900.00\n"
    assert f"{rows}code;{code(OTHER, rows)}\n" == (scopes / "payments.txt").read_text()
    assert 0o600 == (scopes / "payments.txt").stat().st_mode & 0o777
    assert_no_leak([OTHER], workflow.home, workflow.user)
    listed = json.loads(workflow.ok("execution", "list", "--json"))
    used = [json.loads(workflow.ok("execution", "show", row["id"], "--json"))["secrets"] for row in listed]
    assert [{"PAYROLL_KEY": "store"}, {"LINK_KEY": "store"}] == used


@pytest.mark.parametrize(
    ("file", "own", "other"),
    [("newsletter.yaml", "LINK_KEY", "PAYROLL_KEY"), ("payroll.yaml", "PAYROLL_KEY", "LINK_KEY")],
)
def test_neither_can_use_the_others(workflow, scopes: Path, file: str, own: str, other: str) -> None:
    text = (scopes / file).read_text()
    name = file.removesuffix(".yaml")
    before = set(os.listdir(scopes))
    for wrong, said in (
        (f"secrets.{other}", f"secret '{other}' is not declared in workflow '{name}'"),
        (f"secrets['{other}']", "'secrets' needs a name"),
        (f"secrets['{other[:3]}' ~ '{other[3:]}']", "'secrets' needs a name"),
        ("secrets", "'secrets' needs a name"),
    ):
        assert f"secrets.{own} }}}}" in text
        (scopes / file).write_text(text.replace(f"secrets.{own} }}}}", f"{wrong} }}}}"))
        shown = told(workflow, "run", scopes / file, code=3)
        assert said in shown, wrong
    assert before == set(os.listdir(scopes)), "nothing was written"
    assert [] == json.loads(workflow.ok("execution", "list", "--json")), "nothing was run"


def test_the_others_secret_is_in_no_environment_and_not_to_be_called_for(workflow, scopes: Path) -> None:
    file = scopes / "attack.yaml"
    task = {"id": "look", "type": "core/shell.run", "inputs": {"script": "env > environment"}}
    link = {"LINK_KEY": "{{ secrets.LINK_KEY | length }}"}
    file.write_text(json.dumps({"id": "newsletter", "secrets": ["LINK_KEY"], "tasks": [{**task, "env": link}]}))
    told(workflow, "run", file, env={"PAYROLL_KEY": OTHER})
    seen = (scopes / "environment").read_text()
    assert "LINK_KEY=19\n" in seen
    assert "PAYROLL" not in seen
    call = {"id": "call", "type": "core/workflow.run", "inputs": {"file": "payroll.yaml"}}
    file.write_text(json.dumps({"id": "newsletter", "tasks": [call]}))
    shown = told(workflow, "run", file, code=1)
    assert "workflow 'payroll' wants the secret 'PAYROLL_KEY', which 'newsletter' has not" in shown
    assert not (scopes / "payments.txt").exists()
    assert_no_leak([OTHER], shown, workflow.home, workflow.user)


# --- CI ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pem() -> str:
    """A signing key as `openssl genpkey -algorithm ed25519` writes it."""
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def job(workflow, folder: Path, secrets: dict[str, str], version: str) -> list[tuple[str, int, str]]:
    """Do what the job of the example says, as GitHub does it: return each command with its exit code and its output.

    After a failure only steps with `if: always()` run. What a step installs or uses from elsewhere is there already.
    """
    document = yaml.safe_load((folder / ".github/workflows/release.yml").read_text())
    [(_, steps)] = [(name, each["steps"]) for name, each in document["jobs"].items()]
    values = {"github.ref_name": version, **{f"secrets.{name}": value for name, value in secrets.items()}}
    done, failed = [], False
    for step in steps:
        command = step.get("run", "")
        if not command or command.startswith("pip install") or (failed and step.get("if") != "always()"):
            continue
        assert "${{" not in command, "what stands in a command becomes a part of it"
        environ = {
            name: values.get(text.removeprefix("${{").removesuffix("}}").strip(), "")
            for name, text in step.get("env", {}).items()
        }
        path = {"PATH": f"{workflow.executable.parent}:{os.environ['PATH']}"}
        run = subprocess.run(
            ["bash", "-e", "-c", command], cwd=folder, env=workflow.environment({**path, **environ}),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=60,
        )  # fmt: skip
        failed = failed or run.returncode != 0
        done.append((command, run.returncode, run.stdout))
    return done


def test_the_job_signs_an_archive_and_leaves_neither_key_nor_store(workflow, example, pem: str) -> None:
    folder = example("ci")
    done = job(workflow, folder, {"SIGNING_KEY": pem}, "1.2.0")
    assert [0, 0, 0] == [code for _, code, _ in done], done
    archive = folder / "dist/site-1.2.0.tar.gz"
    public = load_pem_public_key((folder / "dist/signing.pub").read_bytes())
    public.verify((folder / "dist/site-1.2.0.tar.gz.sig").read_bytes(), archive.read_bytes())
    with tarfile.open(archive) as packed:
        assert {".", "./index.html", "./robots.txt"} == set(packed.getnames())
    assert "</html>" in (folder / "report.html").read_text()
    assert not {"secret.key", "secrets.db"} & set(os.listdir(workflow.home))
    secret = pem.splitlines()[1]
    assert_no_leak([pem, secret], *(output for _, _, output in done), workflow.home, workflow.user)


def test_the_job_without_its_secret_fails_before_anything_runs_and_keeps_a_report(workflow, example) -> None:
    folder = example("ci")
    done = job(workflow, folder, {}, "1.2.0")
    assert [0, 4, 0] == [code for _, code, _ in done], done
    assert "error: missing secrets: SIGNING_KEY" in done[1][2]
    assert not (folder / "dist").exists()
    assert "SIGNING_KEY" in (folder / "report.html").read_text()


@pytest.mark.parametrize("version", ["a/b", "$(touch pwned)", '";touch pwned;"', "../1", ""])
def test_the_name_of_a_tag_is_data(workflow, example, pem: str, version: str) -> None:
    folder = example("ci")
    done = job(workflow, folder, {"SIGNING_KEY": pem}, version)
    assert [0, 1, 0] == [code for _, code, _ in done], done
    assert f"no version: {version}" in done[1][2]
    assert not (folder / "pwned").exists()
    assert not (folder / "dist").exists()


def test_on_a_machine_with_a_store_the_store_comes_first(workflow, example, pem: str) -> None:
    folder = example("ci")
    workflow.ok("secrets", "set", "SIGNING_KEY", input=pem)
    workflow.ok("run", folder / "release.yaml", env={"SIGNING_KEY": "no key at all"})
    assert (folder / "dist/site-dev.tar.gz.sig").exists()
    assert {"SIGNING_KEY": "store"} == json.loads(workflow.ok("execution", "show", "latest", "--json"))["secrets"]
    shutil.rmtree(folder / "dist")
    done = workflow("run", folder / "release.yaml", "--store", workflow.user / "nowhere.db")
    assert (8, False) == (done.returncode, (folder / "dist").exists()), done.stderr
