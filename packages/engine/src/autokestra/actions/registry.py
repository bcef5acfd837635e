"""The built-in actions by name. Knowing them costs nothing: the module of an action is imported when it runs."""

import importlib
from collections.abc import Mapping
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

    def run(self, inputs: BaseModel, context: ActionContext) -> JsonValue:
        module = importlib.import_module(f"autokestra.actions.{self.module}")
        action = cast(Action, getattr(module, self.name)())
        return action.run(inputs, context)


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
