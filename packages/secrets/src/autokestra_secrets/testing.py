"""Helpers for the tests of programs that use this library: a store in memory, a fixed key, a search for leaks.

Nothing here is for production: the key is public.
"""

import base64
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

from autokestra_secrets.backends.memory import MemoryBackend
from autokestra_secrets.keytext import key_text
from autokestra_secrets.masterkey import MasterKeyProvider
from autokestra_secrets.names import SecretValue
from autokestra_secrets.store import SecretStore

__all__ = ["FIXED_KEY", "MemoryBackend", "assert_no_leak", "fixed_keys", "memory_store"]

FIXED_KEY: Final = key_text(bytes(range(32)))  # the text of a key that everybody knows


def fixed_keys() -> MasterKeyProvider:
    """Return a provider that knows FIXED_KEY and never looks at the machine's environment or files."""
    return MasterKeyProvider({"AUTOKESTRA_SECRET_KEY": FIXED_KEY}, home=os.devnull)


def memory_store(values: Mapping[str, str | bytes] = MappingProxyType({})) -> SecretStore:
    """Return a store in memory that holds `values` under the fixed key."""
    store = SecretStore(MemoryBackend(), keys=fixed_keys())
    store.set_many(values)
    return store


def assert_no_leak(values: Iterable[str | bytes | SecretValue], *places: str | bytes | Path) -> None:
    """Raise AssertionError when any of `values` stands in any of `places`, plain or in a common encoding.

    A place is text, bytes, a file, or a directory with all files below it. The message names place, form and the
    position of the value in `values`, never the value. Values of less than 4 bytes are refused with ValueError: they
    stand everywhere by chance.
    """
    forms = [(number, form, data) for number, value in enumerate(values) for form, data in _forms(value)]
    for place in places:
        for where, content in _contents(place):
            for number, form, data in forms:
                if data in content:
                    raise AssertionError(f"value {number} stands in {where} as {form}")


def _forms(value: str | bytes | SecretValue) -> Iterator[tuple[str, bytes]]:
    """Yield the value in the forms that programs print. On purpose not the masker's own code: an independent judge."""
    data = (value if isinstance(value, SecretValue) else SecretValue(value)).reveal_bytes()
    if len(data) < 4:
        raise ValueError("a value of less than 4 bytes cannot be searched for")
    yield "plain text", data
    yield "hex", data.hex().encode()
    yield "upper-case hex", data.hex().upper().encode()
    yield "percent-encoding", quote(data, safe="").encode()
    for shift in range(3):
        # What stays the same whatever comes before and after: whole groups of three bytes.
        body = data[shift : shift + (len(data) - shift) // 3 * 3]
        if len(body) >= 6:
            yield f"base64 (shift {shift})", base64.b64encode(body)
            yield f"URL-safe base64 (shift {shift})", base64.urlsafe_b64encode(body)


def _contents(place: str | bytes | Path) -> Iterator[tuple[str, bytes]]:
    if isinstance(place, Path):
        files = sorted(path for path in place.rglob("*") if path.is_file()) if place.is_dir() else [place]
        for path in files:
            yield str(path), path.read_bytes()
    else:
        yield "the text", place.encode("utf-8", "surrogateescape") if isinstance(place, str) else place
