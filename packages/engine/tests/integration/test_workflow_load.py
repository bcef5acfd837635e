"""Workflow files on the disk: found, read, hashed, refused."""

import hashlib
import os
import time
from pathlib import Path

import pytest

from autokestra.actions.registry import catalog
from autokestra.workflow.loader import WorkflowInvalidError, WorkflowPermissionError, load_workflow
from autokestra.workflow.model import Workflow

HELLO = "id: hello\ntasks:\n- id: greet\n  type: core/shell.run\n  inputs: {script: 'echo hi'}\n"


def problem(path):
    with pytest.raises(WorkflowInvalidError) as caught:
        load_workflow(path, catalog=catalog())
    (found,) = caught.value.problems
    assert str(path) == found.file
    return found, caught.value


def written(directory, data, name="w.yaml"):
    path = directory / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def test_a_file_becomes_a_workflow(tmp_path, monkeypatch):
    written(tmp_path, HELLO)
    monkeypatch.chdir(tmp_path)
    loaded = load_workflow(Path("w.yaml"), catalog=catalog())
    assert tmp_path / "w.yaml" == loaded.path
    assert (HELLO, hashlib.sha256(HELLO.encode()).hexdigest(), ()) == (loaded.source, loaded.sha256, loaded.warnings)
    copy = loaded.workflow.model_dump_json(by_alias=True, exclude_unset=True)
    assert loaded.workflow == Workflow.model_validate_json(copy)


def test_a_link_keeps_its_own_directory(tmp_path):
    (tmp_path / "real").mkdir()
    written(tmp_path / "real", HELLO)
    link = tmp_path / "link.yaml"
    link.symlink_to(tmp_path / "real" / "w.yaml")
    assert link == load_workflow(link, catalog=catalog()).path


def test_a_pipe_is_read(tmp_path):
    """`workflow run <(generate)` gives a pipe."""
    reader, writer = os.pipe()
    os.write(writer, HELLO.encode())
    os.close(writer)
    try:
        assert "hello" == load_workflow(Path(f"/dev/fd/{reader}"), catalog=catalog()).workflow.id
    finally:
        os.close(reader)


def test_warnings_come_with_the_workflow(tmp_path):
    path = written(tmp_path, "secrets: [A]\n" + HELLO.replace("echo hi", "echo {{ secrets.A }}"))
    (warning,) = load_workflow(path, catalog=catalog()).warnings
    assert ("warning", 6) == (warning.severity, warning.line)


def test_a_missing_file_names_its_neighbour(tmp_path):
    written(tmp_path, HELLO, "report.yaml")
    found, error = problem(tmp_path / "reprot.yaml")
    assert ("no such file", "did you mean 'report.yaml'?", 3) == (found.message, found.hint, error.exit_code)
    assert problem(tmp_path / "no" / "where.yaml")[0].hint is None


def test_a_missing_file_is_not_taken_for_one_that_has_only_the_extension_in_common(tmp_path):
    written(tmp_path, HELLO, "a.yaml")
    assert problem(tmp_path / "b.yaml")[0].hint is None
    assert "did you mean 'a.yaml'?" == problem(tmp_path / "a.yml")[0].hint


def test_stdin_is_no_workflow(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "stdin is not read: save the workflow to a file" == problem(Path("-"))[0].hint


def test_a_directory_is_no_workflow(tmp_path):
    found, error = problem(tmp_path)
    assert ("is a directory", 3) == (found.message, error.exit_code)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path):
    path = written(tmp_path, HELLO)
    path.chmod(0)
    found, error = problem(path)
    assert ("permission denied", f"allow it with: chmod u+r {path}", 9) == (found.message, found.hint, error.exit_code)


def test_permission_has_an_exit_code_of_its_own():
    assert 9 == WorkflowPermissionError.exit_code


@pytest.mark.parametrize("name", ["a\0b.yaml", "x" * 5000])
def test_names_that_no_file_can_have(tmp_path, name):
    assert problem(tmp_path / name)[0].message in ("cannot be read", "file name too long")


@pytest.mark.parametrize(
    ("data", "line", "column", "message"),
    [
        (b"", 1, 1, "the file is empty"),
        (b"id: w\ntasks:\n\t- id: a", 3, 1, "a tab cannot be used for indentation"),
        (b"id: w\nname: \xff", 2, 7, "file is not UTF-8 text"),
        (b"#" * (3 << 20), 1, 1, "file is larger than 2 MiB"),
        (b"id: " + b"[" * 10_000, 1, 68, "nested deeper than 64 levels"),
    ],
)
def test_bytes_that_are_no_workflow(tmp_path, data, line, column, message):
    found, error = problem(written(tmp_path, data))
    assert (line, column, message, 3) == (found.line, found.column, found.message, error.exit_code)


def test_an_alias_bomb_is_refused_at_once(tmp_path):
    bomb = "a: &a [x]\n" + "".join(f"b{i}: &b{i} [*a, *a, *a, *a, *a, *a, *a, *a]\n" for i in range(20_000))
    started = time.perf_counter()
    with pytest.raises(WorkflowInvalidError):
        load_workflow(written(tmp_path, bomb), catalog=catalog())
    assert time.perf_counter() - started < 10


def test_ten_thousand_tasks(tmp_path):
    """1.7 MB; 1.2 seconds on an idle machine."""
    tasks = "".join(
        f"- id: t{i}\n  type: core/shell.run\n  needs: [{f't{i - 1}' if i else ''}]\n"
        f"  env: {{X: '{{{{ inputs.x }}}}', Y: '{{{{ tasks.t{i // 2}.output.a }}}}'}}\n"
        f"  inputs:\n    script: |\n      echo hello {i} $X\n      echo $Y\n"
        for i in range(1, 10_000)
    )
    text = f"id: w\ninputs: {{x: {{type: integer, default: 1}}}}\ntasks:\n- {{id: t0, type: core/console.log, inputs: {{message: x}}}}\n{tasks}"
    path = written(tmp_path, text)
    started = time.perf_counter()
    loaded = load_workflow(path, catalog=catalog())
    assert time.perf_counter() - started < 30
    assert (10_000, ()) == (len(loaded.workflow.tasks), loaded.warnings)
