"""The child's side of a Python plugin: runs or describes one function. `entrypoint` is the engine's side.

The order comes as JSON on descriptor 3; the answer goes to descriptor 4 as `runner` defines it: `=` and JSON, `!` and
what is wrong with it, `^` and the exception.
"""

import importlib
import inspect
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast, get_type_hints

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from autokestra.actions.runner import find_problem
from autokestra.plugins import Context

_ORDER = 3
_ANSWER = 4


def main() -> int:
    """Do what descriptor 3 says and return the exit code."""
    os.set_inheritable(_ANSWER, False)
    for stream in (sys.stdout, sys.stderr):
        cast(Any, stream).reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    with open(_ORDER, encoding="utf-8") as file:
        order = json.load(file)
    try:
        function = load(order["target"])
        if "inputs" in order:
            answer = run(function, order)
            code = int(answer.startswith("!"))
        else:
            answer, code = "=" + json.dumps(describe(function)), 0
    except ValidationError as error:
        answer, code = "!" + problems_of(error), 1
    except BaseException as error:  # noqa: BLE001  # every way to end is reported
        traceback.print_exc()
        answer, code = "^" + "".join(traceback.format_exception_only(error)).strip().rpartition("\n")[2], 1
    with open(_ANSWER, "wb") as result:
        result.write(answer.encode("utf-8", "backslashreplace"))
    return code


def load(target: str) -> Callable[..., Any]:
    """Import the function that an entry point names."""
    module, _, name = target.partition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return cast(Callable[..., Any], found)


def run(function: Callable[..., Any], order: dict[str, Any]) -> str:
    """Call the function and return the answer."""
    model, _ = types_of(function)
    inputs = model.model_validate(order["inputs"])
    context = Context(
        workdir=Path.cwd(), execution_id=order["execution"], task_id=order["task"], attempt=order["attempt"]
    )
    # Constants: otherwise what is not a number would silently be null.
    adapter = TypeAdapter[Any](Any, config=ConfigDict(ser_json_inf_nan="constants"))
    output = adapter.dump_python(function(inputs, context), mode="json", by_alias=True)
    problem = find_problem(output)
    return f"!{problem}" if problem else "=" + json.dumps(output, allow_nan=False, ensure_ascii=False)


def describe(function: Callable[..., Any]) -> dict[str, Any]:
    """Return description and JSON schemas of the function's inputs and output."""
    model, output = types_of(function)
    return {
        "description": inspect.getdoc(function) or "",
        "inputs": model.model_json_schema(),
        "output": None if output is None else TypeAdapter(output).json_schema(mode="serialization"),
    }


def types_of(function: Callable[..., Any]) -> tuple[type[BaseModel], Any]:
    """Return the annotations of the first parameter and of the result. Raises TypeError."""
    names = list(inspect.signature(function).parameters)
    hints = get_type_hints(function)
    model = hints.get(names[0]) if names else None
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise TypeError("the first parameter of an action must be annotated with a pydantic model")
    return model, hints.get("return")


def problems_of(error: ValidationError) -> str:
    """Say what does not fit, without the values."""
    found = error.errors(include_input=False, include_url=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, each['loc'])) or 'inputs'}: {each['msg']}" for each in found)


if __name__ == "__main__":
    sys.exit(main())
