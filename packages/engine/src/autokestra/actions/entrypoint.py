"""Actions of a Python plugin: functions that other distributions offer as entry points, run by `host` in a child.

Not even to learn its inputs is a plugin's module imported here: the engine has the master key in its memory.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, JsonValue

from autokestra.actions import process
from autokestra.actions.child import Child, child_environment
from autokestra.actions.isolation import Isolation
from autokestra.actions.plugin import PluginInvalidError
from autokestra.actions.protocol import (
    MAX_RESULT_BYTES,
    ActionContext,
    ActionError,
    InputModel,
    Level,
    Stream,
    check_json,
)
from autokestra.actions.python import output_of
from autokestra.actions.schema import model_of

DESCRIBE_SECONDS: Final = 60.0

# -P: neither the working directory nor that of a script comes first in the search path.
_ARGUMENTS: Final = ("-P", "-m", "autokestra.actions.host")


class PythonAction:
    """One entry point. `target` is `module:function`; `isolate` says under what it describes itself."""

    def __init__(self, type_: str, target: str, source: str, isolate: Callable[[], Isolation]) -> None:
        self.type = type_
        self.source = source
        self._target = target
        self._isolate = isolate

    @cached_property
    def _described(self) -> Mapping[str, Any]:
        context = ActionContext(
            output=_Silence(),
            workdir=Path("/"),
            environ=child_environment(os.environ, (), {}),
            deadline=time.monotonic() + DESCRIBE_SECONDS,
            cancelled=threading.Event(),
            mask=lambda _: None,
            task_id="",
            execution_id="",
            attempt=0,
            isolation=self._isolate(),
        )
        try:
            found = self._ask({"target": self._target}, context)
        except ActionError as error:
            raise PluginInvalidError(f"plugin {self.source} cannot describe '{self.type}': {error}") from None
        assert isinstance(found, dict)
        return found

    @property
    def description(self) -> str:
        """The function's docstring."""
        return str(self._described["description"])

    @property
    def schema(self) -> Mapping[str, JsonValue]:
        """JSON schema of the inputs."""
        found: Mapping[str, JsonValue] = self._described["inputs"]
        return found

    @property
    def output_schema(self) -> Mapping[str, JsonValue] | None:
        """JSON schema of the annotated result."""
        found: Mapping[str, JsonValue] | None = self._described["output"]
        return found

    @cached_property
    def input_model(self) -> InputModel:
        """A model made from the plugin's schema. The rest is checked in the child, by the plugin's own model."""
        return model_of(self.schema, strict=False)

    def run(self, inputs: BaseModel, context: ActionContext) -> JsonValue:
        """Call the function in a child. Raises ActionError."""
        given = inputs.model_dump(mode="json", by_alias=True, exclude_unset=True)
        check_json(given, name="inputs", reason="bad-input")
        order = {
            "target": self._target,
            "inputs": given,
            "execution": context.execution_id,
            "task": context.task_id,
            "attempt": context.attempt,
        }
        return self._ask(order, context)

    @staticmethod
    def _ask(order: Mapping[str, Any], context: ActionContext) -> JsonValue:
        ending = process.run(
            Child(
                program=sys.executable,
                arguments=_ARGUMENTS,
                directory=context.workdir,
                feeds=(json.dumps(order).encode(),),
                result_limit=1 + MAX_RESULT_BYTES,
            ),
            context,
        )
        return output_of(ending, who="the plugin")


class _Silence:
    """What a plugin says while it describes itself is nobody's business; a failure's last line comes as its answer."""

    def write(self, stream: Stream, data: bytes) -> None:
        """Take and forget."""

    def message(self, text: str, level: Level = "info", *, limit: int | None = None) -> None:
        """Take and forget."""
