"""The examples of plugins, at work: a package of Python that pip has installed, and a script."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from e2e.runs import SECRET, last, served, told

KEY = f"{SECRET}-webhook"


@pytest.fixture
def webhook(workflow, example, plugin_environment: Path) -> Path:
    """The example where its package is installed, its key in the store, and retries that do not wait."""
    workflow.executable = plugin_environment / "workflow"
    workflow.ok("secrets", "set", "WEBHOOK_KEY", input=KEY)
    folder = example("plugin-python")
    text = (folder / "notify.yaml").read_text()
    assert "backoffSeconds: 1" in text
    (folder / "notify.yaml").write_text(text.replace("backoffSeconds: 1", "backoffSeconds: 0"))
    return folder


def test_a_webhook_arrives_with_a_good_signature(workflow, webhook: Path) -> None:
    log = webhook / "received"
    with served(webhook / "receiver.py", token=KEY, log=log) as address:
        told(workflow, "run", webhook / "notify.yaml", "-i", f"url={address}")
    lines = len((webhook / "notify.yaml").read_text().splitlines())
    good, _, body = log.read_text().partition(" ")
    assert ("good", {"event": "file.counted", "data": {"file": "notify.yaml", "lines": lines}}) == (
        good,
        json.loads(body),
    )
    tell = last(workflow)["tasks"][1]["attempts"][0]["output"]
    assert (202, f"{last(workflow)['id']}/tell") == (tell["status"], tell["delivery"])


def test_a_receiver_with_another_key_refuses_it_and_the_task_fails(workflow, webhook: Path) -> None:
    log = webhook / "received"
    with served(webhook / "receiver.py", token="another key", log=log) as address:
        shown = told(workflow, "run", webhook / "notify.yaml", "-i", f"url={address}", code=1)
    assert ["FORGED"] * 4 == [line.split()[0] for line in log.read_text().splitlines()]
    assert "the plugin raised RuntimeError: the receiver answered 403 Forbidden" in shown


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("event: file.counted", "event: 3", "expected text"),
        ("      event: file.counted\n", "", "'event' is missing"),
        ("event: file.counted", "event: x\n      more: 1", "unknown key 'more'"),
    ],
)
def test_wrong_inputs_are_found_before_anything_runs(workflow, webhook: Path, before, after, said) -> None:
    text = (webhook / "notify.yaml").read_text()
    assert before in text
    (webhook / "notify.yaml").write_text(text.replace(before, after))
    assert said in told(workflow, "run", webhook / "notify.yaml", "-i", "url=http://127.0.0.1:9", code=3)


def test_where_it_is_not_installed_the_way_to_it_is_said(workflow, example) -> None:
    done = workflow("validate", example("plugin-python") / "notify.yaml")
    assert 3 == done.returncode
    assert "unknown action 'acme/webhook.send'" in done.stderr


# --- shell ------------------------------------------------------------------------------------------------------------


def test_the_disk_is_looked_at_and_strange_names_are_told_right(workflow, example) -> None:
    folder = example("plugin-shell")
    strange = folder / 'a "b" $(touch pwned)\nü\\'
    strange.mkdir()
    (strange / "two\nlines").write_bytes(bytes(2000))
    (strange / "small").write_bytes(bytes(10))
    disk = shutil.disk_usage(folder)
    done = told(workflow, "run", folder / "clean-disk.yaml", "--plugins", folder / "plugins", "-i", f"folder={strange}")
    assert "2000" in done
    tasks = {task["id"]: task for task in last(workflow)["tasks"]}
    usage = tasks["usage"]["attempts"][0]["output"]
    assert abs(usage["usedPercent"] - 100 * disk.used / (disk.used + disk.free)) < 5
    assert abs(usage["freeBytes"] - disk.free) < disk.total / 20
    assert [{"path": str(strange / "two\nlines"), "bytes": 2000}, {"path": str(strange / "small"), "bytes": 10}] == (
        tasks["largest"]["attempts"][0]["output"]
    )
    assert not list(workflow.user.rglob("pwned"))


def test_a_disk_that_is_too_full_fails_the_workflow_after_the_list(workflow, example) -> None:
    folder = example("plugin-shell")
    run = ("run", folder / "clean-disk.yaml", "--plugins", folder / "plugins", "-i", f"folder={folder}")
    told(workflow, *run, "-i", "maxPercent=1", code=1)
    states = {task["id"]: task["state"] for task in last(workflow)["tasks"]}
    assert ("FAILED", "SUCCESS", "SUCCESS", "FAILED") == tuple(states[x] for x in ("usage", "largest", "list", "full"))
    shown = told(workflow, *run[:-1], "folder=/no/such/folder", code=1)
    assert "there is no folder /no/such/folder" in shown


def test_the_scripts_own_test_fails_when_the_plugin_is_wrong(example) -> None:
    folder = example("plugin-shell") / "plugins/disk"
    test = ["sh", folder / "test.sh"]
    assert 0 == subprocess.run(test, capture_output=True, check=False).returncode
    text = (folder / "disk.sh").read_text()
    assert "reverse=True" in text
    (folder / "disk.sh").write_text(text.replace("reverse=True", "reverse=False"))
    assert 1 == subprocess.run(test, capture_output=True, check=False).returncode
