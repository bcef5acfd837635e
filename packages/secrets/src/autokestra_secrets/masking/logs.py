"""Masking where Python programs report: logging, warnings, uncaught exceptions.

Everything is masked after rendering, so that two halves of a value which only meet in the finished text are caught
too. When masking itself fails, the text is withheld, never passed on. The caller's record and exception are never
changed.
"""

import copy
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from autokestra_secrets.masking.objects import mask_object
from autokestra_secrets.masking.reports import LOCK, Hook, masked_reports
from autokestra_secrets.masking.stdio import put_in_front, take_away

if TYPE_CHECKING:
    from autokestra_secrets.masking.masker import SecretMasker

WITHHELD: Final = "<log record withheld: masking failed>"
_STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}


class Installation(NamedTuple):
    """One active `install_log_masking`: its masker, and the logger it is for, None for all."""

    masker: "SecretMasker"
    logger: str | None

    def concerns(self, name: str) -> bool:
        """Whether records of the logger `name` are masked."""
        return self.logger is None or name == self.logger or name.startswith(self.logger + ".")


class _Registry:
    """What is installed now. The tuple is replaced, never changed, so that it can be read without the lock."""

    installed: tuple[Installation, ...] = ()


@contextmanager
def install_log_masking(masker: "SecretMasker", logger: logging.Logger | None = None) -> Iterator[None]:
    """Mask what `logger` and its descendants (default: every logger) hand to any handler, until the block ends.

    Handlers that are added later are covered. Without a `logger`, warnings and the reports of uncaught exceptions are
    masked too, also the report of an exception that leaves the block. Blocks may nest and overlap in any order.
    """
    name = None if logger is None or isinstance(logger, logging.RootLogger) else logger.name
    installation = Installation(masker, name)
    with LOCK:
        _Registry.installed += (installation,)
        for hook in _HOOKS:
            hook.install()
    try:
        with masked_reports(masker) if name is None else nullcontext():
            yield
    finally:
        with LOCK:
            _Registry.installed = tuple(other for other in _Registry.installed if other is not installation)
            if not _Registry.installed:
                for hook in _HOOKS:
                    hook.remove()


@contextmanager
def masked_stdio(masker: "SecretMasker") -> Iterator[None]:
    """Mask `sys.stdout` and `sys.stderr` until the block ends, then release what was held.

    The report of an exception that leaves the block is masked too. Blocks may overlap in any order: a stream that
    something else has replaced in the meantime is left alone.
    """
    ours = put_in_front(masker)
    try:
        with masked_reports(masker):
            yield
    finally:
        take_away(ours)


def _maskers(name: str | None) -> "list[SecretMasker]":
    """The maskers for the logger `name`, or for what is no logger's; each once."""
    found: dict[int, SecretMasker] = {}
    for installation in _Registry.installed:
        if installation.logger is None if name is None else installation.concerns(name):
            found[id(installation.masker)] = installation.masker
    return list(found.values())


def _mask(text: str, maskers: "list[SecretMasker]", *, counted: bool = True) -> str:
    for masker in maskers:
        text = masker.mask(text, counted=counted)
    return text


def _mask_again(text: str, maskers: "list[SecretMasker]") -> str:
    """Mask a text whose parts have been masked: a placeholder that is itself like a value is not masked twice."""
    for masker in maskers:
        shown = masker.placeholder
        if masker.mask(shown, counted=False) == shown:
            text = masker.mask(text)
        else:
            text = shown.join(map(masker.mask, text.split(shown)))
    return text


def _masked_object(obj: object, maskers: "list[SecretMasker]", *, counted: bool) -> tuple[Any, bool]:
    def mask_bytes(data: bytes) -> bytes:
        for masker in maskers:
            data = masker.mask(data, counted=counted)
        return data

    return mask_object(obj, lambda text: _mask(text, maskers, counted=counted), mask_bytes)


def masked_record(
    record: logging.LogRecord, maskers: "list[SecretMasker]", formatter: logging.Formatter
) -> logging.LogRecord:
    """Return `record`, or a masked copy when it holds a value anywhere: message, args, extra, exception, stack."""
    changes = _masked_message(record, maskers)
    for key, value in record.__dict__.items():
        if key not in _STANDARD:
            extra, changed = _masked_object(value, maskers, counted=True)
            if changed:
                changes[key] = extra
    trace = record.exc_text or (formatter.formatException(record.exc_info) if record.exc_info else "")
    masked_trace = _mask(trace, maskers)
    if masked_trace != trace:  # the exception itself is the caller's: it is left out, not changed
        changes.update(exc_info=None, exc_text=masked_trace)
    stack = record.stack_info or ""
    masked_stack = _mask(stack, maskers)
    if masked_stack != stack:
        changes["stack_info"] = masked_stack
    if not changes:
        return record
    clone = copy.copy(record)
    clone.__dict__.update(changes)
    return clone


def _masked_message(record: logging.LogRecord, maskers: "list[SecretMasker]") -> dict[str, Any]:
    args, args_changed = _masked_object(record.args, maskers, counted=False)
    try:
        message = record.getMessage()
    except Exception:  # noqa: BLE001  # logging would print message and arguments unmasked
        return {"msg": _mask(f"{record.msg} {record.args!r}", maskers), "args": None}
    masked = _mask(message, maskers)
    if masked == message and not args_changed:
        return {}
    if args and _renders_to(record.msg, args, masked):  # some formatters want the arguments
        return {"args": args}
    return {"msg": masked, "args": None}


def _renders_to(template: object, args: Any, masked: str) -> bool:
    try:
        return bool(str(template) % args == masked)
    except Exception:  # noqa: BLE001  # masked arguments need not fit `%d`
        return False


def _withheld(record: logging.LogRecord) -> logging.LogRecord:
    safe = ("name", "levelno", "levelname", "created", "msecs", "process", "thread", "pathname", "lineno")
    return logging.makeLogRecord({key: getattr(record, key) for key in safe} | {"msg": WITHHELD, "args": None})


def _handle(original: Callable[..., Any]) -> Callable[..., Any]:
    def handle(handler: logging.Handler, record: logging.LogRecord) -> Any:
        maskers = _maskers(record.name)
        if maskers:
            try:
                record = masked_record(record, maskers, handler.formatter or _DEFAULT_FORMATTER)
            except Exception:  # noqa: BLE001  # a record that cannot be masked must not pass
                record = _withheld(record)
        return original(handler, record)

    return handle


def _format(original: Callable[..., Any]) -> Callable[..., Any]:
    def format_(handler: logging.Handler, record: logging.LogRecord) -> str:
        text: str = original(handler, record)
        maskers = _maskers(record.name)
        try:
            return _mask_again(text, maskers)
        except Exception:  # noqa: BLE001  # a text that cannot be masked must not pass
            return WITHHELD

    return format_


def _format_warning(original: Callable[..., Any]) -> Callable[..., Any]:
    def formatwarning(*args: Any, **kwargs: Any) -> str:
        text: str = original(*args, **kwargs)
        try:
            return _mask(text, _maskers(None))
        except Exception:  # noqa: BLE001  # likewise
            return WITHHELD + "\n"

    return formatwarning


_DEFAULT_FORMATTER: Final = logging.Formatter()
_HOOKS: Final = (
    Hook(logging.Handler, "handle", _handle),
    Hook(logging.Handler, "format", _format),
    Hook(warnings, "formatwarning", _format_warning),
)
