"""Every public name of autokestra_secrets, used as a stranger would. It is never run: it has to type-check, strictly.

A line with `type: ignore[…]` is a misuse that has to be refused, with this error; when it no longer is, the check fails,
for an ignore without an error is one itself. What returns something is pinned with `assert_type`.
"""

import contextlib
import logging
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import assert_type

from autokestra_secrets import (
    ConflictError,
    CopyReport,
    DamagedError,
    InvalidKeyError,
    InvalidMetadataError,
    InvalidSecretNameError,
    InvalidSecretValueError,
    InvalidSettingError,
    KeyDescription,
    KeyMissingError,
    KeySlot,
    KeySlotNotFoundError,
    KeySlots,
    MasterKey,
    MasterKeyProvider,
    MissingSecretsError,
    OutputCipher,
    PermissionRefusedError,
    Problem,
    Reference,
    Report,
    RolledBackError,
    Sealed,
    SecretEncryption,
    SecretMasker,
    SecretMetadata,
    SecretName,
    SecretNotDeclaredError,
    SecretNotFoundError,
    SecretResolver,
    SecretScope,
    SecretsError,
    SecretStore,
    SecretValue,
    StoreUnavailableError,
    StreamMasker,
    TemplateError,
    UnknownFormatError,
    VersionNotFoundError,
    WrongKeyError,
    check_template,
    derive_key,
    find_references,
    home_directory,
    install_log_masking,
    is_postgres_url,
    make_home,
    maskability,
    masked_stdio,
    placeholder_from,
    resolve_templates,
    secret_name,
    shown_path,
)
from autokestra_secrets.testing import FIXED_KEY, MemoryBackend, assert_no_leak, fixed_keys, memory_store

# Every error is caught by the one base, and says three things.
ERRORS: tuple[type[SecretsError], ...] = (
    ConflictError,
    DamagedError,
    InvalidKeyError,
    InvalidMetadataError,
    InvalidSecretNameError,
    InvalidSecretValueError,
    InvalidSettingError,
    KeyMissingError,
    KeySlotNotFoundError,
    MissingSecretsError,
    PermissionRefusedError,
    RolledBackError,
    SecretNotDeclaredError,
    SecretNotFoundError,
    StoreUnavailableError,
    TemplateError,
    UnknownFormatError,
    VersionNotFoundError,
    WrongKeyError,
)


def a_store(path: Path) -> None:
    """Open, write, read, look back."""
    with SecretStore.open(path, keys=MasterKeyProvider(os.environ), notify=print) as store:
        assert_type(store, SecretStore)
        assert_type(store.set("A", "value", keep=3, tags=["x"], expires=datetime.now().astimezone()), SecretMetadata)
        store.set("B", b"\x00\xff", if_version=0, description="bytes")
        assert_type(store.set_many({"C": "c", "D": SecretValue("d")}), list[SecretMetadata])
        assert_type(store.get("A", version=1), SecretValue)
        assert_type(store.get("A").reveal(), str)
        assert_type(store.get("B").reveal_bytes(), bytes)
        assert_type(store.get_many(["A", "B"]), dict[str, SecretValue])
        assert_type(store.names(), frozenset[str])
        first = store.list()[0]
        assert_type(first.name, SecretName)
        assert_type(first.expires_at, int | None)
        assert_type(store.history("A"), list[SecretMetadata])
        assert_type(store.rollback("A", 1), SecretMetadata)
        store.describe("A", description=None, tags=None, expires=None)
        store.rename("A", "Z")
        store.delete("Z")
        assert_type(store.output_cipher(), OutputCipher | None)
        assert_type(store.copy_to(SecretStore.open()), CopyReport)
        report = store.verify()
        assert_type(report, Report)
        assert_type(report.problems, tuple[Problem, ...])

    store.get(b"A")  # type: ignore[arg-type]
    store.get("A") + "text"  # type: ignore[operator]  # a value is no text until it is revealed
    store.set("A", 12345)  # type: ignore[arg-type]
    store.set("A", None)  # type: ignore[arg-type]
    store.set("A", "value", True)  # type: ignore[call-arg]  # options are named
    store.describe("A", description=5)  # type: ignore[arg-type]
    store.rollback("A", "1")  # type: ignore[arg-type]
    os.environ["A"] = store.get("A")  # type: ignore[assignment]
    SecretStore.open(keys=FIXED_KEY)  # type: ignore[arg-type]


def keys(store: SecretStore) -> None:
    """Look at the keys, and change them."""
    slots = store.keys
    assert_type(slots, KeySlots)
    assert_type(slots.list(), list[KeySlot])
    new = MasterKey.parse(b"correct horse battery staple", source="typed")
    assert_type(new, MasterKey)
    assert_type(slots.add(new, label="daily"), KeySlot)
    assert_type(slots.add_recovery(), tuple[KeySlot, str])
    slots.remove(1, force=True)
    assert_type(slots.reencrypt(drop_others=True), int)
    provider = MasterKeyProvider()
    assert_type(provider.load(), MasterKey)
    assert_type(provider.describe(), KeyDescription)
    assert_type(provider.describe().path, str | None)
    slots.remove("1")  # type: ignore[arg-type]
    slots.add(b"bytes")  # type: ignore[arg-type]
    MasterKey(b"\0" * 32, kind="other", source="x")  # type: ignore[arg-type]


def names_and_values(given: str) -> SecretName:
    """A checked name is a text of its own kind."""
    name = secret_name(given)
    assert_type(name, SecretName)
    checked: SecretName = given  # type: ignore[assignment]  # what was not checked is not one
    value: str = SecretValue("v")  # type: ignore[assignment]
    SecretValue(5)  # type: ignore[arg-type]
    del checked, value
    return name


def encryption() -> None:
    """The envelope's primitives: bytes in, bytes out."""
    sealed = SecretEncryption(derive_key(b"\0" * 32, salt=b"\0" * 32, iterations=100_000)).seal(b"plain", aad=b"where")
    assert_type(sealed, Sealed)
    assert_type(SecretEncryption(b"\0" * 32).open(sealed, aad=b"where"), bytes)
    SecretEncryption(b"\0" * 32).seal("plain", aad=b"where")  # type: ignore[arg-type]
    SecretEncryption(b"\0" * 32).seal(b"plain")  # type: ignore[call-arg]  # where it belongs is never left out
    derive_key(b"\0" * 32, b"salt", 1)  # type: ignore[call-arg]
    cipher = OutputCipher(b"\0" * 32, store_id=b"\0" * 16, key_id=b"\0" * 16)
    assert_type(cipher.open(cipher.seal(b"plain", context=("a", "b")), context=("a", "b")), bytes)
    cipher.seal(b"plain", context="ab")  # type: ignore[arg-type]


def scopes_and_templates(store: SecretStore, masker: SecretMasker) -> object:
    """Only what was declared can be read."""
    resolver = SecretResolver(store, environ={"A": "fallback"})
    scope = resolver.scope(["A"], workflow="nightly")
    assert_type(scope, SecretScope)
    scope.check()
    scope.register(masker)
    assert_type(scope["A"], SecretValue)
    for reference in find_references({"text": "{{ secrets.A }}"}):
        assert_type(reference, Reference)
        assert_type(reference.path, tuple[str | int, ...])
    check_template("{{ secrets.A }}", roots={"secrets"})
    resolved: object = resolve_templates("{{ secrets.A }}", scope=scope, context={}, masker=masker)
    scope.close()
    scope["A"] = SecretValue("x")  # type: ignore[index]
    resolver.scope("A", "nightly")  # type: ignore[call-arg]
    resolve_templates("{{ secrets.A }}", context={})  # type: ignore[call-arg]  # without a scope is said: scope=None
    return resolved


def masking() -> Iterator[bytes]:
    """Texts stay texts, bytes stay bytes."""
    masker = SecretMasker(["value", b"bytes", SecretValue("secret")], placeholder="***", min_length=4)
    masker.add("another", name="A")
    assert_type(masker.mask("text"), str)
    assert_type(masker.mask(b"bytes"), bytes)
    masker.mask_object({"a": ["value"]})
    stream = masker.stream(commands=True)
    assert_type(stream, StreamMasker)
    yield stream.feed(b"chunk")
    yield stream.flush()
    with install_log_masking(masker, logging.getLogger("mine")), masked_stdio(masker):
        logging.getLogger("mine").warning("value")
    assert_type(maskability(b"abc", min_length=4), str | None)
    assert_type(placeholder_from({"AUTOKESTRA_MASK": "[{name}]"}), str)
    stream.feed("text")  # type: ignore[arg-type]  # a text cut in two may be cut within a character
    masker.add(5)  # type: ignore[arg-type]
    masker.mask(5)  # type: ignore[type-var]


def places() -> None:
    """Where things lie."""
    home = home_directory(os.environ)
    assert_type(home, str)
    make_home(home)
    assert_type(shown_path(home), str)
    assert_type(is_postgres_url("postgresql://host/db"), bool)
    is_postgres_url(Path("x"))  # type: ignore[arg-type]


def errors(store: SecretStore) -> tuple[str, str | None, int]:
    """What is caught tells what to do."""
    try:
        store.get("A")
    except SecretNotFoundError as error:
        assert_type(error.name, str)
        return error.message, error.hint, error.exit_code
    except MissingSecretsError as error:
        assert_type(error.names, tuple[str, ...])
    except SecretsError as error:
        error.value  # type: ignore[attr-defined]  # noqa: B018  # no error carries one
    raise SecretNotFoundError("A", hint=5)  # type: ignore[arg-type]


def testing_helpers() -> None:
    """What a program's own tests use."""
    store = memory_store({"A": "value"})
    assert_type(store, SecretStore)
    assert_type(fixed_keys(), MasterKeyProvider)
    with contextlib.closing(SecretStore(MemoryBackend(), keys=fixed_keys())):
        assert_no_leak([store.get("A"), FIXED_KEY], "log text", b"bytes", Path("log.txt"))
    memory_store(["A"])  # type: ignore[arg-type]
