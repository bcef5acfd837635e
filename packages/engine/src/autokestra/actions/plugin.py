"""Every action that a workflow can name: the built-in ones, and those of plugins, looked for only when asked for.

To read which plugins are installed costs more than to start the engine, so a workflow that uses `core/*` alone never
looks. Two plugins that offer the same type are an error, not a matter of order.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Final, Protocol

from pydantic import BaseModel, JsonValue

from autokestra.actions.isolation import NO_ISOLATION, Isolation
from autokestra.actions.protocol import Action, ActionContext, InputModel
from autokestra.actions.registry import core_actions
from autokestra.errors import AutokestraError

GROUP: Final = "autokestra.actions"  # of entry points
PLUGINS_VARIABLE: Final = "AUTOKESTRA_PLUGINS"
TYPE: Final = re.compile(r"[a-z0-9][a-z0-9_-]*/[a-z0-9][a-z0-9_-]*\.[a-z0-9][a-z0-9_-]*")
OWN_NAMESPACE: Final = "core/"


class PluginInvalidError(AutokestraError):
    """A plugin cannot be used: its manifest is wrong, its module does not load, or it claims another's type."""

    exit_code = 3


class PluginAction(Protocol):
    """An action of a plugin. `source` says where it comes from; `schema` is that of its inputs."""

    type: str
    source: str

    @property
    def input_model(self) -> InputModel:
        """The shape of `inputs`."""
        ...

    @property
    def description(self) -> str:
        """What it does."""
        ...

    @property
    def schema(self) -> Mapping[str, JsonValue]:
        """JSON schema of the inputs."""
        ...

    @property
    def output_schema(self) -> Mapping[str, JsonValue] | None:
        """JSON schema of the output, if it has one."""
        ...

    def run(self, inputs: BaseModel, context: ActionContext) -> JsonValue:
        """Do it once."""
        ...


class Actions(Mapping[str, Action]):
    """The actions by type. `folders` hold executable plugins: each is one, or holds some.

    `isolate` says what a Python plugin runs under while it is asked for its inputs.
    """

    def __init__(self, folders: Sequence[str | Path] = (), *, isolate: Callable[[], Isolation] | None = None) -> None:
        self._folders = [Path(folder).expanduser().absolute() for folder in folders]
        self._isolate = isolate or (lambda: NO_ISOLATION)

    def __getitem__(self, type_: str) -> Action:
        return core_actions()[type_] if type_ in core_actions() else self.plugins[type_]

    def __iter__(self) -> Iterator[str]:
        yield from core_actions()
        yield from self.plugins

    def __len__(self) -> int:
        return len(core_actions()) + len(self.plugins)

    @cached_property
    def plugins(self) -> Mapping[str, PluginAction]:
        """The actions of all plugins. Raises PluginInvalidError."""
        found: dict[str, PluginAction] = {}
        for action in (*self._executables(), *self._entry_points()):
            if not TYPE.fullmatch(action.type):
                raise PluginInvalidError(
                    f"'{action.type}' of {action.source} is no type of an action",
                    hint="a type is written namespace/plugin.action",
                )
            if action.type.startswith(OWN_NAMESPACE):
                raise PluginInvalidError(f"'{action.type}' of {action.source}: core/ belongs to the engine")
            if action.type in found:
                raise PluginInvalidError(
                    f"'{action.type}' is offered twice: by {found[action.type].source} and {action.source}",
                    hint="uninstall one, or leave its folder out: --plugins, AUTOKESTRA_PLUGINS, the setting plugins",
                )
            found[action.type] = action
        return found

    def _executables(self) -> Iterator[PluginAction]:
        from autokestra.actions.executable import MANIFEST, read_plugin  # noqa: PLC0415  # as said above

        seen: set[str] = set()  # a folder may be named twice, by several names, or by a folder that holds it
        for folder in self._folders:
            if not folder.is_dir():
                message = "is no folder" if folder.exists() else "does not exist"
                raise PluginInvalidError(
                    f"the folder of plugins '{folder}' {message}", hint="see who names it: workflow config list"
                )
            inner = [folder] if (folder / MANIFEST).exists() else sorted(folder.iterdir())
            for each in inner:
                real = os.path.realpath(each)
                if real not in seen and (each / MANIFEST).exists():
                    seen.add(real)
                    yield from read_plugin(each)

    def _entry_points(self) -> Iterator[PluginAction]:
        from importlib.metadata import entry_points  # noqa: PLC0415  # reads every installed package: 20 ms and more

        from autokestra.actions.entrypoint import PythonAction  # noqa: PLC0415

        for point in entry_points(group=GROUP):
            source = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
            yield PythonAction(point.name, point.value, source, self._isolate)


class Catalog(Mapping[str, InputModel]):
    """The input models by type, to check a workflow with."""

    def __init__(self, actions: Actions) -> None:
        self._actions = actions

    def __getitem__(self, type_: str) -> InputModel:
        return self._actions[type_].input_model

    def __iter__(self) -> Iterator[str]:
        return iter(self._actions)

    def __len__(self) -> int:
        return len(self._actions)


def plugin_folders(given: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    """Return the folders of `--plugins`, then those of `AUTOKESTRA_PLUGINS` (separated as in PATH)."""
    return [*given, *(folder for folder in environ.get(PLUGINS_VARIABLE, "").split(os.pathsep) if folder)]
