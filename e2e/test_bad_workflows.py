"""Workflow files that are wrong: a clear line for each problem with its place, exit code 3, nothing run, no traceback."""

import json
import re
import time
from pathlib import Path
from textwrap import dedent

import pytest

PROBLEM = re.compile(r"(?P<file>.+?):(?P<line>\d+):(?P<column>\d+): (?P<message>.+)")


def saved(workflow, content: str | bytes, name: str = "flow.yaml") -> Path:
    path = workflow.user / name
    path.write_bytes(content if isinstance(content, bytes) else dedent(content).encode())
    return path


def problems(workflow, *files: Path, command: str = "validate", code: int = 3, **options: object):
    """Check files that are wrong and return (file, line, column, message) of every error, hints after ` | `."""
    done = workflow(command, *files, **options)
    assert (code, "") == (done.returncode, done.stdout), done.stderr
    assert "Traceback" not in done.stderr
    found = []
    for line in done.stderr.splitlines():
        if line.startswith("hint: "):
            found[-1][3] += f" | {line.removeprefix('hint: ')}"
        elif line.startswith("error: "):
            match = PROBLEM.fullmatch(line.removeprefix("error: "))
            assert match, line
            assert int(match["line"]) > 0, line
            assert int(match["column"]) > 0, line
            found.append([match["file"], int(match["line"]), int(match["column"]), match["message"]])
        else:
            assert "is valid" in line, line
    return found


TASK = "tasks: [{id: a, type: core/console.log, inputs: {message: hello}}]\n"

# name -> (content, line and column of the problem, what its message or hint says)
FILES: dict[str, tuple[str | bytes, tuple[int, int], str]] = {
    "empty": (b"", (1, 1), "empty"),
    "only a comment": ("# nothing\n", (1, 1), "empty"),
    "a list": ("- id: x\n", (1, 1), "mapping"),
    "a text": ("hello\n", (1, 1), "mapping"),
    "no tasks": ("id: x\n", (1, 1), "tasks"),
    "no YAML": ("id: [x\ntasks: ]\n", (2, 6), ""),
    "tab": (f"id: x\n{TASK}vars:\n\ta: 1\n", (4, 1), "tab"),
    "repeated key": (f"id: x\nid: y\n{TASK}", (2, 1), "repeated"),
    "python tag": (f"id: !!python/object/apply:os.system ['touch pwned']\n{TASK}", (1, 5), "tags are not allowed"),
    "alias": (f"id: &me x\ndescription: *me\n{TASK}", (1, 5), "not allowed"),
    "not UTF-8": (b"id: x\ndescription: caf\xe9\n", (2, 17), "UTF-8"),
    "UTF-16": ("id: x\n".encode("utf-16"), (1, 1), "UTF-8"),
    "NUL": (f"id: x\x00\n{TASK}", (1, 6), "U+0000"),
    "two documents": (f"id: x\n{TASK}---\nid: y\n", (3, 1), "one document"),
    "unknown key": (f"id: x\nsecrts: [A]\n{TASK}", (2, 1), "did you mean 'secrets'?"),
    "unknown task key": (
        "id: x\ntasks:\n  - id: a\n    type: core/shell.run\n    need: [b]\n    inputs: {script: x}\n",
        (5, 5),
        "did you mean 'needs'?",
    ),
    "unknown input": (
        "id: x\ntasks:\n- {id: a, type: core/shell.run, inputs: {scrpt: x}}\n",
        (3, 42),
        "did you mean 'script'?",
    ),
    "unknown action": ("id: x\ntasks:\n- {id: a, type: core/shel.run}\n", (3, 17), "did you mean 'core/shell.run'?"),
    "unknown need": (
        (
            "id: x\ntasks:\n- {id: fetch, type: core/console.log, inputs: {message: x}}\n"
            "- {id: b, needs: [fecth], type: core/console.log, inputs: {message: x}}\n"
        ),
        (4, 19),
        "did you mean 'fetch'?",
    ),
    "same id twice": (
        (
            "id: x\ntasks:\n- {id: a, type: core/console.log, inputs: {message: x}}\n"
            "- {id: a, type: core/console.log, inputs: {message: y}}\n"
        ),
        (4, 8),
        "a",
    ),
    "cycle": (
        (
            "id: x\ntasks:\n- {id: a, needs: [b], type: core/console.log, inputs: {message: x}}\n"
            "- {id: b, needs: [a], type: core/console.log, inputs: {message: y}}\n"
        ),
        (3, 19),
        "in a circle: a -> b -> a",
    ),
    "needs itself": (
        "id: x\ntasks:\n- {id: a, needs: [a], type: core/console.log, inputs: {message: x}}\n",
        (3, 19),
        "itself",
    ),
    "wrong kind": ("id: x\ntimeout: [1]\n" + TASK, (2, 10), "timeout"),
    "the engine's own variable": (
        f"id: x\nsecrets: [AUTOKESTRA_SECRET_KEY]\n{TASK}",
        (2, 11),
        "AUTOKESTRA_SECRET_KEY",
    ),
    "name of a secret with a blank": (
        f"id: x\nsecrets: ['MY KEY']\n{TASK}",
        (2, 11),
        "invalid secret name: it has a space in it",
    ),
    "bad template": (
        'id: x\ntasks:\n- {id: a, type: core/console.log, inputs: {message: "{{ inputs. }}"}}\n',
        (3, 54),
        "",
    ),
    "call in a template": (
        'id: x\ntasks:\n- {id: a, type: core/console.log, inputs: {message: "{{ inputs.x() }}"}}\n',
        (3, 54),
        "",
    ),
    "template without quotes": (
        "id: x\ntasks:\n- id: a\n  type: core/console.log\n  inputs:\n    message: {{ inputs.x }}\n",
        (6, 14),
        "quotes",
    ),
    "template in vars": (f'id: x\nvars: {{a: "{{{{ inputs.x }}}}"}}\n{TASK}', (2, 12), ""),
}


def test_each_wrong_file_is_refused_with_the_place(workflow, home: Path) -> None:
    files = {name: saved(workflow, content, f"{name}.yaml") for name, (content, _, _) in FILES.items()}
    found = problems(workflow, *files.values())
    assert {str(file) for file in files.values()} == {problem[0] for problem in found}
    missed = {}
    for name, (_, place, said) in FILES.items():
        mine = [problem[1:] for problem in found if problem[0] == str(files[name])]
        if not any(place == (line, column) and said in message for line, column, message in mine):
            missed[name] = mine
    assert {} == missed
    assert not home.exists()


@pytest.mark.parametrize("name", ["empty", "python tag", "cycle", "the engine's own variable"])
def test_a_wrong_file_does_not_run(workflow, home: Path, name: str) -> None:
    content, place, said = FILES[name]
    file = saved(workflow, content)
    found = problems(workflow, file, command="run")[0]
    assert (str(file), *place) == tuple(found[:3])
    assert said in found[3]
    assert [file] == list(workflow.user.iterdir())
    assert not home.exists()


def test_a_file_that_is_not_there_or_no_file(workflow, home: Path) -> None:
    folder = workflow.user / "folder.yaml"
    folder.mkdir()
    absent = workflow.user / "foldr.yaml"
    assert [[str(folder), 1, 1, "is a directory | name a workflow file in it"]] == problems(
        workflow, folder, command="run"
    )
    assert [[str(absent), 1, 1, "no such file | did you mean 'folder.yaml'?"]] == problems(
        workflow, absent, command="run"
    )
    assert not home.exists()


@pytest.mark.parametrize("command", ["run", "validate"])
def test_a_file_that_may_not_be_read(workflow, command: str) -> None:
    file = saved(workflow, f"id: x\n{TASK}")
    file.chmod(0)
    found = problems(workflow, file, command=command, code=9, powerless=True)
    assert [[str(file), 1, 1, f"permission denied | allow it with: chmod u+r {file}"]] == found


# name -> (content, what is said about it)
BOMBS = {
    "aliases": (
        "id: x\na: &a [x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(9)),
        "aliases are not allowed",
    ),
    "lists": ("id: x\nvars: " + "[" * 10_000 + "]" * 10_000 + f"\n{TASK}", "nested deeper"),
    "block mappings": ("id: x\nvars:\n" + "".join(" " * n + "a:\n" for n in range(1, 1500)) + TASK, "nested deeper"),
    "flow mappings": ("id: x\nvars: " + "{a: " * 10_000 + "}" * 10_000 + f"\n{TASK}", "nested deeper"),
    "size": ("id: x\ndescription: " + "x" * (3 << 20) + f"\n{TASK}", "larger than"),
    "complex keys": ("? " * 10_000, ""),
    "digits": ("id: " + "9" * 100_000 + f"\n{TASK}", "number is too long"),
    "templates": (
        "id: x\ntasks: [{id: a, type: core/console.log, inputs: {message: '" + "{{ (" * 20_000 + "'}}]",
        "",
    ),
}


def test_bombs_are_refused_in_bounded_time(workflow) -> None:
    files = {name: saved(workflow, content, f"{name}.yaml") for name, (content, _) in BOMBS.items()}
    started = time.monotonic()
    found = problems(workflow, *files.values())
    assert time.monotonic() - started < 30
    for name, (_, said) in BOMBS.items():
        assert any(str(files[name]) == file and said in message for file, _, _, message in found), name
    assert all(len(message) < 500 for *_, message in found)


def test_all_problems_of_all_files_are_reported_at_once(workflow) -> None:
    first = saved(
        workflow,
        """\
        id: first
        secrts: [A]
        tasks:
          - id: a
            type: core/shell.run
            needs: [bb]
            env: {T: "{{ secrets.API_TOKEN }}"}
            inputs: {script: "echo {{ inputs.nothing }}"}
          - id: b
            type: core/shel.run
            timeout: soon
        """,
        "first.yaml",
    )
    second = saved(workflow, "id: second\ntasks: []\n", "second.yaml")
    good = saved(workflow, f"id: third\n{TASK}", "third.yaml")
    found = problems(workflow, first, good, second)
    assert [(str(first), line) for line in (2, 6, 7, 8, 10, 11)] == [
        (file, line) for file, line, *_ in found if file == str(first)
    ]
    assert any(file == str(second) for file, *_ in found)
    assert {str(first), str(second)} == {file for file, *_ in found}

    done = workflow("validate", first, good, second, "--json")
    assert (3, "") == (done.returncode, done.stderr)
    objects = json.loads(done.stdout)
    assert [tuple(item[:3]) for item in found] == [(item["file"], item["line"], item["column"]) for item in objects]
    assert {"error"} == {item["severity"] for item in objects}
    assert "tasks[0].env.T" in [item["trail"] for item in objects]


def test_valid_files_are_said_to_be_valid(workflow, home: Path) -> None:
    file = saved(workflow, f"id: x\n{TASK}")
    done = workflow("validate", file)
    assert (0, "", f"{file}: workflow 'x' is valid\n") == (done.returncode, done.stdout, done.stderr)
    assert [] == json.loads(workflow.ok("validate", file, "--json"))
    assert not home.exists()


def test_a_secret_inside_a_shell_script_is_a_warning_with_the_line_to_paste(workflow) -> None:
    file = saved(
        workflow,
        """\
        id: x
        secrets: [API_TOKEN]
        tasks:
          - id: a
            type: core/shell.run
            inputs:
              script: |
                true
                curl -H "X: {{ secrets.API_TOKEN }}" localhost
        """,
    )
    done = workflow("validate", file)
    assert done.returncode == 0
    warning = next(line for line in done.stderr.splitlines() if line.startswith("warning: "))
    assert warning.startswith(f"warning: {file}:9:")
    assert 'env: {API_TOKEN: "{{ secrets.API_TOKEN }}"}' in done.stderr


DOUBTFUL = """\
id: doubtful
vars:
  db_password: hunter2-canary
tasks:
  - {id: a, type: core/console.log, inputs: {message: "{{ vars.db_password | length }}"}}
"""


def test_warnings_are_said_by_validate_and_run_and_fail_only_when_strict(workflow) -> None:
    file = saved(workflow, DOUBTFUL)
    said = f"warning: {file}:3:16: this looks like a credential in clear (vars.db_password)\n"
    assert said in workflow("validate", file).stderr
    assert 0 == workflow("validate", file).returncode
    strict = workflow("validate", file, "--strict")
    assert (3, "") == (strict.returncode, strict.stdout)
    assert said in strict.stderr
    done = workflow("run", file)
    assert 0 == done.returncode
    assert said in done.stderr
    assert "" == workflow("run", file, "--quiet").stderr
    assert "canary" not in strict.stderr + done.stderr
    assert 0 == workflow("validate", saved(workflow, f"id: x\n{TASK}"), "--strict").returncode


def test_positions_and_rules_are_in_the_json(workflow) -> None:
    file = saved(workflow, DOUBTFUL)
    assert [
        {
            "file": str(file),
            "line": 3,
            "column": 16,
            "end_line": 3,
            "end_column": 30,
            "trail": "vars.db_password",
            "severity": "warning",
            "rule": "plain-credential",
            "message": "this looks like a credential in clear",
            "hint": "store it with: workflow secrets set DB_PASSWORD, declare it, and write {{ secrets.DB_PASSWORD }} "
            "here; if it is no secret: # autokestra: allow plain-credential",
        }
    ] == json.loads(workflow.ok("validate", file, "--json"))
