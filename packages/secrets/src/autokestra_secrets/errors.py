"""Every way in which the library can fail: one tree, a leaf for each remedy.

A leaf has an `exit_code` for command lines and a `hint` that says what to type next. No message, attribute,
repr or cause carries a value, a key or a rendered template; code that catches a foreign exception which might
hold one raises `from None`.
"""

from collections.abc import Sequence
from typing import ClassVar


class SecretsError(Exception):
    """Base of all errors of this library.

    `message` says what is wrong in lower case without a full stop; `hint` (or None) is the next thing to do.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InvalidSecretNameError(SecretsError):
    """The text is no secret name: 1 to 128 of `A-Z a-z 0-9 _ -`."""

    exit_code = 2


class InvalidSecretValueError(SecretsError):
    """The value is empty, longer than 1 MiB, not encodable as UTF-8, or bytes where text is needed."""

    exit_code = 2


class InvalidMetadataError(SecretsError):
    """A description, tag, label or time of expiry is too long, out of range, or cannot be shown safely."""

    exit_code = 2


class InvalidSettingError(SecretsError):
    """A variable of the environment has a value that cannot be used."""

    exit_code = 2


class InvalidKeyError(SecretsError):
    """A key source is there but holds no usable key: empty, malformed, checksum wrong, or passphrase too short."""

    exit_code = 5


class KeyMissingError(SecretsError):
    """The store has a key slot, or a worker needs a key, and no source of a master key has one."""

    exit_code = 5


class WrongKeyError(SecretsError):
    """The master key is well formed and the store is intact, but no slot opens with it."""

    exit_code = 6


class DamagedError(SecretsError):
    """Stored bytes fail authentication: flipped, moved, replayed or cut."""

    exit_code = 7


class RolledBackError(DamagedError):
    """The store is an older copy of one that this machine has already seen."""


class UnknownFormatError(SecretsError):
    """The store was written by a newer version, or is not a store at all."""

    exit_code = 7


class StoreUnavailableError(SecretsError):
    """The store is missing, a directory, locked for too long, or on a full or failing disk."""

    exit_code = 8


class PermissionRefusedError(SecretsError):
    """A file may not be read or written, or others may read a file that only its owner should."""

    exit_code = 9


class ConflictError(SecretsError):
    """Somebody else changed it first, or the target name is already taken."""

    exit_code = 11


class SecretNotFoundError(SecretsError):
    """One named secret is neither in the store nor, where allowed, in the environment."""

    exit_code = 4

    def __init__(self, name: str, *, hint: str | None = None) -> None:
        super().__init__(f"secret '{name}' not found", hint=hint or f"store it with: workflow secrets set {name}")
        self.name = name


class VersionNotFoundError(SecretsError):
    """The secret is there, but not in this version: never written, or no longer kept."""

    exit_code = 4

    def __init__(self, name: str, version: int) -> None:
        super().__init__(
            f"secret '{name}' has no version {version}", hint=f"see which are kept: workflow secrets history {name}"
        )
        self.name = name
        self.version = version


class KeySlotNotFoundError(SecretsError):
    """The store has no key slot of that number."""

    exit_code = 4


class MissingSecretsError(SecretsError):
    """Several declared secrets are absent; `names` lists all of them in the order of their declaration."""

    exit_code = 4

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        super().__init__(
            f"missing secrets: {', '.join(self.names)}",
            hint="store each with: workflow secrets set NAME",
        )


class SecretNotDeclaredError(SecretsError):
    """A template names a secret outside its scope."""

    exit_code = 3

    def __init__(self, name: str, *, workflow: str | None = None, hint: str | None = None) -> None:
        where = f" in workflow '{workflow}'" if workflow else ""
        super().__init__(
            f"secret '{name}' is not declared{where}", hint=hint or f"add it to the workflow: secrets: [{name}]"
        )
        self.name = name
        self.workflow = workflow


class TemplateError(SecretsError):
    """An expression cannot be parsed, is not allowed, or failed.

    `offset` is the index of its `{{` within the string, `number` counts the expressions of that string from 0,
    `path` leads to the string within the value that was resolved.
    """

    exit_code = 3

    def __init__(
        self,
        message: str,
        *,
        offset: int = 0,
        number: int = 0,
        path: tuple[str | int, ...] = (),
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.offset = offset
        self.number = number
        self.path = path
