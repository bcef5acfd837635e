"""What people write who come from other tools, and what it is here: the hints for keys and values that do not fit.

A hint never repeats what stands in the file, except for the names of keys that are listed here: people paste secrets
into the wrong place.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from autokestra.workflow.problems import Steps

_SCHEDULE: Final = (
    "a workflow is started from outside, by cron or a systemd timer that calls: workflow run FILE "
    "('Every night' in the README)"
)
_WORKFLOW_KEYS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("cron", "on", "schedule", "schedules", "trigger", "triggers"), _SCHEDULE),
    **dict.fromkeys(("jobs", "stages", "steps"), "the steps stand in a list: tasks: [{id: …, type: …}]"),
    **dict.fromkeys(
        ("env", "environment"), "env belongs to a task; plain data for all tasks stands in vars, inherited in passEnv"
    ),
    **dict.fromkeys(("params", "parameters"), "declare them as: inputs: {NAME: {type: string}}"),
    **dict.fromkeys(("variables", "values"), "plain data stands in vars: {NAME: value}"),
    **dict.fromkeys(("name", "title"), "the name of a workflow is its id; words about it are its description"),
    **dict.fromkeys(("on_failure", "onError", "errors"), "tasks that run after a failure stand in: onFailure"),
    "namespace": "a workflow has an id and no namespace",
    "retry": "retry belongs to a task",
    "needs": "needs belongs to a task",
}
_TASK_KEYS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("cron", "on", "schedule", "trigger", "triggers"), _SCHEDULE),
    **dict.fromkeys(
        ("after", "dependencies", "depends_on", "dependsOn", "depends", "requires", "upstream"),
        "write it as: needs: [ID of another task]",
    ),
    **dict.fromkeys(("condition", "if", "runIf", "only"), 'write it as: when: "{{ … }}"'),
    **dict.fromkeys(
        ("each", "foreach", "items", "loop", "matrix", "values", "with_items"), "write it as: forEach: [a, b]"
    ),
    **dict.fromkeys(("attempts", "maxAttempts", "retries"), "write it as: retry: {max: 3}"),
    **dict.fromkeys(("name", "title"), "the name of a task is its id; words about it are its description"),
    **dict.fromkeys(("action", "plugin", "uses"), "the action is: type, such as core/shell.run"),
    **dict.fromkeys(("args", "arguments", "params", "parameters", "with"), "what an action takes stands in: inputs"),
    **dict.fromkeys(("environment", "envs", "variables"), "write it as: env: {NAME: value}"),
    **dict.fromkeys(
        ("allowFailure", "allow_failure", "allowedToFail", "continue-on-error", "ignore_errors", "ignoreErrors"),
        "write it as: continueOnError: true",
    ),
    **dict.fromkeys(
        ("bash", "cmd", "command", "commands", "run", "shell"),
        "write it as: type: core/shell.run and inputs: {script: …}",
    ),
    "secrets": "secrets are declared once for the workflow, and used as {{ secrets.NAME }}",
    "outputs": "an output needs no declaration; other tasks use it as {{ tasks.ID.output }}",
}
_SHORT_FORMS: Final[Mapping[str, tuple[type, str]]] = {  # key -> what people write for it, and how it is written
    "retry": (int, "write it as: retry: {max: 3}"),
    "needs": (str, "write it as: needs: [ID]"),
    "secrets": (str, "write it as: secrets: [NAME]"),
    "passEnv": (str, "write it as: passEnv: [NAME]"),
    "env": (list, "write it as: env: {NAME: value}"),
    "tasks": (dict, "the steps stand in a list: tasks: [{id: …, type: …}]"),
    "inputs": (list, "write it as: inputs: {NAME: value}"),
}
_OTHER_TEMPLATE: Final = re.compile(
    r"\{\{-?\s*(?:\.|\$|(?:range|with|if|else|end|json|printf|println|template|define|block)\b)"
)


def hint(path: Steps, value: object, *, is_unknown: bool, takes: Mapping[str, Any]) -> str | None:
    """Return what to write for what stands at `path` and does not fit; None where nothing is known about it.

    `is_unknown` says that its key is none of ours; `takes` are the inputs of the task's action, by name.
    """
    key = path[-1] if path else None
    if not isinstance(key, str) or len(path) not in (1, 3):
        return None
    if is_unknown:
        if len(path) == 1:
            return _WORKFLOW_KEYS.get(key)
        if key in takes:
            return f"what an action takes stands in its inputs: inputs: {{{key}: …}}"
        return _TASK_KEYS.get(key)
    if key in ("when", "forEach") and isinstance(value, str) and "{{" not in value:
        return f'put the expression in quotes and braces: {key}: "{{{{ … }}}}"'
    kind, form = _SHORT_FORMS.get(key, (None, None))
    return form if kind is not None and isinstance(value, kind) and not isinstance(value, bool) else None


def is_other_template(text: str, offset: int) -> bool:
    """Whether the braces at `offset` begin what Docker, Helm and other programs in Go understand, and not we."""
    return _OTHER_TEMPLATE.match(text, offset) is not None


OTHER_TEMPLATE_HINT: Final = (
    "if that is for another program, such as docker, write its opening braces twice: '{{{{.Name}}' becomes '{{.Name}}'"
)
