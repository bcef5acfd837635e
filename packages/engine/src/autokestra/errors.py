"""Every way in which the engine can fail by itself: one tree, a leaf for each remedy and exit code.

Failures of secrets are `autokestra_secrets.SecretsError`, which has the same three attributes. What a task does
wrong is no exception here but a FAILED task run with a reason.
"""

from typing import ClassVar


class AutokestraError(Exception):
    """Base of all errors of the engine; `message`, `hint` (the next thing to type, or None) and `exit_code`."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(AutokestraError):
    """An argument is missing, malformed or cannot be combined with another."""

    exit_code = 2


class StateUnavailableError(AutokestraError):
    """The state database is missing, locked for too long, no database, or on a full or failing disk."""

    exit_code = 8


class StateFormatError(AutokestraError):
    """The state database was written by a newer version, or is none of ours."""

    exit_code = 7


class StatePermissionError(AutokestraError):
    """The state database or its directory may not be read or written."""

    exit_code = 9


class ExecutionNotFoundError(AutokestraError):
    """No execution has this id."""

    exit_code = 2


class ExecutionBusyError(AutokestraError):
    """Another process coordinates this execution, or one that this one would have to wait for."""

    exit_code = 11


class SettingsError(AutokestraError):
    """A setting of the environment or of `config.toml` does not fit, or has no place there."""

    exit_code = 2


class IsolationRefusedError(AutokestraError):
    """Isolation is required, and this machine or this workflow does without it."""

    exit_code = 9


class PoolUnavailableError(AutokestraError):
    """There is no scheduler, or no worker that may run this workflow."""

    exit_code = 8


class PoolRefusedError(AutokestraError):
    """A cluster that others could listen to or send code to, or a certificate that is none."""

    exit_code = 9
