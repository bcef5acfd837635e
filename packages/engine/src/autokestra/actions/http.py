"""`core/http.get` and `core/http.request`: what a workflow writes becomes a request, the answer becomes an output.

`exchange` does the talking. It is in this process, since it runs no one else's code.
"""

import base64
import codecs
import json
import os
import re
import ssl
from collections.abc import Iterator
from functools import cache
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar, Final
from urllib.parse import quote, urlencode

import certifi
import httpx
from pydantic import BaseModel, JsonValue

from autokestra.actions.exchange import Answer, Request, exchange
from autokestra.actions.file import refuse_private_path
from autokestra.actions.inputs import Auth, Fields, HttpGetInputs, HttpRequestInputs, Scalar
from autokestra.actions.protocol import ActionContext, ActionError, InputModel, check_json, read_json

# How much of an unexpected answer goes to the log.
EXCERPT_CHARACTERS: Final = 500

_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2: token


class HttpRequest:
    """Sends a request; output: `status`, `headers` (lower-case names), `body`, `url` (after redirects).

    `body` is parsed if the answer calls itself JSON, else text; of a binary answer it is null and `bodyBase64` is
    there too.
    """

    type: ClassVar[str] = "core/http.request"
    input_model: ClassVar[InputModel] = HttpRequestInputs

    def run(self, inputs: BaseModel, context: ActionContext) -> JsonValue:
        """Send it and wait for the whole answer. Raises ActionError when the status is not the expected one."""
        assert isinstance(inputs, HttpGetInputs)
        method = inputs.method if isinstance(inputs, HttpRequestInputs) else "GET"
        url = _url(inputs)
        content, content_type = _body(inputs)
        request = Request(
            method=method,
            url=url,
            headers=_headers(inputs, content_type, context),
            content=content,
            follow_redirects=method in ("GET", "HEAD") if inputs.follow_redirects is None else inputs.follow_redirects,
            tls=_tls(inputs, context),
        )
        if not inputs.verify:
            context.output.message("the certificate of the server is not checked (verify: false)", "warning")
        answer = exchange(request, context, timeout=inputs.timeout)
        line = f"HTTP status {_named(answer.status)}"
        context.output.message(f"{method} {url.host}: {line}, {len(answer.content):,} bytes")
        if not _is_expected(answer.status, inputs):
            expected = inputs.expected_status if isinstance(inputs.expected_status, list) else [inputs.expected_status]
            if excerpt := _excerpt(answer):
                context.output.message(excerpt, "error", limit=EXCERPT_CHARACTERS)
            raise ActionError(
                f"{line}, expected {' or '.join(map(str, expected))}",
                reason="http-status",
                output=_output(answer, strict=False),
            )
        return _output(answer, strict=True)


class HttpGet(HttpRequest):
    """Sends a GET request; everything else is as in `core/http.request`."""

    type: ClassVar[str] = "core/http.get"
    input_model: ClassVar[InputModel] = HttpGetInputs


def _url(inputs: HttpGetInputs) -> httpx.URL:
    try:
        url = httpx.URL(inputs.url)
    except (httpx.InvalidURL, UnicodeError):
        raise ActionError("url is no valid address", reason="bad-input") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise ActionError("url must begin with http:// or https:// and a host", reason="bad-input")
    has_authorization = inputs.auth is not None or any(name.lower() == "authorization" for name in inputs.headers)
    if url.userinfo and has_authorization:
        raise ActionError("credentials are given twice: in url, and in auth or a header", reason="bad-input")
    pairs = list(_pairs(inputs.query))
    if not pairs:
        return url
    added = urlencode(pairs, quote_via=quote).encode()
    return url.copy_with(query=url.query + b"&" + added if url.query else added)


def _pairs(fields: Fields) -> Iterator[tuple[str, str]]:
    for name, value in fields.items():
        _encoded(name, name="the name of a field")
        for item in value if isinstance(value, list) else [value]:
            if item is not None:
                text = _plain(item)
                _encoded(text, name=f"field '{name}'")
                yield name, text


def _encoded(text: str, *, name: str) -> bytes:
    """Return `text` as UTF-8. Raises ActionError for half of a surrogate pair, which passes pydantic's unions."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ActionError(f"{name} cannot be written as UTF-8", reason="bad-input") from None


def _plain(value: Scalar) -> str:
    """Write numbers and truth values as JSON does."""
    return value if isinstance(value, str) else json.dumps(value)


def _body(inputs: HttpGetInputs) -> tuple[bytes | None, bytes | None]:
    """Return the request's body and its content type."""
    if "json_body" in inputs.model_fields_set and isinstance(inputs, HttpRequestInputs):
        check_json(inputs.json_body, name="json", reason="bad-input")
        text = json.dumps(inputs.json_body, ensure_ascii=False, separators=(",", ":"))
        return text.encode(), b"application/json"
    if isinstance(inputs, HttpRequestInputs) and inputs.form is not None:
        return urlencode(list(_pairs(inputs.form))).encode(), b"application/x-www-form-urlencoded"
    if isinstance(inputs, HttpRequestInputs) and inputs.body is not None:
        return inputs.body.encode(), None
    return None, None


def _headers(inputs: HttpGetInputs, content_type: bytes | None, context: ActionContext) -> list[tuple[bytes, bytes]]:
    headers = {b"user-agent": f"autokestra/{_version()}".encode(), b"accept": b"*/*"}
    if content_type is not None:
        headers[b"content-type"] = content_type
    if inputs.auth is not None:
        headers[b"authorization"] = _authorization(inputs.auth, context)
    for name, value in inputs.headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ActionError(f"'{name}' cannot be the name of a header", reason="bad-input")
        if name.lower() in ("content-length", "transfer-encoding"):
            raise ActionError(f"header '{name}' follows from the body and cannot be given", reason="bad-input")
        headers[name.lower().encode()] = _encoded(_plain(value), name=f"header '{name}'").strip(b" \t")
    for name_bytes, value_bytes in headers.items():
        # The usual way there: a token that was stored with the line end of its file.
        if re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", value_bytes):
            raise ActionError(
                f"header '{name_bytes.decode()}' contains a line end or another control character", reason="bad-input"
            )
    return list(headers.items())


def _authorization(auth: Auth, context: ActionContext) -> bytes:
    if auth.basic is not None:
        pair = base64.b64encode(f"{auth.basic.username}:{auth.basic.password}".encode())
        context.mask(pair)  # made here, so no template has registered it, and servers like to echo headers
        return b"Basic " + pair
    return f"Bearer {auth.bearer}".encode()


def _tls(inputs: HttpGetInputs, context: ActionContext) -> ssl.SSLContext:
    if not inputs.verify:
        unchecked = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        unchecked.check_hostname = False
        unchecked.verify_mode = ssl.CERT_NONE
        return unchecked
    if inputs.ca_bundle is None and not context.environ.get("SSL_CERT_FILE"):
        return _public_authorities()
    bundle = os.path.abspath(context.workdir / (inputs.ca_bundle or context.environ["SSL_CERT_FILE"]))  # noqa: PTH100
    refuse_private_path(Path(bundle), context)
    try:
        return _trusting(bundle)
    except ssl.SSLError:
        problem = "holds no certificates in PEM form"
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
    raise ActionError(f"caBundle '{bundle}' {problem}", reason="bad-input")


def _trusting(bundle: str) -> ssl.SSLContext:
    """Not ssl.create_default_context, which takes certificates and a file for session keys from the environment."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks certificate and host name, TLS 1.2 at least
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # a bundle may name an intermediate, or the server itself
    context.load_verify_locations(cafile=bundle)
    return context


@cache
def _public_authorities() -> ssl.SSLContext:
    """Reading 140 certificates takes some 20 ms, so once."""
    return _trusting(certifi.where())


@cache
def _version() -> str:
    return version("autokestra")


def _named(status: int) -> str:
    """Add the registered phrase; the server's own is a text of anybody's."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _is_expected(status: int, inputs: HttpGetInputs) -> bool:
    expected = inputs.expected_status if isinstance(inputs.expected_status, list) else [inputs.expected_status]
    return str(status) in map(str, expected) or f"{status // 100}xx" in expected


def _output(answer: Answer, *, strict: bool) -> JsonValue:
    """Make the output; a body that calls itself JSON and is not becomes text when not `strict`."""
    output: dict[str, JsonValue] = {
        "status": answer.status,
        "headers": {name: _clean(value) for name, value in answer.headers.items()},
        "url": answer.url,
        "body": None,
    }
    if _is_json(answer):
        if not answer.content:
            return output
        try:
            return {**output, "body": read_json(answer.content, name="the body, by its content type,")}
        except ActionError as error:
            if strict:
                raise ActionError(error.message, reason=error.reason, output=_output_of_text(output, answer)) from None
    return _output_of_text(output, answer)


def _output_of_text(output: dict[str, JsonValue], answer: Answer) -> dict[str, JsonValue]:
    text = _text(answer)
    if text is None:
        return {**output, "bodyBase64": base64.b64encode(answer.content).decode()}
    return {**output, "body": text}


def _is_json(answer: Answer) -> bool:
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind in ("application/json", "text/json") or (kind.startswith("application/") and kind.endswith("+json"))


def _text(answer: Answer) -> str | None:
    """Return the body as text, None if it is none: not in its own encoding, or with NUL bytes."""
    try:
        encoding = codecs.lookup(answer.encoding or "utf-8").name
        text = answer.content.decode(encoding)
    except (LookupError, ValueError):
        return None
    return None if "\0" in text else text


def _clean(text: str) -> str:
    return text.encode(errors="replace").decode()


def _excerpt(answer: Answer) -> str | None:
    """Return the body for the log, None if it is no text. It is whole: only the log may cut, after it has masked."""
    return None if _text(answer) is None else answer.content.decode(answer.encoding or "utf-8", "replace")
