"""`core/sleep` and `core/assert`."""

import time
from typing import Final

from pydantic import BaseModel, JsonValue

from autokestra.actions.inputs import AssertInputs, SleepInputs
from autokestra.actions.protocol import ActionContext, ActionError, check_time

_POLL_SECONDS: Final = 0.1  # how late a cancel may be noticed


class Sleep:
    """Waits; the output is null."""

    type: Final = "core/sleep"
    input_model: Final = SleepInputs

    def run(self, inputs: BaseModel, context: ActionContext) -> JsonValue:
        """Wait to the end. Raises ActionError when cancelled, or at the task's timeout."""
        assert isinstance(inputs, SleepInputs)
        end = time.monotonic() + inputs.duration
        while (left := end - time.monotonic()) > 0:
            check_time(context)
            time.sleep(min(left, _POLL_SECONDS))
        return None


class Assert:
    """Fails its task unless `that` is true, or a list of nothing else; the output is null."""

    type: Final = "core/assert"
    input_model: Final = AssertInputs

    def run(self, inputs: BaseModel, context: ActionContext) -> JsonValue:  # noqa: ARG002
        """Check. Raises ActionError. Only `true` counts: a text such as "false" or a number is most often a slip."""
        assert isinstance(inputs, AssertInputs)
        claims = inputs.that if isinstance(inputs.that, list) else [inputs.that]
        for number, claim in enumerate(claims):
            if claim is True:
                continue
            which = f"that[{number}]" if isinstance(inputs.that, list) else "that"
            if claim is not False:
                raise ActionError(
                    f"{which} is neither true nor false: compare it with something, as in {{{{ … == 5 }}}}",
                    reason="bad-input",
                )
            raise ActionError(inputs.message or f"{which} is false", reason="assertion")
        return None
