"""What hidden places were when the engine started, so that a task that renames a folder above one gains nothing.

Places are hidden by path, and a task may rename what is above them: `mv ~/srv ~/srv2` leaves the key at a path that
nobody hides. So the engine remembers, when it starts, the identity (device and inode) of what each path leads to.

The rule. A folder is unchanged while its path leads to the folder with the remembered identity: a folder has one
name, so no other path leads to it, however links and folders above have changed meanwhile. A file has an entry in a
folder: it is unchanged while its path, links followed, leads to the same name in the folder with the remembered
identity, and there still is a file if there was one. Which file that is does not matter: one that was restored
over another is hidden as the other was, and under `hidden` no task can rename the entry itself, which is covered.
What SQLite keeps beside a database comes and goes. A place whose folder does not exist at the start is not remembered.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_Identity = tuple[int, int]
_LOOK = os.O_DIRECTORY | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)  # also where one may pass, but not list
_DELETED = " (deleted)"  # proc(5), of the links in /proc/PID/fd
BESIDE_DATABASES = ("-wal", "-shm", "-journal")  # what SQLite keeps next to a database


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    place: str
    folder: _Identity
    name: str
    is_lasting: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """The hidden places as they were: folders and files by identity, files also as names in a folder."""

    folders: tuple[tuple[str, _Identity], ...] = ()
    files: frozenset[_Identity] = frozenset()
    entries: tuple[_Entry, ...] = ()

    def changed(self) -> str | None:
        """Return the first place that is not where it was, None if all are."""
        for place, identity in self.folders:
            if _identity(place) != identity:
                return place
        for entry in self.entries:
            real = Path(os.path.realpath(entry.place))
            is_there = not entry.is_lasting or real.is_file()
            if (_identity(real.parent), real.name, is_there) != (entry.folder, entry.name, True):
                return entry.place
        return None

    def holds(self, path: str | Path) -> bool:
        """Whether `path`, links followed, is a remembered place or lies in one, under whatever name it is now."""
        real = Path(os.path.realpath(path))
        folders = {identity for _, identity in self.folders}
        if any(_identity(each) in folders for each in (real, *real.parents)):
            return True
        return _identity(real) in self.files or self._has_entry(_identity(real.parent), real.name)

    def holds_open(self, descriptor: int, real: str) -> bool:
        """Whether what is open under `descriptor`, as `real`, is a remembered place or lies in one.

        Its folders are looked up from a descriptor, so that none can be exchanged meanwhile. A file that has left
        `real` since it was opened is taken for one that is hidden.
        """
        if not (self.folders or self.entries):
            return False
        found = os.fstat(descriptor)
        identity = (found.st_dev, found.st_ino)
        folders = {each for _, each in self.folders}
        if identity in self.files or identity in folders:
            return True
        if not found.st_nlink:  # replaced since it was opened, as a task does that writes it anew
            return self.holds(real.removesuffix(_DELETED))
        try:
            above = os.open(os.path.dirname(real), _LOOK)  # noqa: PTH120
        except OSError:
            return True
        try:
            name = os.path.basename(real)  # noqa: PTH119
            if name and not os.path.samestat(os.stat(name, dir_fd=above, follow_symlinks=False), found):
                return True
            return self._has_entry(_identity(above), name) or _is_below(above, folders)
        except FileNotFoundError:
            return True
        finally:
            os.close(above)

    def _has_entry(self, folder: _Identity | None, name: str) -> bool:
        return any((folder, name) == (entry.folder, entry.name) for entry in self.entries)


def remember(places: Iterable[str]) -> Remembered:
    """Look at `places` now. What lies in one of the folders among them is remembered with the folder."""
    places = tuple(dict.fromkeys(place for place in places if place))
    folders = {place: _identity(place) for place in places if Path(place).is_dir()}
    known = set(folders.values())
    beside = {place + suffix for place in places for suffix in BESIDE_DATABASES}
    entries, files = [], set()
    for place in places:
        real = Path(os.path.realpath(place))
        folder = _identity(real.parent)
        if place in folders or folder is None or any(_identity(each) in known for each in real.parents):
            continue
        is_lasting = place not in beside and real.is_file()
        entries.append(_Entry(place=place, folder=folder, name=real.name, is_lasting=is_lasting))
        if is_lasting and (identity := _identity(real)):
            files.add(identity)
    return Remembered(
        folders=tuple((place, identity) for place, identity in folders.items() if identity),
        files=frozenset(files),
        entries=tuple(entries),
    )


def _is_below(folder: int, folders: set[_Identity]) -> bool:
    """Whether the open directory `folder` is one of `folders` or below one; asked of `..`, up to the root."""
    current = os.dup(folder)
    try:
        before = None
        while (identity := _identity(current)) != before:
            if identity in folders:
                return True
            before = identity
            above = os.open("..", _LOOK, dir_fd=current)
            os.close(current)
            current = above
        return False
    finally:
        os.close(current)


def _identity(place: str | Path | int) -> _Identity | None:
    with suppress(OSError):
        found = os.stat(place)  # noqa: PTH116  # also descriptors
        return found.st_dev, found.st_ino
    return None
