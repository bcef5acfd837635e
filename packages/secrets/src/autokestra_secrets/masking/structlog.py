"""A structlog processor. It imports nothing of structlog.

Put it last, behind the renderer: then the finished line is masked. Before a renderer it masks the event dictionary,
keys included, and renders an exception on its own, since a renderer would do so behind it.
"""

import sys
import traceback
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from autokestra_secrets.masking.masker import SecretMasker

WITHHELD: Final = "<event withheld: masking failed>"


class MaskingProcessor:
    """Masks what a structlog pipeline hands on: an event dictionary, a rendered line, or the arguments of a logger."""

    def __init__(self, masker: "SecretMasker") -> None:
        self._masker = masker

    def __call__(self, _logger: object, _method: str, event: Any) -> Any:
        """Return `event` masked; on failure, a text that says so."""
        try:
            if isinstance(event, dict):
                event = _with_rendered_exception(event)
            return self._masker.mask_object(event)
        except Exception:  # noqa: BLE001  # an event that cannot be masked must not pass
            return {"event": WITHHELD} if isinstance(event, dict) else WITHHELD


def _with_rendered_exception(event: dict[str, Any]) -> dict[str, Any]:
    info = event.get("exc_info")
    if not info:
        return event
    error = info if isinstance(info, BaseException) else info[1] if isinstance(info, tuple) else sys.exc_info()[1]
    rest = {key: value for key, value in event.items() if key != "exc_info"}
    if error is not None:
        rest["exception"] = "".join(traceback.format_exception(error)).rstrip("\n")
    return rest
