"""Masked copies of JSON-like values, to any depth: no recursion, cycles allowed."""

import dataclasses
from collections.abc import Callable, Iterable
from copy import copy
from typing import Any, Final

CYCLE: Final = "<cycle>"  # stands for an immutable container within itself

Mask = Callable[[str], str]
MaskBytes = Callable[[bytes], bytes]


def mask_object(obj: object, mask: Mask, mask_bytes: MaskBytes) -> tuple[object, bool]:
    """Return a masked copy of `obj`, and whether anything in it was masked.

    Strings, bytes, numbers, keys, the items of mappings, sequences and sets, and the fields of dataclasses are masked;
    of any other object its text is, when that holds a value. Two keys that would become the same are told apart.
    """
    copier = _Copier(mask, mask_bytes)
    return copier.copy(obj), copier.changed


class _Copier:
    def __init__(self, mask: Mask, mask_bytes: MaskBytes) -> None:
        self._mask = mask
        self._mask_bytes = mask_bytes
        self._copies: dict[int, object] = {}
        self._kept: list[object] = []  # what was visited stays alive, so that no id is used twice
        self.changed = False

    def copy(self, root: object) -> object:
        begun: set[int] = set()
        pending: list[tuple[object, bool]] = [(root, False)]
        while pending:
            item, children_done = pending.pop()
            if children_done:
                self._assemble(item)
            elif id(item) not in self._copies and id(item) not in begun:
                self._kept.append(item)
                children = _children(item)
                if children is None:
                    self._copies[id(item)] = self._leaf(item)
                    continue
                begun.add(id(item))
                if isinstance(item, (list, dict)):  # may hold itself: its copy exists before it is filled
                    self._copies[id(item)] = [] if isinstance(item, list) else {}
                pending.append((item, True))
                children = list(children)
                self._kept.append(children)
                pending += [(child, False) for child in children]
        return self._copies[id(root)]

    def _of(self, item: object) -> Any:
        return self._copies.get(id(item), CYCLE)

    def _assemble(self, item: Any) -> None:
        if isinstance(item, list):
            self._of(item).extend(map(self._of, item))
        elif isinstance(item, dict):
            target = self._of(item)
            for key, value in item.items():
                target[_free(self._of(key), target)] = self._of(value)
        elif isinstance(item, tuple):
            values = [self._of(value) for value in item]
            self._copies[id(item)] = type(item)._make(values) if hasattr(item, "_make") else tuple(values)
        elif isinstance(item, (set, frozenset)):
            self._copies[id(item)] = type(item)(map(self._of, item))
        else:
            clone = copy(item)
            for field in dataclasses.fields(item):
                if hasattr(item, field.name):
                    object.__setattr__(clone, field.name, self._of(getattr(item, field.name)))
            self._copies[id(item)] = clone

    def _leaf(self, item: Any) -> object:
        if item is None or isinstance(item, bool):
            return item
        if isinstance(item, str):
            return self._changed(item, self._mask(item))
        if isinstance(item, (bytes, bytearray)):
            return self._changed(item, type(item)(self._mask_bytes(bytes(item))))
        for text in (str(item), repr(item)):
            masked = self._mask(text)
            if masked != text:
                self.changed = True
                return masked
        return item

    def _changed(self, before: object, after: object) -> object:
        if before == after:
            return before
        self.changed = True
        return after


def _children(item: Any) -> Iterable[object] | None:
    """Return what `item` holds, None when it is a leaf."""
    if isinstance(item, dict):
        return (*item.keys(), *item.values())
    if isinstance(item, (list, tuple, set, frozenset)):
        return item
    if dataclasses.is_dataclass(item) and not isinstance(item, type):
        return [getattr(item, field.name) for field in dataclasses.fields(item) if hasattr(item, field.name)]
    return None


def _free(key: Any, taken: dict[Any, Any]) -> Any:
    number = 2
    free = key
    while free in taken:
        free = f"{key} ({number})"
        number += 1
    return free
