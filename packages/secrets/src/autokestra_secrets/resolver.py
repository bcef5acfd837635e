"""Who may read which secret, where it was found, and what was read.

A workflow declares names; a `SecretScope` yields those and no others, from the store first and, where allowed,
from the environment. Values live in the scope from the first read until `close`. No template syntax, no
encryption and no masking here.
"""

import os
import threading
from collections.abc import Collection, Iterable, Mapping
from types import TracebackType
from typing import Final, Literal, Protocol, Self

from autokestra_secrets.errors import (
    InvalidSecretValueError,
    MissingSecretsError,
    SecretNotDeclaredError,
    SecretNotFoundError,
    SecretsError,
)
from autokestra_secrets.names import SecretName, SecretValue, secret_name

Source = Literal["store", "environment"]

RESERVED_PREFIX: Final = "AUTOKESTRA_"  # the engine's own variables, the master key among them


class ReadableStore(Protocol):
    """The two questions that a resolver asks of a store; `SecretStore` answers them."""

    def names(self) -> frozenset[str]:
        """All names in the store; needs no key."""
        ...

    def get_many(self, names: Iterable[str]) -> Mapping[str, SecretValue]:
        """The values of those names that are there, read in one transaction."""
        ...


class MaskerPort(Protocol):
    """What a resolver and the templates need of a masker; `SecretMasker` has it."""

    def add(self, value: str | bytes | SecretValue, name: str | None = None) -> None:
        """Mask `value` from now on and count its hits under `name`."""
        ...


class SecretResolver:
    """Finds declared secrets in a store and, with `fallback`, in environment variables of the same name.

    The store wins. `store` is None where there is none, which reads as an empty one. `environ` is consulted when a
    secret is read, not before; names that begin with `AUTOKESTRA_` are never taken from it, and an empty variable
    counts as absent.
    """

    def __init__(
        self, store: ReadableStore | None, *, environ: Mapping[str, str] = os.environ, fallback: bool = True
    ) -> None:
        self._store = store
        self._environ: Mapping[str, str] = environ if fallback else {}

    def scope(self, declared: Iterable[str], *, workflow: str | None = None) -> "SecretScope":
        """Return the scope of these names, in their order, without reading anything yet.

        `workflow` is named in errors. Raises InvalidSecretNameError.
        """
        return SecretScope(self, tuple(dict.fromkeys(secret_name(name) for name in declared)), workflow=workflow)

    def locate(self, names: Iterable[SecretName]) -> dict[SecretName, Source]:
        """Say for each name that exists where it would be read from; needs no key."""
        stored = self._store.names() if self._store is not None else frozenset()
        found: dict[SecretName, Source] = {}
        for name in names:
            if name in stored:
                found[name] = "store"
            elif self._variable(name):
                found[name] = "environment"
        return found

    def read(self, names: Iterable[SecretName]) -> dict[SecretName, tuple[SecretValue, Source]]:
        """Return value and source of each name that exists; the key is needed only if one is in the store."""
        sources = self.locate(names)
        wanted = [name for name, source in sources.items() if source == "store"]
        stored = self._store.get_many(wanted) if self._store is not None and wanted else {}
        values: dict[SecretName, tuple[SecretValue, Source]] = {}
        for name in sources:
            if name in stored:
                values[name] = (stored[name], "store")
            elif variable := self._variable(name):
                values[name] = (_environment_value(name, variable), "environment")
        return values

    def nearest(self, name: str, names: Collection[str] | None = None) -> str | None:
        """Return the name most like `name` among `names`, by default those in the store."""
        if names is None:
            names = self._store.names() if self._store is not None else ()
        from difflib import get_close_matches  # noqa: PLC0415  # only a mistake pays for it

        return next(iter(get_close_matches(name, sorted(names), n=1)), None)

    def _variable(self, name: SecretName) -> str:
        # Variable names ignore case on Windows, so the prefix is compared without it everywhere.
        return "" if name.upper().startswith(RESERVED_PREFIX) else self._environ.get(name, "")


def _environment_value(name: SecretName, text: str) -> SecretValue:
    try:
        # Bytes of a variable that are not UTF-8 arrive as surrogates (PEP 383); this gives back the bytes.
        data = text.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        data = b""
    if not data:
        raise InvalidSecretValueError(f"environment variable '{name}' is not valid Unicode text")
    return SecretValue(data)


class SecretScope:
    """The secrets of one workflow: `scope["NAME"]` gives a declared one and records the use.

    All declared values are read together, in one transaction, when the first of them is needed; threads may share a
    scope. `close` drops the values; it is a context manager.
    """

    def __init__(self, resolver: SecretResolver, names: tuple[SecretName, ...], *, workflow: str | None) -> None:
        self._resolver = resolver
        self._names = names
        self._workflow = workflow
        self._lock = threading.Lock()
        self._values: dict[SecretName, tuple[SecretValue, Source]] | None = None
        self._used: dict[str, Source] = {}
        self._closed = False

    @property
    def names(self) -> tuple[SecretName, ...]:
        """The declared names in the order of their declaration."""
        return self._names

    @property
    def used(self) -> dict[str, Source]:
        """Name and source of every secret read through `[]` so far, in that order; readable after `close` too."""
        with self._lock:
            return dict(self._used)

    def check(self) -> None:
        """Return if every declared secret exists. Raises MissingSecretsError that lists all missing ones.

        Reads no value, so it needs no key.
        """
        found = self.sources()
        missing = [name for name in self._names if name not in found]
        if missing:
            raise MissingSecretsError(missing)

    def sources(self) -> dict[str, Source]:
        """Where each declared secret that exists comes from: the store or the environment."""
        with self._lock:
            self._refuse_closed()
            if self._values is not None:
                return {name: source for name, (_, source) in self._values.items()}
        return dict[str, Source](self._resolver.locate(self._names).items())

    def register(self, masker: MaskerPort) -> None:
        """Add every declared secret that exists to `masker` under its name; does not count as use."""
        for name, (value, _) in self._load().items():
            masker.add(value, name)

    def __getitem__(self, name: str) -> SecretValue:
        """Return the value of a declared secret.

        Raises InvalidSecretNameError, SecretNotDeclaredError or SecretNotFoundError, and what the store raises when it
        cannot be opened.
        """
        asked = secret_name(name)
        if asked not in self._names:
            raise self._not_declared(asked)
        values = self._load()
        if asked not in values:
            raise self._not_found(asked)
        value, source = values[asked]
        with self._lock:
            self._used.setdefault(asked, source)
        return value

    def close(self) -> None:
        """Drop all values; reading afterwards is an error, closing twice is not."""
        with self._lock:
            self._closed = True
            self._values = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"SecretScope({', '.join(self._names)})"

    def _load(self) -> dict[SecretName, tuple[SecretValue, Source]]:
        with self._lock:
            self._refuse_closed()
            if self._values is None:
                self._values = self._resolver.read(self._names)
            return self._values

    def _refuse_closed(self) -> None:
        if self._closed:
            raise SecretsError("the scope of these secrets is closed", hint="read them before close(), in one scope")

    def _not_declared(self, name: SecretName) -> SecretNotDeclaredError:
        if name.upper().startswith(RESERVED_PREFIX):
            return SecretNotDeclaredError(
                name, workflow=self._workflow, hint=f"no workflow may use what begins with {RESERVED_PREFIX}"
            )
        near = self._resolver.nearest(name, self._names)
        hint = f"did you mean '{near}'? if not, add it to the workflow: secrets: [{name}]" if near else None
        return SecretNotDeclaredError(name, workflow=self._workflow, hint=hint)

    def _not_found(self, name: SecretName) -> SecretNotFoundError:
        near = self._resolver.nearest(name)
        hint = f"did you mean '{near}'? if not, store it with: workflow secrets set {name}" if near else None
        return SecretNotFoundError(name, hint=hint)
