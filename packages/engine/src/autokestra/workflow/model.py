"""The workflow as immutable values. Keys in the document are camelCase, attributes are snake_case.

`Workflow.model_dump_json(by_alias=True, exclude_unset=True)` is the copy that an execution keeps;
`Workflow.model_validate_json` reads it back without YAML. Names, graph and templates are checked by `validate`.
"""

from math import ceil
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue
from pydantic.alias_generators import to_camel

from autokestra.workflow.durations import LONGEST, parse_duration
from autokestra.workflow.sizes import LARGEST, parse_size

ID_PATTERN: Final = r"^[A-Za-z0-9_-]{1,128}$"
VARIABLE_PATTERN: Final = r"^[A-Za-z_][A-Za-z0-9_]*$"  # POSIX.1-2017, 8.1, and lower case

Identifier = Annotated[str, Field(pattern=ID_PATTERN)]
VariableName = Annotated[str, Field(pattern=VARIABLE_PATTERN)]
Once = AfterValidator(lambda names: tuple(dict.fromkeys(names)))  # a name that is listed twice counts once


def _jitter(value: object) -> object:
    """True is all of the pause, false none of it."""
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, int | float) and 0 <= value <= 1:
        return float(value)
    raise ValueError("expected true, false, or the part of the pause that chance may take away, from 0 to 1")


def _short_concurrency(value: object) -> object:
    """`concurrency: 1` is short for `concurrency: {max: 1}`."""
    return {"max": value} if isinstance(value, int) and not isinstance(value, bool) else value


def _condition(value: object) -> object:
    """One expression, or a constant: text with something beside the expression would always count as true."""
    if isinstance(value, bool) or (isinstance(value, str) and is_expression(value)):
        return value
    raise ValueError("expected one expression, such as {{ inputs.day == 'monday' }}, or true or false")


def _items(value: object) -> object:
    if value is None or isinstance(value, list | tuple) or (isinstance(value, str) and is_expression(value)):
        return value
    raise ValueError("expected a list, or one expression that gives one, such as {{ tasks.find.output.files }}")


def is_expression(text: str) -> bool:
    """Whether a text is one `{{ … }}` with nothing but blanks around it, as far as that shows from outside."""
    inner = text.strip()
    return inner.startswith("{{") and inner.endswith("}}") and not inner.startswith("{{{{")


# `json_schema_input_type` is what editors are told: these validators take more than the type that they make.
_Expression = Annotated[str, Field(pattern=r"^\s*\{\{([^{]|\{[^{])[\s\S]*\}\}\s*$")]
_DurationText = Annotated[str, Field(pattern=r"^\s*[0-9]{1,9}(\.[0-9]{1,9})?[smhd]\s*$")]
_Seconds = Annotated[float, Field(strict=True, gt=0, le=LONGEST)]
Duration = Annotated[float, BeforeValidator(parse_duration, json_schema_input_type=_DurationText | _Seconds)]
_Executions = Annotated[int, Field(strict=True, ge=1, le=1000)]
_Flag = Annotated[bool, Field(strict=True)]
_Portion = Annotated[float, Field(strict=True, ge=0, le=1)]
_SizeText = Annotated[str, Field(pattern=r"^\s*[0-9]{1,15}(\.[0-9]{1,9})? ?(k|[KMGT]i?)?B\s*$")]
_Bytes = Annotated[int, Field(strict=True, gt=0, le=LARGEST)]
Size = Annotated[int, BeforeValidator(parse_size, json_schema_input_type=_SizeText | _Bytes)]
LEAST_MEMORY: Final = 16 << 20  # bytes; with less, not even an interpreter starts


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)


Isolation = Literal["none", "hidden"]


class InputSpec(_Part):
    """One input of a workflow; required when it has no default."""

    type: Literal["string", "integer", "number", "boolean", "array", "object"] = Field(
        default="string", description="Kind of value; arrays and objects are given as JSON."
    )
    default: JsonValue = Field(default=None, description="Value when none is given; without it one must be given.")
    description: str = Field(default="", description="What it is for.")

    @property
    def required(self) -> bool:
        """Whether a run must give a value."""
        return "default" not in self.model_fields_set


class Retry(_Part):
    """Further attempts after the first; the pause doubles each time."""

    max: Annotated[int, Field(strict=True, ge=0, le=1000)] = Field(description="Attempts after the first.")
    backoff_seconds: Annotated[float, Field(strict=True, ge=0, le=86_400, allow_inf_nan=False)] = Field(
        default=1.0, description="Pause before the second attempt, in seconds."
    )
    max_backoff_seconds: Annotated[float, Field(strict=True, ge=0, le=86_400, allow_inf_nan=False)] = Field(
        default=3600.0, description="Longest pause, in seconds."
    )
    jitter: Annotated[float, BeforeValidator(_jitter, json_schema_input_type=_Flag | _Portion)] = Field(
        default=0.0, description="How much of a pause chance may take away: true for all, or a part such as 0.5."
    )


class Concurrency(_Part):
    """How many executions of the workflow may run at once."""

    max: _Executions = Field(description="Most executions at once.")
    on_busy: Literal["wait", "fail"] = Field(
        default="wait", description="What a further one does: wait for its turn, or fail with exit code 11."
    )


class Limits(_Part):
    """What each process of a task may use at most; the kernel enforces it."""

    memory: Annotated[Size, Field(ge=LEAST_MEMORY)] | None = Field(
        default=None, description="Memory of its own for each process: 512MiB, 2GiB. More is refused to it."
    )
    cpu: Duration | None = Field(
        default=None, description="Processor time of each process: 60s, 5m. Whole seconds; then it is killed."
    )

    @property
    def numbers(self) -> dict[str, int]:
        """What is limited, as the kernel counts it: `memory` in bytes, `cpu` in whole seconds, rounded up."""
        limits = {"memory": self.memory, "cpu": self.cpu}
        return {name: ceil(value) for name, value in limits.items() if value is not None}


class Task(_Part):
    """One step of a workflow."""

    id: Identifier = Field(description="Name of the task, unique in its workflow.")
    type: str = Field(description="The action: namespace/plugin.action.")
    description: str = Field(default="", description="What it is for.")
    inputs: dict[str, JsonValue] = Field(default_factory=dict, description="What the action takes; templates allowed.")
    needs: Annotated[tuple[str, ...], Once] = Field(
        default=(), description="Tasks that must have ended before this one starts."
    )
    tags: Annotated[tuple[Identifier, ...], Once] = Field(
        default=(), description="What a worker must have been started with to run it, such as gpu; needs --pool."
    )
    env: dict[VariableName, str] = Field(
        default_factory=dict, description="Variables of the child process; templates allowed."
    )
    when: Annotated[bool | str, BeforeValidator(_condition, json_schema_input_type=_Flag | _Expression)] = Field(
        default=True, description="An expression; where it is false the task is skipped. No secrets."
    )
    for_each: Annotated[
        str | tuple[JsonValue, ...] | None,
        BeforeValidator(_items, json_schema_input_type=_Expression | list[JsonValue] | None),
    ] = Field(default=None, description="A list, or an expression that gives one: the task runs once for each item.")
    max_parallel: Annotated[int, Field(strict=True, ge=1, le=1024)] | None = Field(
        default=None, description="Most items at once; without it as many as the run allows tasks."
    )
    retry: Retry | None = Field(default=None, description="Whether to try again after a failure.")
    timeout: Duration | None = Field(
        default=None, description="Longest time for one attempt: 30s, 5m, 2h, 1d, or seconds."
    )
    continue_on_error: Annotated[bool, Field(strict=True)] = Field(
        default=False, description="Whether its failure leaves the rest of the execution unharmed."
    )
    isolation: Isolation | None = Field(default=None, description="Instead of what the workflow says.")
    max_output: Size | None = Field(
        default=None, description="How much of what it prints is kept: 1MiB, 1GiB. Default: 64MiB."
    )
    limits: Limits | None = Field(default=None, description="Limits of its child processes.")


class Workflow(_Part):
    """A whole workflow."""

    api_version: Literal["v1"] = Field(default="v1", description="Version of this format.")
    id: Identifier = Field(description="Name of the workflow.")
    description: str = Field(default="", description="What it is for.")
    inputs: dict[Identifier, InputSpec] = Field(default_factory=dict, description="Values that a run may be given.")
    vars: dict[Identifier, JsonValue] = Field(default_factory=dict, description="Plain data; no templates inside.")
    secrets: Annotated[tuple[str, ...], Once] = Field(
        default=(), description="The secrets that tasks may use, by name."
    )
    pass_env: Annotated[tuple[VariableName, ...], Once] = Field(
        default=(),
        description="Variables that child processes inherit, besides PATH, HOME, USER, LANG, LC_*, TZ, TMPDIR.",
    )
    timeout: Duration | None = Field(default=None, description="Longest time for the whole execution.")
    isolation: Isolation | None = Field(
        default=None,
        description="What child processes may see: hidden (only processes of their own, and neither the engine's home "
        "nor its databases and keys) or none. Default: hidden where it works.",
    )
    concurrency: Annotated[
        Concurrency | None,
        BeforeValidator(_short_concurrency, json_schema_input_type=Concurrency | _Executions | None),
    ] = Field(default=None, description="How many executions of this workflow may run at once: a number, or a mapping.")
    tasks: Annotated[tuple[Task, ...], Field(min_length=1)] = Field(description="The steps.")
    on_failure: tuple[Task, ...] = Field(
        default=(), description="Tasks that run after all others when something failed; they never change the result."
    )

    @property
    def all_tasks(self) -> tuple[Task, ...]:
        """The steps, and then what runs after a failure."""
        return self.tasks + self.on_failure
