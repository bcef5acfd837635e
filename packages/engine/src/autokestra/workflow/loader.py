"""From a file to a checked workflow. The only part of this room that touches the disk."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from autokestra.workflow.document import SIZE_LIMIT, Fault, decode, read
from autokestra.workflow.model import Workflow
from autokestra.workflow.problems import Problem, WorkflowInvalidError, WorkflowPermissionError, nearest_name
from autokestra.workflow.validate import Catalog, validate
from autokestra_secrets import shown_path

__all__ = ["LoadedWorkflow", "WorkflowInvalidError", "WorkflowPermissionError", "load_workflow"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedWorkflow:
    """A valid workflow and where it came from.

    `path` is absolute; `source` is the text of the file and `sha256` the hash of its bytes, in hexadecimal.
    """

    workflow: Workflow
    path: Path
    source: str
    sha256: str
    warnings: tuple[Problem, ...] = ()


def load_workflow(path: Path, *, catalog: Catalog) -> LoadedWorkflow:
    """Read a workflow file and check everything that can be checked without running it.

    Raises WorkflowInvalidError with all problems; WorkflowPermissionError when the file may not be read.
    """
    data = _bytes(path)
    text = decode(data)
    if isinstance(text, Fault):
        problem = Problem(
            file=str(path), line=text.line, column=text.column, trail="", message=text.message, hint=text.hint
        )
        raise WorkflowInvalidError([problem])
    workflow, problems = validate(read(text), file=str(path), catalog=catalog)
    if workflow is None:
        raise WorkflowInvalidError(problems)
    return LoadedWorkflow(
        workflow=workflow,
        path=path.absolute(),  # not resolved: the working directory is that of the link, if it is one
        source=text,
        sha256=hashlib.sha256(data).hexdigest(),
        warnings=problems,
    )


def _bytes(path: Path) -> bytes:
    kind = WorkflowInvalidError
    hint: str | None = None
    try:
        with path.open("rb") as file:
            return file.read(SIZE_LIMIT + 1)
    except FileNotFoundError:
        message = "no such file"
        hint = "stdin is not read: save the workflow to a file" if str(path) == "-" else _nearest_file(path)
    except IsADirectoryError:
        message, hint = "is a directory", "name a workflow file in it"
    except PermissionError:
        message, hint, kind = "permission denied", f"allow it with: chmod u+r {path}", WorkflowPermissionError
    except (OSError, ValueError) as error:
        message = (error.strerror if isinstance(error, OSError) else None) or "cannot be read"
    # A value put in the place of a file, as in `workflow validate x.yaml NAME=VALUE`, is not repeated.
    shown = shown_path(str(path)) if "=" in str(path) or ":/" in str(path) else str(path)
    raise kind([Problem(file=shown, line=1, column=1, trail="", message=message.lower(), hint=hint)])


def _nearest_file(path: Path) -> str | None:
    try:
        # By their stems: the extension that all have in common would make any two names alike.
        names = {each.stem: each.name for each in path.parent.iterdir() if each.suffix in (".yaml", ".yml")}
    except OSError:
        return None
    stem = nearest_name(path.stem, names)
    return f"did you mean '{names[stem]}'?" if stem is not None else None
