"""SecretMasker: which values are secret, who owns them, and how often each was replaced.

Thread-safe. The forms of a value come from `encodings`, finding them is the business of `index`, cutting a stream
that of `stream`. Nothing here reads the environment, a file or a clock.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from threading import RLock
from typing import Final, TypeVar

from autokestra_secrets.masking.encodings import forms
from autokestra_secrets.masking.index import Index
from autokestra_secrets.masking.needle import Needle, Owner
from autokestra_secrets.masking.objects import mask_object
from autokestra_secrets.masking.policy import MIN_LENGTH, PLACEHOLDER, maskability
from autokestra_secrets.masking.stream import StreamMasker
from autokestra_secrets.names import SecretValue

GROWTH: Final = 8  # an index is merged with a newer one of more than an eighth of its size
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
        self._names = "{name}" in placeholder
        self._min_length = min_length
        self._era = 0
        self._parent: SecretMasker | None = None
        self._shares = False
        self._told: Callable[[bytes, str], None] | None = None
        self._lock = RLock()
        self._reset()
        for value in values:
            self.add(value)

    def _reset(self) -> None:
        self._needles: dict[bytes, Needle] = {}
        self._fresh: list[Needle] = []
        self._indexes: tuple[Index, ...] = ()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._unmaskable: dict[str, str] = {}

    def child(self, *, shares: bool = False, told: Callable[[bytes, str], None] | None = None) -> "SecretMasker":
        """Return a masker that sees all values of this one, also later ones, and keeps its own to itself.

        With `shares` what is added to it is added here too. `told` is called with each value that is added to the
        child and can be masked, and its name, by whichever thread adds it. What a child replaces is counted here too.
        """
        child = SecretMasker(placeholder=self._placeholder, min_length=self._min_length)
        child._parent = self
        child._shares = shares
        child._told = told
        return child

    def add(self, value: str | bytes | SecretValue, name: str | None = None) -> None:
        """Register `value`. One that cannot be masked safely is listed in `unmaskable` instead; an empty one is not."""
        if self._shares and self._parent is not None:
            self._parent.add(value, name)
        data = as_bytes(value)
        owner = name or UNNAMED
        reason = maskability(data, min_length=self._min_length)
        with self._lock:
            if reason is not None:
                if data:
                    self._unmaskable[owner] = reason
                return
            for form in forms(data, min_length=self._min_length):
                needle = self._needles.get(form.data)
                if needle is None or needle.lead != form.lead:
                    owners = needle.owners if needle else None  # the same bytes, broken in another way
                    needle = Needle(form.data, lead=form.lead, exact=form.exact, owners=owners)
                    self._needles[form.data] = needle
                    self._fresh.append(needle)
                needle.add_owner(owner, form.kind)
        if self._told is not None:
            self._told(data, owner)

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

    def mask(self, data: T, *, counted: bool = True) -> T:
        """Return `data` with every form of every value replaced; unless `counted`, `counts` stay as they are."""
        if isinstance(data, str):
            raw = as_bytes(data)
            masked = self._mask_bytes(raw, counted=counted)
            return data if masked == raw else as_text(masked)
        return self._mask_bytes(bytes(data), counted=counted)

    def _mask_bytes(self, data: bytes, *, counted: bool) -> bytes:
        return StreamMasker(self, counted=counted).last(data) if self.is_armed else data

    def mask_object(self, obj: object) -> object:
        """Return a masked copy of a JSON-like value: strings, bytes, numbers, keys, dataclass fields, to any depth.

        An object of another kind is replaced by its masked text when that holds a value.
        """
        return mask_object(obj, self.mask, self.mask)[0]

    def stream(self, *, commands: bool = False) -> StreamMasker:
        """Return a masker for one stream of bytes; with `commands`, `::add-mask::VALUE` lines register VALUE here."""
        return StreamMasker(self, commands=commands)

    @property
    def placeholder(self) -> str:
        """What stands for a match; may contain `{name}`."""
        return self._placeholder

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
        return bool(self._needles) or (self._parent is not None and self._parent.is_armed)

    def indexes(self) -> tuple[Index, ...]:
        """Return what to search with now. For `StreamMasker`."""
        if self._fresh:
            with self._lock:
                if self._fresh:
                    self._indexes, self._fresh = _grown(self._indexes, self._fresh), []
        return self._indexes + self._parent.indexes() if self._parent else self._indexes

    @property
    def era(self) -> int:
        """How often this masker or one above it was cleared. For `StreamMasker`."""
        return self._era + (self._parent.era if self._parent else 0)

    def placeholder_for(self, needle: Needle) -> bytes:
        """Return the placeholder of a match that begins with `needle`. For `StreamMasker`."""
        if not self._names:
            return self._plain_placeholder
        names = sorted({name for name, _ in needle.owners if name != UNNAMED})
        return self._placeholder.replace("{name}", "+".join(names) or "SECRET").encode()

    def count(self, owners: Sequence[Owner]) -> None:
        """Add one replacement for each of `owners`, here and in every masker above. For `StreamMasker`."""
        with self._lock:
            for owner in owners:
                self._counts[owner] += 1
        if self._parent is not None:
            self._parent.count(owners)


def _grown(indexes: tuple[Index, ...], fresh: Sequence[Needle]) -> tuple[Index, ...]:
    """Return `indexes` with `fresh` forms: in a small one of their own, until that has grown to a part of the next.

    So a late value costs little, many late values cost little each, and there are never many indexes to search with.
    """
    kept = list(indexes)
    forms = list(fresh)
    while kept and len(kept[-1].forms) < GROWTH * len(forms):
        forms = [*kept.pop().forms, *forms]
    return (*kept, Index(forms))


def as_bytes(value: str | bytes | SecretValue) -> bytes:
    """Return the bytes of a value; text is UTF-8, with the surrogates of `os.fsdecode` turned back into bytes."""
    if isinstance(value, SecretValue):
        return value.reveal_bytes()
    if isinstance(value, str):
        try:
            return value.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:  # other lone surrogates: no UTF-8, but a text all the same
            return value.encode("utf-8", "surrogatepass")
    return bytes(value)


def as_text(data: bytes) -> str:
    """Return the text that `as_bytes` made into `data`."""
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data.decode("utf-8", "surrogateescape")
