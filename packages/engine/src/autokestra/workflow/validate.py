"""All checks of a workflow that need no run, in one pass: structure, names, graph, actions and templates.

What is wrong in one task does not hide what is wrong in another: the checks of meaning look at the plain data, so they
go on where the structure is broken.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from autokestra.workflow import lints, places, references, slips, wording
from autokestra.workflow.arguments import KINDS, fits
from autokestra.workflow.document import Document
from autokestra.workflow.graph import Ancestry, cycles
from autokestra.workflow.model import Task, Workflow, is_expression
from autokestra.workflow.problems import Problem, Steps, action_hint, nearest, trail_of
from autokestra_secrets import InvalidSecretNameError, Reference, secret_name

__all__ = ["Catalog", "Problem", "validate"]

Catalog = Mapping[str, type[BaseModel]]

PROBLEM_LIMIT: Final = 100  # a reader needs no more, and each may cost a search for the nearest name
RESERVED_PREFIX: Final = "AUTOKESTRA_"  # the engine's own variables, the master key among them
TASK_LISTS: Final = ("tasks", "onFailure")
TEMPLATES_IN: Final = ("inputs", "env")  # the keys of a task in which templates may stand
DECISIONS: Final = ("when", "forEach")  # and those in which they may name no secret, since nothing there is masked

_CYCLE_SHOWN: Final = 10  # tasks of a cycle that a message names
_BROKEN_TASK: Final = Task(id="broken", type="broken")  # stands for one whose problems are reported already


def validate(document: Document, *, file: str, catalog: Catalog) -> tuple[Workflow | None, tuple[Problem, ...]]:
    """Return the workflow, or None where there is an error, and all problems in the order of the file.

    `catalog` has the input model of each action by its type; `file` is how problems name the file.
    """
    check = _Validation(document, file, catalog)
    more: list[Problem] = []
    try:
        workflow = check.run()
    except _EnoughError:
        workflow, more = None, [check.problem((), f"these are {PROBLEM_LIMIT} problems, and there may be more")]
    problems = [*sorted(check.problems, key=lambda each: (each.line, each.column)), *more]
    return (None if any(each.severity == "error" for each in problems) else workflow), tuple(problems)


class _EnoughError(Exception):
    """As many problems as anybody reads."""


class _Validation:
    """One pass over one document."""

    def __init__(self, document: Document, file: str, catalog: Catalog) -> None:
        self.problems: list[Problem] = []
        self._errors = 0
        self._uses: list[lints.Use] = []
        self._document = document
        self._file = file
        self._catalog = catalog
        self._allowances = lints.Allowances(document.text)
        self._data: dict[str, Any] = document.data if isinstance(document.data, dict) else {}
        # Tasks as far as they are mappings, with their paths.
        self._tasks: list[tuple[Steps, dict[str, Any]]] = [
            ((key, number), task)
            for key in TASK_LISTS
            for number, task in enumerate(_list(self._data, key))
            if isinstance(task, dict)
        ]
        self._needs: dict[str, list[str]] = {}
        self._place: dict[str, Steps] = {}
        for path, task in self._tasks:
            if isinstance(name := task.get("id"), str) and name not in self._needs:
                self._needs[name], self._place[name] = _texts(task, "needs"), path
        self._after_all = frozenset(name for name, path in self._place.items() if path[0] == "onFailure")

    def run(self) -> Workflow | None:
        """Check everything and return the workflow if its structure is sound."""
        for fault in self._document.faults:
            self._add(
                Problem(
                    file=self._file,
                    line=fault.line,
                    column=fault.column,
                    trail=trail_of(fault.path),
                    message=fault.message,
                    hint=fault.hint,
                )
            )
        if not self._document.complete:
            return None
        if self._document.data is None:
            self._report((), "the file is empty", hint="a first workflow is written by: workflow init")
            return None
        if not isinstance(self._document.data, dict):
            self._report((), f"expected a mapping, got {wording.kind_of(self._document.data)}")
            return None
        workflow = self._structure()
        self._names()
        self._ids()
        self._graph()
        self._actions()
        if "{{" in self._document.text:
            self._templates()
        self._lints()
        return workflow

    def problem(
        self,
        path: Steps,
        message: str,
        *,
        hint: str | None = None,
        at_key: bool = False,
        place: tuple[int, int] | None = None,
        end: tuple[int, int] | None = None,
        rule: str | None = None,
    ) -> Problem:
        """Return a problem at a path of the document; what has a rule is a warning."""
        line, column = place or self._document.place(path, key=at_key)
        if place is None:
            end = places.end_of(self._document, path, key=at_key)
        return Problem(
            file=self._file,
            line=line,
            column=column,
            trail=trail_of(path),
            message=message,
            hint=hint,
            severity="warning" if rule else "error",
            end=end,
            rule=rule,
        )

    def _report(self, path: Steps, message: str, **details: Any) -> None:
        # What was refused while reading is None in the data; that it does not fit is no second problem.
        if details.get("at_key") or not any(path[:length] in self._document.broken for length in range(len(path) + 1)):
            self._add(self.problem(path, message, **details))

    def _add(self, problem: Problem) -> None:
        self.problems.append(problem)
        self._errors += problem.severity == "error"
        if self._errors >= PROBLEM_LIMIT:
            raise _EnoughError

    def _structure(self) -> Workflow | None:
        """Check the structure task by task, so that a hundred thousand broken ones cost no more than a hundred."""
        data = dict(self._data)
        for key in TASK_LISTS:
            if isinstance(self._data.get(key), list):
                data[key] = [self._task((key, number), task) for number, task in enumerate(self._data[key])]
        try:
            return Workflow.model_validate(data)
        except ValidationError as error:
            self._findings(error, (), data, Workflow)
            return None

    def _task(self, path: Steps, data: object) -> Task:
        try:
            return Task.model_validate(data)
        except ValidationError as error:
            self._findings(error, path, data, Task)
            return _BROKEN_TASK

    def _findings(self, error: ValidationError, path: Steps, value: object, model: type[BaseModel]) -> None:
        for each in wording.findings(error, value, model):
            place = (*path, *each.path)
            hint = self._slip(place, wording.at(value, each.path), is_unknown=each.at_key) or each.hint
            self._report(place, each.message, hint=hint, at_key=each.at_key)

    def _slip(self, path: Steps, value: object, *, is_unknown: bool) -> str | None:
        """Return the hint for what is written otherwise in other tools."""
        task = wording.at(self._data, path[:2]) if len(path) == 3 and path[0] in TASK_LISTS else {}
        action = self._catalog.get(task["type"]) if isinstance(task.get("type"), str) else None
        takes = wording.known_keys(action) if action else {}
        return slips.hint(path, value, is_unknown=is_unknown, takes=takes)

    def _names(self) -> None:
        """Names of secrets, of inherited variables and of variables, and the defaults of inputs."""
        for number, name in enumerate(_list(self._data, "secrets")):
            path = ("secrets", number)
            if not isinstance(name, str) or "{{" in name:
                continue  # reported as a wrong type, or as a template
            try:
                secret_name(name)
            except InvalidSecretNameError as error:
                self._report(path, error.message, hint=error.hint)
                continue
            if name.upper().startswith(RESERVED_PREFIX):
                self._reserved(path, name, "no secret of a workflow")
        for number, name in enumerate(_list(self._data, "passEnv")):
            if isinstance(name, str) and name.upper().startswith(RESERVED_PREFIX):
                self._reserved(("passEnv", number), name, "never inherited by a task")
        for where, task in self._tasks:
            for name in _dict(task, "env"):
                if name.upper().startswith(RESERVED_PREFIX):
                    self._reserved((*where, "env", name), name, "never set for a task", at_key=True)
        for name, spec in _dict(self._data, "inputs").items():
            kind = spec.get("type", "string") if isinstance(spec, dict) else None
            if isinstance(kind, str) and kind in KINDS and not fits(kind, spec.get("default")):
                got = wording.kind_of(spec["default"])
                fitting = next(each for each in KINDS if fits(each, spec["default"]))
                self._report(
                    ("inputs", name, "default"),
                    f"expected {KINDS[kind]} as default, got {got}",
                    hint=f"its type would be: {fitting}",
                )

    def _reserved(self, path: Steps, name: str, what: str, *, at_key: bool = False) -> None:
        self._report(
            path,
            f"'{name}' is {what}",
            hint=f"names that begin with {RESERVED_PREFIX} belong to the engine",
            at_key=at_key,
        )

    def _ids(self) -> None:
        first: dict[str, Steps] = {}
        for where, task in self._tasks:
            task_id, path = task.get("id"), (*where, "id")
            if not isinstance(task_id, str):
                continue
            if task_id in first:
                line = self._document.place(first[task_id])[0]
                self._report(path, f"task id '{task_id}' is repeated", hint=f"it stands in line {line} already")
            first.setdefault(task_id, path)

    def _graph(self) -> None:
        for where, task in self._tasks:
            if "maxParallel" in task and "forEach" not in task:
                self._report(
                    (*where, "maxParallel"),
                    "'maxParallel' limits the items of a task, and this one has no 'forEach'",
                    hint="tasks at once are limited by: workflow run --max-parallel N",
                    at_key=True,
                )
            for key in DECISIONS:
                text = task.get(key)
                if isinstance(text, str) and "{{" in text and not is_expression(text):
                    self._report(
                        (*where, key),
                        "expected one expression and nothing beside it",
                        hint="put all of it between the braces, as in {{ inputs.day == 'monday' }}",
                    )
            for index, need in enumerate(_list(task, "needs")):
                if isinstance(need, str) and "{{" not in need:
                    self._need((*where, "needs", index), need, task)
        for cycle in cycles(self._needs):
            where, need = self._place[cycle[0]], cycle[1 % len(cycle)]
            wanted = self._data[str(where[0])][where[1]]["needs"]
            self._report((*where, "needs", wanted.index(need)), _cycle_message(cycle), hint="remove one of these needs")

    def _need(self, path: Steps, need: str, task: dict[str, Any]) -> None:
        is_after_all = path[0] == "onFailure"
        if need not in self._needs:
            others = [other for other in self._needs if other != task.get("id")]
            self._report(path, f"unknown task '{need}'", hint=nearest(need, others))
        elif is_after_all != (need in self._after_all):
            self._report(
                path,
                "a task in onFailure runs after all others, and needs none of them"
                if is_after_all
                else f"task '{need}' is in onFailure, which runs after all others",
                hint="remove it from the needs",
            )

    def _actions(self) -> None:
        for path, task in self._tasks:
            kind, inputs = task.get("type"), task.get("inputs", {})
            if not isinstance(kind, str):
                continue
            model = self._catalog.get(kind)
            if model is None:
                if "{{" not in kind:
                    hint = action_hint(kind, self._catalog)
                    self._report((*path, "type"), f"unknown action '{kind}'", hint=hint)
            elif isinstance(inputs, dict):
                try:
                    model.model_validate(inputs)
                except ValidationError as error:
                    self._findings(error, (*path, "inputs"), inputs, model)

    def _templates(self) -> None:
        names = references.Names(
            workflow=str(self._data.get("id")),
            secrets=_texts(self._data, "secrets"),
            inputs=list(_dict(self._data, "inputs")),
            vars=list(_dict(self._data, "vars")),
            env=_texts(self._data, "passEnv"),
            needs=self._needs,
            ancestry=Ancestry(self._needs),
            after_all=self._after_all,
        )
        for path in _template_keys(self._data, ()):
            self._report(path, "templates are not allowed in keys", hint="only values are resolved", at_key=True)
        for path, text in wording.texts(self._data, ()):
            if "{{" not in text:
                continue
            if path[0] in TASK_LISTS and (
                (len(path) > 3 and path[2] in TEMPLATES_IN) or (len(path) > 2 and path[2] in DECISIONS)
            ):
                self._template(path, text, names)
            else:
                self._report(
                    path,
                    "a template is not allowed here",
                    hint="templates stand in the inputs, the env, the when and the forEach of a task",
                    **self._braces(path, text, text.find("{{")),
                )

    def _template(self, path: Steps, text: str, names: references.Names) -> None:
        task = self._data[str(path[0])][path[1]]
        task_id = task.get("id") if isinstance(task.get("id"), str) else None
        is_script = path[2] == "inputs" and any(
            task.get("type") == kind and path[3:] == (key,) for kind, key in references.SCRIPTS
        )
        lint = references.lint_script(text) if is_script else ()
        seen: list[Reference] = []
        roots: tuple[str, ...] = references.DECISION_ROOTS
        if path[2] not in DECISIONS:
            roots = references.ROOTS + (references.ITEM_ROOTS if "forEach" in task else ())
        for each in references.check_text(text, task=task_id, names=names, roots=roots, seen=seen):
            self._report(path, each.message, hint=each.hint, **self._braces(path, text, each.offset))
        self._uses.append(lints.Use(path=path, text=text, references=tuple(seen)))
        for each in lint:
            self._lint(
                lints.Lint(
                    rule=lints.SECRET_IN_SCRIPT,
                    message=each.message,
                    hint=each.hint or "",
                    path=path,
                    offset=each.offset,
                    text=text,
                )
            )

    def _braces(self, path: Steps, text: str, offset: int) -> dict[str, Any]:
        place = self._document.place_of_braces(path, text, offset)
        return {"place": place, "end": places.end_of_braces(self._document, path, place)}

    def _lints(self) -> None:
        found = [*lints.in_clear(self._document), *lints.in_addresses(self._data, self._uses)]
        found += lints.after_dollars(self._uses)
        if not self._errors:  # what is wrong may be the use of what seems to have none
            found += lints.unused(self._data, self._uses)
        for lint in [*found, *self._allowances.unknown()][:PROBLEM_LIMIT]:
            self._lint(lint)

    def _lint(self, lint: lints.Lint) -> None:
        where: dict[str, Any] = {"at_key": lint.at_key}
        if lint.at is not None:
            where["place"] = places.place_of(self._document, lint.at)
        elif lint.offset is not None:
            where |= self._braces(lint.path, lint.text, lint.offset)
        problem = self.problem(lint.path, lint.message, hint=lint.hint, rule=lint.rule, **where)
        lines = problem.line, self._document.place(lint.path, key=True)[0]
        if not self._allowances.allow(lint.rule, lines):
            self._add(problem)


def _cycle_message(cycle: list[str]) -> str:
    if len(cycle) == 1:
        return f"task '{cycle[0]}' needs itself"
    shown = cycle if len(cycle) <= _CYCLE_SHOWN else [*cycle[: _CYCLE_SHOWN - 2], "…", cycle[-1]]
    count = "" if shown is cycle else f" ({len(cycle):,} tasks)"
    return f"tasks need each other in a circle: {' -> '.join([*shown, cycle[0]])}{count}"


def _list(mapping: Mapping[str, Any], key: str) -> list[Any]:
    value = mapping.get(key)
    return value if isinstance(value, list) else []


def _texts(mapping: Mapping[str, Any], key: str) -> list[str]:
    return [item for item in _list(mapping, key) if isinstance(item, str)]


def _dict(mapping: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = mapping.get(key)
    return value if isinstance(value, dict) else {}


def _template_keys(value: object, path: Steps) -> Iterator[Steps]:
    if isinstance(value, dict):
        for key, item in value.items():
            if "{{" in key:
                yield (*path, key)
            yield from _template_keys(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _template_keys(item, (*path, number))
