"""SecretMasker: which values are secret, who owns them, and how often each was replaced.

Thread-safe. The forms of a value come from `encodings`, finding them is the business of `index`, cutting a stream
that of `stream`. Nothing here reads the environment, a file or a clock.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from threading import RLock
from typing import Final, TypeVar

from autokestra_secrets.masking.encodings import MIN_LENGTH, Form, forms, maskability
from autokestra_secrets.masking.index import Index
from autokestra_secrets.masking.objects import mask_object
from autokestra_secrets.masking.stream import StreamMasker
from autokestra_secrets.names import SecretValue

PLACEHOLDER: Final = "***SECRET***"
UNNAMED: Final = "unnamed"  # what `counts` and `unmaskable` call a value that was added without a name

T = TypeVar("T", str, bytes)


class SecretMasker:
    """Replaces the registered values, and their encoded forms, by a placeholder.

    `min_length` is in bytes and concerns plain values; encoded forms have floors of their own. `placeholder` may
    contain `{name}`.
    """

    def __init__(
        self,
        values: Iterable[str | bytes | SecretValue] = (),
        *,
        placeholder: str = PLACEHOLDER,
        min_length: int = MIN_LENGTH,
    ) -> None:
        self._placeholder = placeholder
        self._plain_placeholder = placeholder.encode()
        self._min_length = min_length
        self._era = 0
        self._parent: SecretMasker | None = None
        self._lock = RLock()
        self._reset()
        for value in values:
            self.add(value)

    def _reset(self) -> None:
        self._owners: dict[bytes, tuple[tuple[str, str], ...]] = {}
        self._fresh: list[Form] = []
        self._indexes: tuple[Index, ...] = ()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._unmaskable: dict[str, str] = {}

    def child(self) -> "SecretMasker":
        """Return a masker that sees all values of this one, also later ones, and keeps its own to itself.

        What a child replaces is counted here too.
        """
        child = SecretMasker(placeholder=self._placeholder, min_length=self._min_length)
        child._parent = self
        return child

    def add(self, value: str | bytes | SecretValue, name: str | None = None) -> None:
        """Register `value`. One that cannot be masked safely is listed in `unmaskable` instead; an empty one is not."""
        data = as_bytes(value)
        owner = name or UNNAMED
        reason = maskability(data, min_length=self._min_length)
        with self._lock:
            if reason is not None:
                if data:
                    self._unmaskable[owner] = reason
                return
            for form in forms(data, min_length=self._min_length):
                known = self._owners.get(form.data)
                if known is None:
                    self._fresh.append(form)
                    self._owners[form.data] = ((owner, form.kind),)
                elif all(owner != other for other, _ in known):
                    self._owners[form.data] = tuple(sorted((*known, (owner, form.kind))))

    def refuse(self, name: str, reason: str) -> None:
        """Note that a value of `name` could not be registered, and why. For `CommandLines`."""
        with self._lock:
            self._unmaskable[name] = reason

    def clear(self) -> None:
        """Forget all values of this masker, not those of its parent; counts stay."""
        with self._lock:
            counts = self._counts
            self._reset()
            self._counts = counts
            self._era += 1

    def mask(self, data: T) -> T:
        """Return `data` with every form of every value replaced."""
        if isinstance(data, str):
            raw = as_bytes(data)
            masked = self._mask_bytes(raw)
            return data if masked is raw else masked.decode("utf-8", "surrogateescape")
        return self._mask_bytes(bytes(data))

    def _mask_bytes(self, data: bytes) -> bytes:
        if not self.is_armed:
            return data
        stream = self.stream()
        return stream.feed(data) + stream.flush()

    def mask_object(self, obj: object) -> object:
        """Return a masked copy of a JSON-like value: strings, bytes, keys and dataclass fields, to any depth."""
        return mask_object(obj, self)

    def stream(self, *, commands: bool = False) -> StreamMasker:
        """Return a masker for one stream of bytes; with `commands`, `::add-mask::VALUE` lines register VALUE here."""
        return StreamMasker(self, commands=commands)

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """How often each secret was replaced so far, by name and form."""
        result: dict[str, dict[str, int]] = {}
        with self._lock:
            for (name, kind), count in sorted(self._counts.items()):
                result.setdefault(name, {})[kind] = count
        return result

    @property
    def unmaskable(self) -> dict[str, str]:
        """The values that cannot be masked safely: name and reason."""
        with self._lock:
            inherited = self._parent.unmaskable if self._parent else {}
            return inherited | self._unmaskable

    @property
    def is_armed(self) -> bool:
        """Whether there is anything to look for."""
        return bool(self._owners) or (self._parent is not None and self._parent.is_armed)

    def indexes(self) -> tuple[Index, ...]:
        """Return what to search with now. For `StreamMasker`."""
        if self._fresh:
            with self._lock:
                if self._fresh:
                    merged = [form for index in self._indexes for form in index.forms] + self._fresh
                    self._indexes, self._fresh = (Index(merged),), []
        return self._indexes + self._parent.indexes() if self._parent else self._indexes

    @property
    def era(self) -> int:
        """How often this masker or one above it was cleared. For `StreamMasker`."""
        return self._era + (self._parent.era if self._parent else 0)

    def replace(self, forms: Sequence[Form]) -> bytes:
        """Count a match that is made up of `forms`, and return its placeholder. For `StreamMasker`."""
        with self._lock:
            owners = [owner for form in forms for owner in self._owners_of(form)]
            self._count(owners)
        if "{name}" not in self._placeholder:
            return self._plain_placeholder
        names = sorted({name for name, _ in self._owners_of(forms[0])})
        shown = "+".join(name for name in names if name != UNNAMED) or "SECRET"
        return self._placeholder.replace("{name}", shown).encode()

    def _owners_of(self, form: Form) -> tuple[tuple[str, str], ...]:
        owners = self._owners.get(form.data)
        if owners is None and self._parent is not None:
            owners = self._parent._owners_of(form)
        return owners or ((UNNAMED, form.kind),)  # cleared in the meantime

    def _count(self, owners: Iterable[tuple[str, str]]) -> None:
        with self._lock:
            self._counts.update(owners)
        if self._parent is not None:
            self._parent._count(owners)


def as_bytes(value: str | bytes | SecretValue) -> bytes:
    """Return the bytes of a value; text is UTF-8, with the surrogates of `os.fsdecode` turned back into bytes."""
    if isinstance(value, SecretValue):
        return value.reveal_bytes()
    if isinstance(value, str):
        try:
            return value.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            return value.encode("utf-8", "surrogatepass")
    return bytes(value)
