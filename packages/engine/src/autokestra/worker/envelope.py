"""What goes from the coordinator to a worker: ids, templates and limits, as versioned JSON. Never a plaintext."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Self

from autokestra.actions.isolation import Level
from autokestra.errors import AutokestraError
from autokestra.executions.records import attempt_id

VERSION: Final = 1
SAME_VERSION: Final = "run the same version of autokestra on every machine"


class EnvelopeError(AutokestraError):
    """A worker was handed an envelope of another version, or none at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """One attempt to run. `inputs` and `env` are templates as written in the workflow; `timeout` is in seconds."""

    execution_id: str
    workflow_id: str
    task_id: str
    attempt: int
    type: str
    workdir: str
    inputs: Mapping[str, Any]
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    pass_env: tuple[str, ...] = ()
    timeout: float | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)  # the execution's inputs
    parents: tuple[str, ...] = ()  # tasks whose outputs may be read
    parent: str | None = None  # of an item: the task that runs for each of them
    item: int | None = None  # which one, from 0; its value is read where it is used
    failed: tuple[str, ...] = ()  # of what runs after a failure: the tasks that did not succeed
    isolation: Level | None = None  # what the workflow asks for; None for the best there is
    max_output: int | None = None  # bytes of log that are kept, None for the default
    limits: Mapping[str, int] = field(default_factory=dict)  # of each process: memory in bytes, cpu in seconds

    @property
    def id(self) -> str:
        """`execution/task/n`."""
        return attempt_id(self.execution_id, self.task_id, self.attempt)

    def to_json(self) -> str:
        """Return the text that travels."""
        # Not `asdict`, which copies every value: they are plain data, and only read.
        document = {"version": VERSION, **{name: getattr(self, name) for name in _NAMES}}
        return json.dumps(document, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote. Raises EnvelopeError for another version."""
        document = json.loads(text)
        version = document.pop("version", None)
        if version != VERSION:
            raise EnvelopeError(
                f"envelope of version {version!r}, this worker knows {VERSION}",
                hint=SAME_VERSION,
            )
        for name in ("secrets", "pass_env", "parents", "failed"):
            document[name] = tuple(document.get(name, ()))
        return cls(**{name: value for name, value in document.items() if name in _NAMES})


_NAMES: Final = tuple(item.name for item in fields(Envelope))
