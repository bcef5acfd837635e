"""What templates may name besides secrets: the same for a worker's inputs and a coordinator's conditions."""

from collections.abc import Mapping, Sequence
from typing import Any

from autokestra.worker.minted import Learn
from autokestra.worker.outputs import OutputVault


def template_context(
    *,
    execution: str,
    arguments: Mapping[str, Any],
    variables: Mapping[str, Any],
    outputs: OutputVault,
    parents: Sequence[str],
    environ: Mapping[str, str],
    pass_env: Sequence[str],
    failed: Sequence[str] = (),
    learn: Learn,
) -> dict[str, Any]:
    """Return the context of `resolve_templates`; `parents` are the tasks whose outputs may be read.

    Of `environ` only what `pass_env` lists can be named; `failed` is there for what runs after a failure. `learn` is
    told of the values to mask that come with an output.
    """
    return {
        "inputs": arguments,
        "vars": variables,
        "tasks": _LazyOutputs(outputs, execution, parents, learn),
        "env": {name: environ[name] for name in pass_env if name in environ},
        "execution": {"id": execution, "failed": list(failed)},
    }


class _LazyOutputs(dict[str, Any]):
    """Task id -> {"output": …}; an output is read and opened when a template asks for it, and not before."""

    def __init__(self, vault: OutputVault, execution: str, parents: Sequence[str], learn: Learn) -> None:
        super().__init__((parent, None) for parent in parents)
        self._vault = vault
        self._execution = execution
        self._learn = learn

    def __getitem__(self, task: str) -> Any:
        if super().__getitem__(task) is None:
            self[task] = {"output": self._vault.read(self._execution, task, learn=self._learn)}
        return super().__getitem__(task)
