"""Secrets for Python programs: encrypted at rest, read only by who declared them, masked in every log.

The front door. Each name is imported when it is first used, so that a program which only reads a secret
never pays for the template parser or the finder.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autokestra_secrets.backends.location import is_postgres_url
    from autokestra_secrets.backends.postgres_database import PostgresDatabase as PostgresDatabase
    from autokestra_secrets.copying import CopyReport
    from autokestra_secrets.encryption import Sealed, SecretEncryption, derive_key
    from autokestra_secrets.errors import (
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
        SecretsError,
        StoreUnavailableError,
        TemplateError,
        UnknownFormatError,
        VersionNotFoundError,
        WrongKeyError,
    )
    from autokestra_secrets.home import home_directory, make_home, shown_path
    from autokestra_secrets.keyslots import KeySlot, KeySlots
    from autokestra_secrets.masking.logs import install_log_masking, masked_stdio
    from autokestra_secrets.masking.masker import SecretMasker
    from autokestra_secrets.masking.policy import maskability, placeholder_from
    from autokestra_secrets.masking.stream import StreamMasker
    from autokestra_secrets.masterkey import KeyDescription, MasterKey, MasterKeyProvider
    from autokestra_secrets.names import SecretName, SecretValue, secret_name
    from autokestra_secrets.resolver import SecretResolver, SecretScope
    from autokestra_secrets.store import OutputCipher, SecretMetadata, SecretStore
    from autokestra_secrets.templates import Reference, check_template, find_references, resolve_templates
    from autokestra_secrets.verification import Problem, Report

_ROOMS = {
    "backends.location": ("is_postgres_url",),
    "backends.postgres_database": ("PostgresDatabase",),  # not in __all__: it needs the extra `postgres`
    "copying": ("CopyReport",),
    "encryption": ("Sealed", "SecretEncryption", "derive_key"),
    "errors": (
        "ConflictError",
        "DamagedError",
        "InvalidKeyError",
        "InvalidMetadataError",
        "InvalidSecretNameError",
        "InvalidSecretValueError",
        "InvalidSettingError",
        "KeyMissingError",
        "KeySlotNotFoundError",
        "MissingSecretsError",
        "PermissionRefusedError",
        "RolledBackError",
        "SecretNotDeclaredError",
        "SecretNotFoundError",
        "SecretsError",
        "StoreUnavailableError",
        "TemplateError",
        "UnknownFormatError",
        "VersionNotFoundError",
        "WrongKeyError",
    ),
    "home": ("home_directory", "make_home", "shown_path"),
    "keyslots": ("KeySlot", "KeySlots"),
    "masking.logs": ("install_log_masking", "masked_stdio"),
    "masking.masker": ("SecretMasker",),
    "masking.policy": ("maskability", "placeholder_from"),
    "masking.stream": ("StreamMasker",),
    "masterkey": ("KeyDescription", "MasterKey", "MasterKeyProvider"),
    "names": ("SecretName", "SecretValue", "secret_name"),
    "resolver": ("SecretResolver", "SecretScope"),
    "store": ("OutputCipher", "SecretMetadata", "SecretStore"),
    "templates": ("Reference", "check_template", "find_references", "resolve_templates"),
    "verification": ("Problem", "Report"),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = [  # noqa: RUF022  # sorted as people sort: case does not matter
    "check_template",
    "ConflictError",
    "CopyReport",
    "DamagedError",
    "derive_key",
    "find_references",
    "home_directory",
    "install_log_masking",
    "is_postgres_url",
    "InvalidKeyError",
    "InvalidMetadataError",
    "InvalidSecretNameError",
    "InvalidSecretValueError",
    "InvalidSettingError",
    "KeyDescription",
    "KeyMissingError",
    "KeySlot",
    "KeySlotNotFoundError",
    "KeySlots",
    "make_home",
    "maskability",
    "masked_stdio",
    "MasterKey",
    "MasterKeyProvider",
    "MissingSecretsError",
    "OutputCipher",
    "PermissionRefusedError",
    "placeholder_from",
    "Problem",
    "Reference",
    "Report",
    "resolve_templates",
    "RolledBackError",
    "Sealed",
    "secret_name",
    "SecretEncryption",
    "SecretMasker",
    "SecretMetadata",
    "SecretName",
    "SecretNotDeclaredError",
    "SecretNotFoundError",
    "SecretResolver",
    "SecretScope",
    "SecretsError",
    "SecretStore",
    "SecretValue",
    "shown_path",
    "StoreUnavailableError",
    "StreamMasker",
    "TemplateError",
    "UnknownFormatError",
    "VersionNotFoundError",
    "WrongKeyError",
]


def __getattr__(name: str) -> object:
    room = _ROOM_OF.get(name)
    if room is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{room}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
