"""Values to mask that no store knows: made by a task, or come to it with an output. They go on with what it hands on.

A session token that a login task prints with `::add-mask::` is known to that task alone. Where its output is read, by
another task, perhaps on another machine, the value has to be known as well: so it is kept beside the output, as well
sealed as that.
"""

import json
import re
import threading
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from typing import Final

from autokestra_secrets import SecretMasker, SecretValue

Learn = Callable[[bytes, str], None]  # told of a value and its name
Values = Sequence[tuple[bytes, str]]

_MARK: Final = "\0"  # which begins no JSON


class Minted:
    """What one attempt has learned besides the declared secrets, each value once. `own` is its masker."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[tuple[bytes, str], None] = {}

    def note(self, value: bytes, name: str) -> None:
        """Remember a value; called from any thread."""
        with self._lock:
            self._values[value, name] = None

    @property
    def values(self) -> Values:
        """All that was noted, in order."""
        with self._lock:
            return list(self._values)

    def learner(self, own: SecretMasker) -> Learn:
        """Return what is told of values that came with an output: `own` masks them, and they go on from here."""

        def learn(value: bytes, name: str) -> None:
            self.note(value, name)
            if not is_known(own, value):  # a masker with values of its own costs a finder
                own.add(value, name)

        return learn


class Declared:
    """Stands before the masker of an execution while declared secrets are registered, and remembers their values."""

    def __init__(self, masker: SecretMasker) -> None:
        self.masker = masker
        self.values: set[bytes] = set()

    def add(self, value: str | bytes | SecretValue, name: str | None = None) -> None:
        """Register a value."""
        self.values.add(_as_bytes(value))
        self.masker.add(value, name)


class Noting:
    """Stands before the masker of an execution, and notes what templates make of secrets.

    Not the secrets themselves, which every reader declares: a copy in an output would outlive them. What an attempt
    before this one has made is noted again, since its masker may be of another worker than the reader's.
    """

    def __init__(self, declared: Declared, minted: Minted) -> None:
        self._declared = declared
        self._minted = minted

    def add(self, value: str | bytes | SecretValue, name: str | None = None) -> None:
        """Register a value; what is no declared secret, and can be masked, is noted."""
        data, masker = _as_bytes(value), self._declared.masker
        masker.add(value, name)
        if data not in self._declared.values and is_known(masker, data):
            self._minted.note(data, name or "derived")


def is_known(masker: SecretMasker, value: bytes) -> bool:
    """Whether nothing of `value` is left when it is masked."""
    name = re.escape(b"{name}")
    pattern = re.escape(masker.placeholder.encode()).replace(name, rb"[\w.-]+")
    return re.fullmatch(rb"(?:%b)+" % pattern, masker.mask(value, counted=False)) is not None


def with_values(text: str, values: Values) -> str:
    """Return what is kept of an output whose JSON is `text`."""
    if not values:
        return text
    pairs = [[name, b64encode(value).decode()] for value, name in values]
    return f"{_MARK}{json.dumps(pairs)}\n{text}"


def without_values(text: str, learn: Learn | None) -> str:
    """Return the JSON of an output; `learn` is told of the values that were kept with it."""
    if not text.startswith(_MARK):
        return text
    head, _, text = text.removeprefix(_MARK).partition("\n")
    if learn is not None:
        for name, value in json.loads(head):
            learn(b64decode(value), name)
    return text


def _as_bytes(value: str | bytes | SecretValue) -> bytes:
    if isinstance(value, SecretValue):
        return value.reveal_bytes()
    return value.encode(errors="surrogatepass") if isinstance(value, str) else value
