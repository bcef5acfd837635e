"""The built-in actions by name. Knowing them costs nothing: the module of an action is imported when it runs."""

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, cast

from pydantic import BaseModel, JsonValue

from autokestra.actions.inputs import (
    AssertInputs,
    FileReadInputs,
    FileWriteInputs,
    HttpGetInputs,
    HttpRequestInputs,
    LogInputs,
    PythonInputs,
    ShellInputs,
    SleepInputs,
    SqlInputs,
    SubWorkflowInputs,
)
from autokestra.actions.protocol import Action, ActionContext, InputModel


@dataclass(frozen=True, slots=True, kw_only=True)
class _BuiltIn:
    """Stands for an action until it is run."""

    type: str
    input_model: InputModel
    module: str
    name: str

    @property
    def description(self) -> str:
        """What it does, as its class says."""
        return inspect.getdoc(self._loaded()) or ""

    def _loaded(self) -> Callable[[], Action]:
        module = importlib.import_module(f"autokestra.actions.{self.module}")
        return cast("Callable[[], Action]", getattr(module, self.name))

    def run(self, inputs: BaseModel, context: ActionContext) -> JsonValue:
        return self._loaded()().run(inputs, context)


_CORE: Final[Mapping[str, Action]] = MappingProxyType(
    {
        type_: _BuiltIn(type=type_, input_model=model, module=module, name=name)
        for type_, model, module, name in (
            ("core/console.log", LogInputs, "console", "ConsoleLog"),
            ("core/assert", AssertInputs, "simple", "Assert"),
            ("core/file.read", FileReadInputs, "file", "FileRead"),
            ("core/file.write", FileWriteInputs, "file", "FileWrite"),
            ("core/http.get", HttpGetInputs, "http", "HttpGet"),
            ("core/http.request", HttpRequestInputs, "http", "HttpRequest"),
            ("core/python.run", PythonInputs, "python", "PythonRun"),
            ("core/shell.run", ShellInputs, "shell", "ShellRun"),
            ("core/sleep", SleepInputs, "simple", "Sleep"),
            ("core/sql.query", SqlInputs, "sql", "SqlQuery"),
            ("core/workflow.run", SubWorkflowInputs, "nested", "WorkflowRun"),
        )
    }
)


def core_actions() -> Mapping[str, Action]:
    """Return every built-in action by its type."""
    return _CORE


def catalog() -> Mapping[str, InputModel]:
    """Return the input model of every built-in action by its type, to check a workflow with."""
    return {type_: action.input_model for type_, action in _CORE.items()}
