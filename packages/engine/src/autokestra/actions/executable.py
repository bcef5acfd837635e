"""Actions of a plugin that is any executable with a `plugin.yaml` beside it.

It is started with the action's name as its last argument, finds one JSON object on standard input, prints its output
as JSON on standard output (nothing printed is null), and logs on standard error.
"""

import json
import os
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from autokestra.actions import process
from autokestra.actions.child import Child, find_program
from autokestra.actions.plugin import PluginInvalidError
from autokestra.actions.protocol import MAX_RESULT_BYTES, ActionContext, ActionError, read_json
from autokestra.actions.schema import SchemaError, model_of, type_of
from autokestra.workflow.document import Fault, decode, read
from autokestra.workflow.wording import findings

MANIFEST: Final = "plugin.yaml"
PLUGIN_PATTERN: Final = r"^[a-z0-9][a-z0-9_-]*/[a-z0-9][a-z0-9_-]*$"
ActionName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ManifestAction(_Part):
    """One action of a manifest."""

    description: str = Field(default="", description="What it does.")
    inputs: dict[str, Any] = Field(default_factory=dict, description="JSON schema of its inputs, an object.")
    output: dict[str, Any] | None = Field(default=None, description="JSON schema of its output.")


class Manifest(_Part):
    """The contents of a `plugin.yaml`."""

    name: Annotated[str, Field(pattern=PLUGIN_PATTERN)] = Field(description="namespace/plugin")
    version: str = Field(default="", description="Version of the plugin.")
    description: str = Field(default="", description="What it is for.")
    command: Annotated[list[str], Field(min_length=1)] = Field(
        description="Program and arguments; a program with a slash is relative to the folder."
    )
    actions: Annotated[dict[ActionName, ManifestAction], Field(min_length=1)] = Field(description="By name.")


class ExecutableAction:
    """One action of an executable plugin."""

    def __init__(self, folder: Path, manifest: Manifest, name: str) -> None:
        self._folder = folder
        self._command = manifest.command
        self._name = name
        self.type = f"{manifest.name}.{name}"
        self.source = str(folder)
        declared = manifest.actions[name]
        self.description = declared.description
        self.schema = {"type": "object", **declared.inputs}
        self.output_schema = declared.output
        self.input_model = model_of(self.schema)
        self._output: TypeAdapter[Any] | None = None
        if declared.output is not None:
            self._output = TypeAdapter(type_of(declared.output))

    def run(self, inputs: BaseModel, context: ActionContext) -> JsonValue:
        """Run the executable. Raises ActionError when it exits with a code other than 0 or prints no JSON."""
        order = {
            "action": self._name,
            "inputs": inputs.model_dump(mode="json", by_alias=True, exclude_unset=True),
            "workdir": str(context.workdir),
            "execution": context.execution_id,
            "task": context.task_id,
            "attempt": context.attempt,
        }
        ending = process.run(
            Child(
                program=self._program(context),
                arguments=(*self._command[1:], self._name),
                directory=context.workdir,
                stdin=json.dumps(order).encode(),
                result_limit=MAX_RESULT_BYTES,
                result_is_stdout=True,
            ),
            context,
        )
        if (failure := ending.failure()) is not None:
            message, reason, code = failure
            raise ActionError(message, reason=reason, exit_code=code)
        if len(ending.result) > MAX_RESULT_BYTES:
            raise ActionError(f"the output is larger than {MAX_RESULT_BYTES:,} bytes", reason="too-large")
        output = read_json(ending.result, name="what the plugin printed") if ending.result.strip() else None
        if self._output is not None:
            try:
                self._output.validate_python(output)
            except ValidationError as error:
                raise ActionError(f"the output does not fit the schema: {_where(error)}", reason="bad-output") from None
        return output

    def _program(self, context: ActionContext) -> str:
        name = self._command[0]
        if "/" in name:
            found = str(self._folder / name)
            if os.path.isdir(found):  # noqa: PTH112  # a text in, a text out
                raise ActionError(f"'{found}' is a directory, and no program", reason="start")
            if os.access(found, os.X_OK):
                return found
            raise ActionError(f"'{found}' is no program; make it one with: chmod +x {found}", reason="start")
        program = find_program(name, context.environ)
        if program is None:
            raise ActionError(f"no '{name}' on the PATH", reason="start")
        return program


def read_plugin(folder: Path) -> list[ExecutableAction]:
    """Return the actions of the plugin in `folder`. Raises PluginInvalidError with file, line and column."""
    path = folder / MANIFEST
    try:
        text = decode(path.read_bytes())
    except OSError as error:
        raise PluginInvalidError(f"{path}: {(error.strerror or 'cannot be read').lower()}") from None
    document = text if isinstance(text, Fault) else read(text)
    fault = document if isinstance(document, Fault) else next(iter(document.faults), None)
    if fault is not None:
        raise PluginInvalidError(f"{path}:{fault.line}:{fault.column}: {fault.message}", hint=fault.hint)
    assert not isinstance(document, Fault)
    try:
        manifest = Manifest.model_validate(document.data)
    except ValidationError as error:
        found = next(findings(error, document.data, Manifest))
        line, column = document.place(found.path, key=found.at_key)
        raise PluginInvalidError(f"{path}:{line}:{column}: {found.message}", hint=found.hint) from None
    actions = []
    for name in manifest.actions:
        try:
            actions.append(ExecutableAction(folder, manifest, name))
        except SchemaError as error:
            line, column = document.place(("actions", name))
            raise PluginInvalidError(f"{path}:{line}:{column}: action '{name}': {error}") from None
    return actions


def _where(error: ValidationError) -> str:
    found = error.errors(include_input=False, include_url=False, include_context=False)[0]
    return f"{'.'.join(map(str, found['loc'])) or 'output'}: {found['msg']}"
