"""Whether what a workflow's templates name is there: declared, listed, and upstream of the task that wants it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from autokestra.workflow import slips
from autokestra.workflow.graph import Ancestry
from autokestra.workflow.problems import nearest
from autokestra_secrets import Reference, TemplateError, check_template

ROOTS: Final = ("secrets", "inputs", "vars", "tasks", "env", "execution")
ITEM_ROOTS: Final = ("item", "index")  # of a task with forEach
DECISION_ROOTS: Final = ("inputs", "vars", "tasks", "env", "execution")
EXECUTION_NAMES: Final = ("id",)
FAILURE_NAMES: Final = ("id", "failed")  # of a task in onFailure
TASK_NAMES: Final = ("output",)
SCRIPTS: Final = frozenset({("core/shell.run", "script")})  # inputs whose text a shell reads as a program

_TRIES: Final = 20  # wrong expressions, or secrets in a script, of one text; the rest is reported the next time


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A wrong or doubtful expression of one text; `offset` is that of its `{{`."""

    offset: int
    message: str
    hint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What the templates of a workflow may name."""

    workflow: str
    secrets: Sequence[str] = ()
    inputs: Sequence[str] = ()
    vars: Sequence[str] = ()
    env: Sequence[str] = ()
    needs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    ancestry: Ancestry
    after_all: frozenset[str] = frozenset()  # tasks of onFailure


def check_text(
    text: str, *, task: str | None, names: Names, roots: Sequence[str] = ROOTS, seen: list[Reference] | None = None
) -> Iterator[Finding]:
    """Yield what is wrong with the expressions of one text in `task` (None where its id is not known).

    All that it refers to is added to `seen`.
    """
    for _ in range(_TRIES):
        try:
            references = check_template(text, roots=roots)
        except TemplateError as error:
            hint = slips.OTHER_TEMPLATE_HINT if slips.is_other_template(text, error.offset) else error.hint
            yield Finding(offset=error.offset, message=error.message, hint=hint)
            # The rest of the text deserves its turn: without its braces, the bad expression is text.
            text = f"{text[: error.offset]}  {text[error.offset + 2 :]}"
        else:
            break
    else:
        return
    if seen is not None:
        seen += references
    for reference in references:
        if finding := _check(reference, task, names):
            yield finding


def lint_script(text: str) -> Iterator[Finding]:
    """Yield a warning for each secret that a shell script holds as text."""
    try:
        references = check_template(text, roots=ROOTS + ITEM_ROOTS)
    except TemplateError:
        return  # reported by `check_text`
    first = {each.name: each.offset for each in reversed(references) if each.root == "secrets"}
    for name, offset in list(first.items())[-_TRIES:]:
        variable = variable_for(name)
        yield Finding(
            offset=offset,
            message=f"secret '{name}' becomes part of the script, where a quote or '$(' in it would run",
            hint=f'give it to the task as a variable: env: {{{variable}: "{{{{ secrets.{name} }}}}"}} '
            f'and write "${variable}" in the script',
        )


def variable_for(secret: str) -> str:
    """Return the name of an environment variable for a secret: `smtp-password` goes into `SMTP_PASSWORD`."""
    name = re.sub(r"[^A-Za-z0-9_]", "_", secret)
    name = name if name.isupper() else name.upper()
    return f"_{name}" if name[:1].isdigit() else name


def _check(reference: Reference, task: str | None, names: Names) -> Finding | None:
    name = reference.name
    known: Sequence[str]
    match reference.root:
        case "secrets":
            known = tuple(each for each in names.secrets if re.fullmatch(r"[\w-]+", each))  # `NAME=VALUE` is not shown
            message = f"secret '{name}' is not declared in workflow '{names.workflow}'"
            remedy = f"add it to the workflow: secrets: [{name}]"
        case "inputs":
            known = names.inputs
            message, remedy = f"unknown input '{name}'", f"declare it: inputs: {{{name}: {{type: string}}}}"
        case "vars":
            known = names.vars
            message, remedy = f"unknown name '{name}' in vars", f"add it: vars: {{{name}: …}}"
        case "env":
            known = names.env
            message, remedy = f"variable '{name}' is not in passEnv", f"add it: passEnv: [{name}]"
        case "execution":
            known = FAILURE_NAMES if task in names.after_all else EXECUTION_NAMES
            message, remedy = f"execution has no '{name}'", f"it has: {', '.join(known)}"
        case "item" | "index":
            return None
        case _:
            return _check_task(reference, task, names)
    return None if name in known else _missing(reference, message, name, known, remedy)


def _check_task(reference: Reference, task: str | None, names: Names) -> Finding | None:
    wanted, keys = reference.name, reference.keys
    if wanted not in names.needs:
        others = [other for other in names.needs if other != task]
        return _missing(reference, f"unknown task '{wanted}'", wanted, others, None)
    if wanted == task:
        return Finding(
            offset=reference.offset,
            message=f"task '{task}' refers to its own output",
            hint="a task can use what the tasks in its needs have made",
        )
    if keys and keys[0] not in TASK_NAMES:
        return _missing(reference, f"task '{wanted}' has no '{keys[0]}'", str(keys[0]), TASK_NAMES, "it has: output")
    if task in names.after_all and wanted not in names.after_all:
        return None  # all of those have ended
    if task is not None and names.ancestry.known(task) and not names.ancestry.is_upstream(wanted, task):
        return Finding(
            offset=reference.offset,
            message=f"task '{wanted}' may not have ended when '{task}' starts",
            hint=f"add it to this task: needs: [{', '.join([*names.needs[task], wanted])}]",
        )
    return None


def _missing(reference: Reference, message: str, name: str, known: Sequence[str], remedy: str | None) -> Finding:
    near = nearest(name, known)
    hint = f"{near} if not, {remedy}" if near and remedy else near or remedy
    return Finding(offset=reference.offset, message=message, hint=hint)
