# `os.path` on purpose: importing pathlib costs every start-up 5 ms.
# ruff: noqa: PTH111, PTH118
"""The settings of this program, in one place: what there is, and where each value comes from.

A flag of a command wins, then the variable `AUTOKESTRA_…`, then `config.toml` in the home directory, then the default.
Not here: the home itself and the keys, which are the library's; and AUTOKESTRA_DEBUG, which no file may set. A key or a
password has no place in the file, and is refused there.
"""

import os
import re  # loaded by click already
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, cast

from autokestra.configpath import config_path, is_configured
from autokestra.errors import SettingsError

PARALLEL_MOST: Final = 1024
PARALLEL_DEFAULT: Final = max(4, os.cpu_count() or 4)
DEFAULT_MASK: Final = "***SECRET***"
MASK_LENGTH: Final = 64  # characters

# A text, compiled where it is needed: a command that reads one secret does not need it.
# A password that should have been escaped may hold `@`, `/` and `:`, so it ends at the last `@`.
_USERINFO: Final = r"(?<=://)([^/@:\s]*):.*@"
_PARAMETER: Final = r"(?<=[?&])((?:ssl)?password=)[^&]*"


class Setting(NamedTuple):
    """One setting: `read` makes its value from TOML's, `parse` from the text of a variable; both raise ValueError."""

    key: str
    default: object
    unset: str  # what None means, in words
    read: Callable[[object], object]
    parse: Callable[[str], object]
    description: str

    @property
    def variable(self) -> str:
        """The name of its variable."""
        return f"AUTOKESTRA_{self.key.upper()}"


class Value(NamedTuple):
    """What a setting is set to, and by what: `AUTOKESTRA_STATE`, `PATH:LINE` or `default`."""

    setting: Setting
    value: object
    source: str

    def __str__(self) -> str:
        if self.value is None:
            return self.setting.unset
        if isinstance(self.value, tuple):
            return os.pathsep.join(self.value) or self.setting.unset
        if isinstance(self.value, bool):
            return str(self.value).lower()
        return _written(self.value) if isinstance(self.value, float) else shown(self.value)


class Settings:
    """The effective settings. What a flag says is not known here: a command asks for a setting when it has none."""

    def __init__(self, values: Mapping[str, Value], file: str) -> None:
        self.values: Final = values
        self.file: Final = file

    @property
    def store(self) -> str | None:
        """Location of the secrets store as the file says; None leaves it to the library, which knows the variable."""
        value = self.values["store"]
        return None if value.source == value.setting.variable else cast("str | None", value.value)

    @property
    def state(self) -> str | None:
        """Path of the state database, None for the one in the home directory."""
        return cast("str | None", self.values["state"].value)

    @property
    def max_parallel(self) -> int:
        """How many tasks run at once."""
        return cast("int | None", self.values["max_parallel"].value) or PARALLEL_DEFAULT

    @property
    def mask(self) -> str:
        """What stands in the place of a secret in a run."""
        return cast("str", self.values["mask"].value)

    @property
    def mask_min_length(self) -> int:
        """How many bytes a plain value needs to be masked in a run."""
        return cast("int", self.values["mask_min_length"].value)

    @property
    def keep_for(self) -> float | None:
        """How long `execution prune` keeps executions, in seconds, where it is not told."""
        return cast("float | None", self.values["keep_for"].value)

    @property
    def keep_last(self) -> int | None:
        """How many executions of each workflow `execution prune` keeps, where it is not told."""
        return cast("int | None", self.values["keep_last"].value)

    @property
    def plugins(self) -> tuple[str, ...]:
        """Folders of plugins as the file says; the variable is read beside `--plugins`."""
        value = self.values["plugins"]
        return () if value.source == value.setting.variable else cast("tuple[str, ...]", value.value)

    @property
    def require_isolation(self) -> bool:
        """Whether nothing runs where tasks cannot be isolated."""
        return cast("bool", self.values["require_isolation"].value)

    @property
    def colour(self) -> str:
        """Whether terminals get colours: auto, always or never."""
        return cast("str", self.values["colour"].value)


def load_settings(environ: Mapping[str, str] = os.environ, *, notify: Callable[[str], None] | None = None) -> Settings:
    """Read the variables and, if there is one, the file. `notify` gets a warning where others can write the file.

    Raises SettingsError for what does not fit, with the variable, or file and line; OSError for a file that cannot be
    read.
    """
    path = config_path(environ)
    found = _from_file(path, notify) if is_configured(environ) else {}
    values = {}
    for setting in SETTINGS:
        given = environ.get(setting.variable)
        if given is not None:
            values[setting.key] = Value(setting, _parsed(setting, given), setting.variable)
        else:
            values[setting.key] = found.get(setting.key) or Value(setting, setting.default, "default")
    return Settings(values, path)


def default_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Return the defaults, for a command that goes on where the settings are wrong."""
    return Settings({each.key: Value(each, each.default, "default") for each in SETTINGS}, config_path(environ))


def shown(value: object) -> str:
    """Return a value as it may be shown: without the password that an address may hold."""
    return re.sub(_PARAMETER, r"\1…", re.sub(_USERINFO, r"\1:…@", str(value), flags=re.DOTALL))


def _from_file(path: str, notify: Callable[[str], None] | None) -> dict[str, Value]:
    from autokestra.configfile import kind_of, read_entries  # noqa: PLC0415  # only for those who have the file

    by_key = {setting.key: setting for setting in SETTINGS}
    values = {}
    for entry in read_entries(path, known=tuple(by_key), notify=notify):
        setting = by_key[entry.key]
        if isinstance(entry.value, str) and re.search(f"{_USERINFO}|{_PARAMETER}", entry.value, re.DOTALL):
            raise SettingsError(
                f"{entry.place}: '{setting.key}' holds a password, and this file is no place for one",
                hint=f"set the variable {setting.variable}, or keep it where the database's client looks for it",
            )
        try:
            value = setting.read(entry.value)
        except ValueError as error:
            raise SettingsError(f"{entry.place}: '{setting.key}' expects {error}, got {kind_of(entry.value)}") from None
        if setting.read is _path and "://" not in str(value):
            value = _beside(path, str(value))
        elif setting.read is _folders:
            value = tuple(_beside(path, folder) for folder in cast("tuple[str, ...]", value))
        values[setting.key] = Value(setting, value, entry.place)
    return values


def _beside(file: str, path: str) -> str:
    return os.path.join(os.path.dirname(file), os.path.expanduser(path))  # noqa: PTH120


def _written(seconds: float) -> str:
    """Return a duration as it is written: `30d`."""
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds % length == 0:
            return f"{seconds / length:.0f}{unit}"
    return f"{seconds:g}s"


def _parsed(setting: Setting, text: str) -> object:
    try:
        return setting.parse(text)
    except ValueError as error:
        raise SettingsError(f"{setting.variable}: expected {error}", hint=f"unset {setting.variable}") from None


# --- kinds of values ----------------------------------------------------------------------------------------------


def _path(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ValueError("a path")
    return value


def _any_text(text: str) -> str:
    return text  # an empty path is refused where it is used, with the words of that place


def _folders(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError("a list of paths")  # noqa: TRY004  # a wrong type is one of the ways not to fit
    return tuple(map(_path, value))


def _folders_of_variable(text: str) -> tuple[str, ...]:
    return tuple(folder for folder in text.split(os.pathsep) if folder)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")  # noqa: TRY004
    return value


def _flag_of_variable(text: str) -> bool:
    return _flag({"true": True, "1": True, "false": False, "0": False}.get(text.lower(), text))


def _count(least: int, most: int) -> tuple[Callable[[object], object], Callable[[str], object]]:
    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"a whole number from {least} to {most:,}")
        return value

    return read, lambda text: read(int(text) if text.strip().isdecimal() else text)


def _mask(value: object) -> str:
    if not isinstance(value, str) or not value or len(value) > MASK_LENGTH or not value.isprintable():
        raise ValueError(f"at most {MASK_LENGTH} printable characters")
    return value


def _mask_of_variable(text: str) -> str:
    from autokestra_secrets import placeholder_from  # noqa: PLC0415

    return placeholder_from({"AUTOKESTRA_MASK": text})  # the library's own variable, with its own words


def _duration(value: object) -> float:
    from autokestra.workflow.durations import FORM, parse_duration  # noqa: PLC0415

    if not isinstance(value, str):
        raise ValueError(FORM)  # noqa: TRY004  # a wrong type is one of the ways not to fit
    try:
        return parse_duration(value)
    except ValueError:
        raise ValueError(FORM) from None


def _choice(*choices: str) -> Callable[[object], object]:
    def read(value: object) -> str:
        if value not in choices:
            raise ValueError(f"one of {', '.join(choices)}")
        return str(value)

    return read


_parallel, _masked_from, _kept = _count(1, PARALLEL_MOST), _count(1, 64), _count(0, 1_000_000)
_colour: Final = _choice("auto", "always", "never")

SETTINGS: Final = (
    Setting("store", None, "secrets.db in the home directory", _path, _any_text, "secrets store: a path or address"),
    Setting("state", None, "state.db in the home directory", _path, _any_text, "state database: a path or address"),
    Setting("max_parallel", None, f"{PARALLEL_DEFAULT}, by processors", *_parallel, "most tasks at once in a run"),
    Setting("mask", DEFAULT_MASK, "", _mask, _mask_of_variable, "what replaces a secret; {name} is its name"),
    Setting("mask_min_length", 4, "", *_masked_from, "bytes from which on a run masks a plain value"),
    Setting("keep_for", None, "not set", _duration, _duration, "how long `execution prune` keeps them by default"),
    Setting("keep_last", None, "not set", *_kept, "how many of each workflow `execution prune` keeps by default"),
    Setting("plugins", (), "none", _folders, _folders_of_variable, "folders of plugins, besides those of --plugins"),
    Setting("require_isolation", False, "", _flag, _flag_of_variable, "refuse to run where tasks cannot be isolated"),
    Setting("colour", "auto", "", _colour, _colour, "whether terminals get colours: auto, always, never"),
)  # fmt: skip
