"""The action `acme/webhook.send`: a JSON document to an address, signed so that the receiver can trust it.

The signature is what GitHub, Stripe and others use in one form or another: HMAC-SHA256 over the time and the body, in a
header. Whoever does not know the key can neither make one nor use an old one later.
"""

import hashlib
import hmac
import json
import time
import urllib.error
import urllib.request
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, HttpUrl

from autokestra.plugins import Context


class SendInputs(BaseModel):
    """What a task may say; each description is shown by `workflow plugin show` and by editors."""

    model_config = ConfigDict(extra="forbid")  # a key that is misspelt is an error

    url: HttpUrl = Field(description="Where to send it.")
    event: str = Field(min_length=1, description="What has happened, such as report.ready.")
    data: dict[str, Any] = Field(default_factory=dict, description="More about it.")
    key: str = Field(min_length=16, description="The key that the receiver knows too.")
    timeout: float = Field(default=10, gt=0, le=300, description="In seconds.")


class SendOutput(BaseModel):
    """What later tasks read as `tasks.ID.output`."""

    status: int
    delivery: str


def send(inputs: SendInputs, context: Context) -> SendOutput:
    """Sends a signed webhook."""
    # The same for each attempt of a task, so that the receiver can tell a repetition from a second event.
    delivery = f"{context.execution_id}/{context.task_id}"
    body = json.dumps({"event": inputs.event, "data": inputs.data}, sort_keys=True).encode()
    moment = str(int(time.time()))
    signature = sign(inputs.key, moment, body)
    # The engine masks the key, since it is a secret of the workflow. It does not know what we have made from it, and
    # whoever reads the signature in a log can send this very webhook again for a while.
    context.mask(signature)
    headers = {
        "Content-Type": "application/json",
        "X-Acme-Delivery": delivery,
        "X-Acme-Time": moment,
        "X-Acme-Signature": signature,
    }
    context.log(f"sending {inputs.event} as {delivery}, attempt {context.attempt}")
    request = urllib.request.Request(str(inputs.url), data=body, headers=headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=inputs.timeout) as answer:
            status = answer.status
    except urllib.error.HTTPError as error:
        with error:
            # Any exception is a failure of the task; its type and text are what the log says.
            raise RuntimeError(f"the receiver answered {error.code} {error.reason}") from None
    return SendOutput(status=status, delivery=delivery)


def sign(key: str, moment: str, body: bytes) -> str:
    """Return the signature of `body` at `moment`, in hex; the receiver compares it with `hmac.compare_digest`."""
    return hmac.new(key.encode(), moment.encode() + b"." + body, hashlib.sha256).hexdigest()
