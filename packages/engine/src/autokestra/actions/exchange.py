"""One HTTP exchange that can be stopped: connection, redirects, body with a limit, errors in plain words.

It runs in an event loop of its own, since a blocked socket of a thread cannot be woken but a task can be cancelled:
a cancel or a deadline ends it within a fraction of a second, whatever the server does. Nothing is read from the
engine's environment, no `.netrc`, no proxy settings, no certificates. Not here: what a workflow writes and gets.
"""

import asyncio
import logging
import math
import socket
import ssl
import threading
import time
from collections.abc import Coroutine, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from autokestra.actions.protocol import MAX_RESULT_BYTES, ActionContext, ActionError
from autokestra.actions.proxies import proxy_for

MAX_BODY_BYTES: Final = MAX_RESULT_BYTES
MAX_REDIRECTS: Final = 20
_POLL_SECONDS: Final = 0.1  # how late a cancel may be noticed
_FAREWELL_SECONDS: Final = 1.0  # for closing connections after a cancel

# The only headers of the user's that another origin gets: any other may be a credential (`X-Api-Key`).
_PUBLIC_HEADERS: Final = frozenset(
    ("accept", "accept-encoding", "accept-language", "connection", "content-length", "content-type", "cookie", "host",
     "user-agent")
)  # fmt: skip  # `cookie` is what the servers themselves have set for the new origin

# They log addresses (httpx) and headers (httpcore), around the masker and with every secret in them.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.CRITICAL + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to send. `headers` and `content` are bytes as they go on the wire."""

    method: str
    url: httpx.URL
    headers: list[tuple[bytes, bytes]]
    content: bytes | None
    follow_redirects: bool
    tls: ssl.SSLContext


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back; `content` is decoded from its transfer and content encodings."""

    status: int
    headers: httpx.Headers
    content: bytes
    url: str
    encoding: str | None


def exchange(request: Request, context: ActionContext, *, timeout: float) -> Answer:
    """Send `request` and read the whole answer, whatever its status. Raises ActionError; `timeout` is in seconds."""
    until = time.monotonic() + timeout
    loop = _Loop()
    try:
        return loop.run_until_complete(_watched(_exchange(request, context), context, until=until, seconds=timeout))
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


class _Loop(asyncio.SelectorEventLoop):
    """An event loop whose look-ups of names hold nobody up: neither a cancelled task nor the end of the engine.

    The default runs them in a pool whose threads are waited for at exit, and a name server that does not answer
    keeps one busy for half a minute.
    """

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        found = self.create_future()

        def deliver(result: Any, error: OSError | UnicodeError | None) -> None:
            if not found.done():
                found.set_result(result) if error is None else found.set_exception(error)

        def look_up() -> None:
            result, error = None, None
            try:
                result = socket.getaddrinfo(host, port, **options)
            except (OSError, UnicodeError) as problem:
                error = problem
            if not self.is_closed():
                try:
                    self.call_soon_threadsafe(deliver, result, error)
                except RuntimeError:  # closed in this moment
                    return

        threading.Thread(target=look_up, daemon=True).start()
        return await found


async def _watched(
    work: Coroutine[Any, Any, Answer], context: ActionContext, *, until: float, seconds: float
) -> Answer:
    """Wait for `work`, and cancel it when the time or somebody's patience is over."""
    deadline = math.inf if context.deadline is None else context.deadline
    task = asyncio.ensure_future(work)
    while True:
        now = time.monotonic()
        if context.cancelled.is_set():
            failure = ActionError("cancelled", reason="cancelled")
        elif now >= deadline:
            failure = ActionError("stopped, because its timeout has passed", reason="timeout")
        elif now >= until:
            failure = ActionError(f"no complete answer within {seconds:g} s", reason="timeout")
        else:
            await asyncio.wait({task}, timeout=min(_POLL_SECONDS, until - now, deadline - now))
            if task.done():
                return task.result()
            continue
        task.cancel()
        await asyncio.wait({task}, timeout=_FAREWELL_SECONDS)
        raise failure


async def _exchange(request: Request, context: ActionContext) -> Answer:
    transport = _Transport(request.tls, context.environ)
    async with httpx.AsyncClient(transport=transport, trust_env=False, follow_redirects=False, timeout=None) as client:  # noqa: S113  # `_watched` has the clock
        outgoing = client.build_request(request.method, request.url, headers=request.headers, content=request.content)
        for _ in range(MAX_REDIRECTS + 1):
            try:
                incoming = await client.send(outgoing, stream=True, auth=None)
                try:
                    if not (request.follow_redirects and incoming.next_request):
                        return await _read(incoming)
                    outgoing = _redirected(outgoing, incoming.next_request, context)
                finally:
                    await incoming.aclose()
            except (httpx.HTTPError, OSError, UnicodeError) as error:
                raise _explained(error, outgoing.url, transport.proxy) from None
    raise ActionError(f"more than {MAX_REDIRECTS} redirects", reason="connection")


def _redirected(before: httpx.Request, after: httpx.Request, context: ActionContext) -> httpx.Request:
    if after.url.scheme not in ("http", "https"):
        raise ActionError(f"redirected to '{after.url.scheme}:', which is neither http nor https", reason="connection")
    if _origin(before.url) == _origin(after.url):
        return after
    if after.method == before.method and before.headers.get("content-length", "0") != "0":
        # 307 and 308 repeat the body, and the body may be what nobody else is to know.
        raise ActionError(
            f"redirected to another origin, {_shown(after.url)}, with its body: not sent", reason="connection"
        )
    kept_back = [name for name in after.headers if name not in _PUBLIC_HEADERS]
    lost = kept_back + [name for name in before.headers if name == "authorization" and name not in kept_back]
    for name in kept_back:
        del after.headers[name]
    if lost:
        context.output.message(
            f"redirected to another origin, {_shown(after.url)}, which does not get: {', '.join(lost)}"
        )
    return after


def _origin(url: httpx.URL) -> tuple[str, str, int]:
    return url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80)


def _shown(url: httpx.URL) -> str:
    """Scheme, host and port; paths and queries may hold what is nobody's business."""
    return f"{url.scheme}://{url.netloc.decode('ascii', 'replace')}"


async def _read(response: httpx.Response) -> Answer:
    length = response.headers.get("content-length", "0")
    too_large = ActionError(f"the body is larger than {MAX_BODY_BYTES:,} bytes", reason="too-large")
    if response.request.method != "HEAD" and length.isdecimal() and len(length) < 20 and int(length) > MAX_BODY_BYTES:
        raise too_large
    if "," in response.headers.get("content-encoding", ""):
        # Each layer may multiply a chunk a thousand times before anyone can count it.
        raise ActionError("the body is compressed more than once", reason="bad-output")
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > MAX_BODY_BYTES:
            raise too_large
    return Answer(
        status=response.status_code,
        headers=response.headers,
        content=bytes(content),
        url=str(response.url.copy_with(username=None, password=None)),
        encoding=response.charset_encoding,
    )


class _Transport(httpx.AsyncBaseTransport):
    """Sends each request through the proxy that the task's variables name for it, or directly."""

    def __init__(self, tls: ssl.SSLContext, environ: Mapping[str, str]) -> None:
        self._tls = tls
        self._environ = environ
        self._open: dict[str | None, httpx.AsyncHTTPTransport] = {}
        self.proxy: httpx.URL | None = None  # of the last request

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        proxy = proxy_for(*_origin(request.url), self._environ)
        self.proxy = None if proxy is None else _proxy_url(proxy)
        if proxy not in self._open:
            self._open[proxy] = httpx.AsyncHTTPTransport(
                verify=self._tls,
                trust_env=False,
                proxy=None
                if self.proxy is None
                # httpcore would make a context from the engine's environment, but takes none for a plain proxy.
                else httpx.Proxy(self.proxy, ssl_context=self._tls if self.proxy.scheme == "https" else None),
            )
        return await self._open[proxy].handle_async_request(request)

    async def aclose(self) -> None:
        for transport in self._open.values():
            await transport.aclose()


def _proxy_url(text: str) -> httpx.URL:
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, UnicodeError):
        raise ActionError("the proxy variable holds no valid address", reason="bad-input") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise ActionError(f"a proxy of kind '{url.scheme}' is not supported, use http or https", reason="bad-input")
    return url


def _explained(error: Exception, url: httpx.URL, proxy: httpx.URL | None) -> ActionError:
    """Say in one line what went wrong. Foreign texts are not repeated: they may hold headers and addresses."""
    peer = _shown(url) if proxy is None else f"{_shown(url)} by way of the proxy {_shown(proxy)}"
    host = (url if proxy is None else proxy).host
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return ActionError(
                f"the certificate of {peer} is not accepted: {cause.verify_message}", reason="connection"
            )
        if isinstance(cause, ssl.SSLError):
            return ActionError(f"no TLS with {peer}: {cause.reason or 'broken off'}", reason="connection")
        if isinstance(cause, socket.gaierror | UnicodeError):
            return ActionError(f"no address found for the host '{host}'", reason="connection")
        if isinstance(cause, ConnectionRefusedError):
            return ActionError(f"{peer} refuses the connection", reason="connection")
        if isinstance(cause, OSError) and cause.strerror:
            return ActionError(f"no connection to {peer}: {cause.strerror}", reason="connection")
    match error:
        case httpx.ProxyError():
            text = f"no connection to {peer}: the proxy refuses it"
        case httpx.DecodingError():
            return ActionError("the body is not compressed in the way that its header says", reason="bad-output")
        case httpx.RemoteProtocolError():
            text = f"{peer} broke off, or its answer is no valid HTTP"
        case httpx.LocalProtocolError():
            return ActionError("the request has a header that HTTP does not allow", reason="bad-input")
        case _:
            text = f"the connection to {peer} is lost"
    return ActionError(text, reason="connection")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and all that led to it, the innermost of several attempts included."""
    pending: list[BaseException | None] = [error]
    seen = set()
    while pending:
        cause = pending.pop(0)
        if cause is None or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        pending += [cause.__cause__, cause.__context__]
        if isinstance(cause, BaseExceptionGroup):
            pending += cause.exceptions
