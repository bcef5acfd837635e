"""What is printed about exceptions that nobody caught, masked after it has been drawn.

A block that masks is left before the interpreter reports an exception which came out of it. So such an exception is
remembered, by its id, and its report is masked all the same.
"""

import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import RLock
from typing import TYPE_CHECKING, Any, Final, TextIO, cast

from autokestra_secrets.masking.stdio import MaskedText

if TYPE_CHECKING:
    from autokestra_secrets.masking.masker import SecretMasker

LOCK: Final = RLock()  # of everything that is installed in this process


class Hook:
    """A function of another module that is replaced while something is installed, and put back afterwards.

    When somebody else has replaced it in the meantime, ours stays in their chain and passes everything through.
    """

    def __init__(self, owner: Any, name: str, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        self._owner, self._name, self._wrap = owner, name, wrap
        self._original: Callable[..., Any] | None = None
        self._ours: Callable[..., Any] | None = None

    def install(self) -> None:
        """Put ours in front, unless it is there."""
        if self._ours is None:
            self._original = getattr(self._owner, self._name)
            self._ours = self._wrap(self._original)
            setattr(self._owner, self._name, self._ours)

    def remove(self) -> None:
        """Put back what was there."""
        if self._ours is not None and getattr(self._owner, self._name) is self._ours:
            setattr(self._owner, self._name, self._original)
            self._original = self._ours = None


class Reports:
    """The maskers that concern reports now. Tuples and dicts are replaced, never changed: readers need no lock."""

    active: "tuple[SecretMasker, ...]" = ()
    escaped: "dict[int, SecretMasker]" = {}  # noqa: RUF012  # replaced, never changed


@contextmanager
def masked_reports(masker: "SecretMasker") -> Iterator[None]:
    """Mask the reports of uncaught exceptions until the block ends, and of one that leaves the block."""
    with LOCK:
        # One that is on its way out while a clean-up opens this block has yet to be reported; all others are forgotten.
        on_its_way = _ids(sys.exc_info()[1])
        Reports.escaped = {number: other for number, other in Reports.escaped.items() if number in on_its_way}
        Reports.active += (masker,)
        for hook in _HOOKS:
            hook.install()
    try:
        yield
    except GeneratorExit:
        raise
    except BaseException as error:
        Reports.escaped = {**Reports.escaped, id(error): masker}
        raise
    finally:
        with LOCK:
            place = next(at for at, other in enumerate(Reports.active) if other is masker)
            Reports.active = Reports.active[:place] + Reports.active[place + 1 :]
            if not Reports.active and not Reports.escaped:
                for hook in _HOOKS:
                    hook.remove()


def _error(args: tuple[Any, ...]) -> BaseException | None:
    """Return the exception that a hook is to report: an argument of its own, or held by its only one."""
    found: BaseException | None = args[1] if len(args) > 1 else getattr(args[0], "exc_value", None)
    return found


def _ids(error: BaseException | None) -> set[int]:
    """Return the ids of an exception and of all that a report of it shows: its causes, contexts and members."""
    pending, seen = [error], set[int]()
    while pending:
        shown = pending.pop()
        if isinstance(shown, BaseException) and id(shown) not in seen:
            seen.add(id(shown))
            pending += (shown.__cause__, shown.__context__, *getattr(shown, "exceptions", ()))
    return seen


def _concerned(args: tuple[Any, ...]) -> "list[SecretMasker]":
    """Return the maskers for a report, each once: what is active, and what the exception escaped from."""
    seen = _ids(_error(args))
    maskers = [*Reports.active, *(masker for number, masker in Reports.escaped.items() if number in seen)]
    return list({id(masker): masker for masker in maskers}.values())


def _uncaught(original: Callable[..., Any]) -> Callable[..., Any]:
    """Let a hook that reports exceptions print what it likes, masked: it may draw its own tracebacks."""

    def hook(*args: Any) -> None:
        with LOCK:  # one report at a time: sys.stderr is replaced for its length
            maskers, target = _concerned(args), sys.stderr
            if not maskers or target is None:
                original(*args)
                return
            streams: list[MaskedText] = []
            for masker in maskers:
                streams.append(MaskedText(cast("TextIO", streams[-1]) if streams else target, masker))
            sys.stderr = cast("TextIO", streams[-1])
            try:
                original(*args)
            except Exception:  # noqa: BLE001  # the interpreter would report both, on the stream behind ours
                traceback.print_exc()
                traceback.print_exception(_error(args))
            finally:
                sys.stderr = target
                for stream in reversed(streams):
                    stream.finish()

    return hook


_HOOKS: Final = (
    Hook(sys, "excepthook", _uncaught),
    Hook(sys, "unraisablehook", _uncaught),
    Hook(threading, "excepthook", _uncaught),
)
