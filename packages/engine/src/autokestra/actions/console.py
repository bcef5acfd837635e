"""`core/console.log`: one message for the log of the execution."""

import json
from typing import Final

from pydantic import BaseModel, JsonValue

from autokestra.actions.inputs import LogInputs
from autokestra.actions.protocol import ActionContext, check_json


class ConsoleLog:
    """Writes `message` to the log; the output is null."""

    type: Final = "core/console.log"
    input_model: Final = LogInputs

    def run(self, inputs: BaseModel, context: ActionContext) -> JsonValue:
        """Log it."""
        assert isinstance(inputs, LogInputs)
        message = inputs.message
        check_json(message, name="message", reason="bad-input")
        text = message if isinstance(message, str) else json.dumps(message, ensure_ascii=False)
        context.output.message(text, inputs.level)
        return None
