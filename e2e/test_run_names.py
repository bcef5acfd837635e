"""Names that are no UTF-8: a path is bytes, and such a workflow runs, is shown, and goes on as any other."""

import json
import os
import sys

import pytest

from e2e.runs import last

WORKFLOW = """\
id: odd
inputs: {who: {type: string, default: you}}
tasks:
  - {id: here, type: core/shell.run, inputs: {script: "ls; test -e marker-{{ inputs.who }}"}}
  - {id: write, type: core/file.write, inputs: {path: written, content: x}}
  - {id: lost, type: core/shell.run, continueOnError: true, inputs: {script: "true", workdir: nowhere}}
"""


@pytest.fixture
def folder(user):
    """A folder with a workflow, whose names are not UTF-8."""
    if sys.platform == "darwin":
        pytest.skip("its file systems refuse such names")
    path = user / os.fsdecode(b"d\xff")
    path.mkdir()
    (path / os.fsdecode(b"w\xfe.yaml")).write_text(WORKFLOW)
    return path


@pytest.mark.parametrize("options", [(), ("--json",), ("--quiet",)])
def test_a_workflow_with_such_a_path_runs_and_goes_on_in_its_folder(workflow, folder, options) -> None:
    failed = workflow("run", *options, folder / os.fsdecode(b"w\xfe.yaml"))
    assert 1 == failed.returncode, failed.stderr
    (folder / "marker-you").touch()
    assert "" == workflow.ok("execution", "resume", "latest", "--quiet")
    assert "x" == (folder / "written").read_text()
    shown = workflow.ok("execution", "show", "latest")
    assert "d\\udcff/w\\udcfe.yaml (sha256 " in shown
    assert "d\\udcff/nowhere' does not exist" in shown
    assert os.fsencode(folder / os.fsdecode(b"w\xfe.yaml")) == os.fsencode(
        json.loads(workflow.ok("execution", "show", "latest", "--json"))["path"]
    )
    workflow.ok("execution", "report", "latest", "--html", folder / "r.html")
    assert "\\udcfe.yaml" in (folder / "r.html").read_text()


def test_the_working_directory_may_have_such_a_name(workflow, folder) -> None:
    (folder / "marker-you").touch()
    workflow.ok("run", os.fsdecode(b"w\xfe.yaml"), cwd=folder)
    assert "SUCCESS" == last(workflow)["state"]


def test_an_input_that_is_no_text_is_named_and_nothing_runs(workflow, folder) -> None:
    file = folder / os.fsdecode(b"w\xfe.yaml")
    assert "input 'who' is not UTF-8 text" == workflow.fails("run", file, "-i", "who=\udcff", code=2)
    assert "[]\n" == workflow.ok("execution", "list", "--json")


@pytest.mark.parametrize("command", ["show", "logs", "resume", "cancel", "delete"])
def test_an_id_of_such_bytes_is_one_that_does_not_exist(workflow, folder, command) -> None:
    workflow("run", folder / os.fsdecode(b"w\xfe.yaml"))
    assert "no execution '\\udcff'" == workflow.fails("execution", command, "\udcff", code=2)


@pytest.mark.parametrize("command", ["run", "resume"])
def test_such_a_path_cannot_be_told_to_the_workers_of_a_cluster(workflow, folder, command) -> None:
    file = folder / os.fsdecode(b"w\xfe.yaml")
    workflow("run", file)
    line = ("run", file) if command == "run" else ("execution", "resume", "latest")
    said = workflow.fails(*line, "--pool", "dask://127.0.0.1:9", code=2)
    assert said.endswith("/w\\udcfe.yaml' is not UTF-8, and workers of a cluster cannot be told of it")
