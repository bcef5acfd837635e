"""`core/http.get` and `core/http.request` against real servers on loopback, with and without TLS and a proxy."""

import base64
import datetime as dt
import gzip
import ipaddress
import json
import logging
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HUGE = 10 * 1024 * 1024 + 1


class Handler(BaseHTTPRequestHandler):
    """Answers what the path asks for, and remembers what it was asked."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "test", ""

    def answer(self, body=b"", *, status=200, kind=None, **headers):
        self.send_response(status)
        if kind is not None:
            self.send_header("Content-Type", kind)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Transfer_Encoding" not in headers and "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def serve(self):
        parts = urlsplit(self.path)
        self.query = parse_qs(parts.query, keep_blank_values=True)
        length = int(self.headers.get("Content-Length", 0))
        self.body = self.rfile.read(length)
        request = {
            "path": self.path,
            "method": self.command,
            "headers": {k.lower(): v for k, v in self.headers.items()},
        }
        request["body"] = self.body.decode("latin-1")
        self.server.requests.append(request)
        self.request_seen = request
        getattr(self, parts.path.rpartition("/")[2].replace("-", "_") or "echo")()

    do_GET = do_POST = do_HEAD = do_PUT = serve

    def echo(self):
        self.answer(json.dumps(self.request_seen).encode(), kind="application/json")

    def text(self):
        self.answer("ü €".encode(), kind="text/plain")

    def latin(self):
        self.answer("ü".encode("latin-1"), kind="text/plain; charset=latin-1")

    def odd_charset(self):
        self.answer(b"x", kind="text/plain; charset=klingon")

    def binary(self):
        self.answer(b"\x89PNG\xff", kind="image/png")

    def nul(self):
        self.answer(b"a\0b", kind="text/plain")

    def problem(self):
        self.answer(b'{"title": "no"}', kind="application/problem+json; charset=utf-8", status=422)

    def empty_json(self):
        self.answer(b"", kind="application/json")

    def bad_json(self):
        self.answer(b"{'no': NaN}", kind="application/json", status=int(self.query.get("status", ["200"])[0]))

    def error(self):
        self.answer(
            self.query.get("body", ["not here"])[0].encode(), status=int(self.query["status"][0]), kind="text/plain"
        )

    def picture_error(self):
        self.answer(b"\0\1", status=500)

    def cookies(self):
        self.send_response(200)
        self.send_header("Set-Cookie", "a=1")
        self.send_header("Set-Cookie", "b=2")
        self.send_header("X-Raw", b"caf\xe9".decode("latin-1"))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def redirect(self):
        headers = {"Set_Cookie": "seen=yes"} if "cookie" in self.query else {}
        self.answer(b"moved", status=int(self.query.get("status", ["302"])[0]), Location=self.query["to"][0], **headers)

    def hang(self):
        self.server.released.wait(30)

    def drip(self):
        self.answer(b"", Content_Length="1000")
        while not self.server.released.wait(0.05):
            self.wfile.write(b"x")

    def huge(self):
        self.answer(b"", Content_Length=str(HUGE))

    def endless(self):
        self.answer(b"", Transfer_Encoding="chunked")
        while True:
            self.wfile.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")

    def largest(self):
        self.answer(b"x" * (HUGE - 1), kind="text/plain")

    def gzip(self):
        self.answer(gzip.compress(b"zipped"), kind="text/plain", Content_Encoding="gzip")

    def bomb(self):
        self.answer(gzip.compress(b"\0" * 20_000_000), Content_Encoding="gzip")

    def twice(self):
        self.answer(gzip.compress(gzip.compress(b"x")), Content_Encoding="gzip, gzip")

    def no_gzip(self):
        self.answer(b"plain", Content_Encoding="gzip")

    def drop(self):
        self.close_connection = True

    def half(self):
        self.answer(b"only this", Content_Length="100")
        self.close_connection = True

    def log_message(self, *arguments):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, handler=Handler, *, tls=None):
        super().__init__(("127.0.0.1", 0), handler)
        self.requests = []
        self.released = threading.Event()
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.server_port}"
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True)

    def handle_error(self, request, client_address):
        """A client that hangs up is what some tests are about."""


@contextmanager
def serving(*arguments, **options):
    with Server(*arguments, **options) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.released.set()
            server.shutdown()
            thread.join()


@pytest.fixture
def server():
    with serving() as server:
        yield server


@pytest.fixture
def other():
    with serving() as server:
        yield server


@pytest.fixture
def get(run):
    return lambda url, given=None, **inputs: run("core/http.get", {"url": url} | inputs, **given or {})


@pytest.fixture
def request_(run):
    return lambda url, given=None, **inputs: run("core/http.request", {"url": url} | inputs, **given or {})


def timed(action):
    start = time.monotonic()
    result = action()
    return result, time.monotonic() - start


# --- what is sent


def test_get_sends_headers_and_query(get, server):
    ran = get(
        f"{server.url}/echo?a=1",
        headers={"X-Token": "tök", "X-Number": 3, "X-Truth": True},
        query={"b": [1, "zwei &"], "c": True, "d": None, "e": 1.5},
    )
    assert ran.error is None
    assert "/echo?a=1&b=1&b=zwei%20%26&c=true&e=1.5" == ran.output["body"]["path"]
    headers = ran.output["body"]["headers"]
    assert ("tök".encode(), "3", "true") == (
        headers["x-token"].encode("latin-1"),
        headers["x-number"],
        headers["x-truth"],
    )
    assert headers["user-agent"].startswith("autokestra/")
    assert "authorization" not in headers


def test_output_tells_status_headers_and_address(get, server):
    ran = get(f"{server.url}/text", query={"a": 1})
    assert {"status", "headers", "url", "body"} == set(ran.output)
    assert (200, "ü €", f"{server.url}/text?a=1") == (ran.output["status"], ran.output["body"], ran.output["url"])
    assert "text/plain" == ran.output["headers"]["content-type"]
    assert [("info", "GET 127.0.0.1: HTTP status 200 OK, 6 bytes")] == ran.log.messages


@pytest.mark.parametrize(
    ("inputs", "body", "kind"),
    [
        ({"json": {"ü": [1, None]}}, '{"ü":[1,null]}', "application/json"),
        ({"json": None}, "null", "application/json"),
        ({"form": {"a": "x y&", "b": [1, 2], "c": None}}, "a=x+y%26&b=1&b=2", "application/x-www-form-urlencoded"),
        ({"body": "ü"}, "ü", None),
        ({"body": "<a/>", "headers": {"content-type": "text/xml"}}, "<a/>", "text/xml"),
        ({"json": 1, "headers": {"Content-Type": "application/x+json"}}, "1", "application/x+json"),
        ({}, "", None),
    ],
)
def test_bodies(request_, server, inputs, body, kind):
    ran = request_(f"{server.url}/echo", method="POST", **inputs)
    seen = ran.output["body"]
    assert ("POST", body.encode(), kind) == (
        seen["method"],
        seen["body"].encode("latin-1"),
        seen["headers"].get("content-type"),
    )


@pytest.mark.parametrize(
    ("auth", "header"),
    [
        ({"bearer": "t0ken"}, "Bearer t0ken"),
        ({"basic": {"username": "me", "password": "p:ü"}}, "Basic " + base64.b64encode("me:p:ü".encode()).decode()),
    ],
)
def test_credentials(get, server, auth, header):
    assert header == get(f"{server.url}/echo", auth=auth).output["body"]["headers"]["authorization"]


def test_credentials_that_are_made_here_are_registered_with_the_masker(get, server):
    masked = []
    get(f"{server.url}/echo", {"mask": masked.append}, auth={"basic": {"username": "me", "password": "secret"}})
    assert [base64.b64encode(b"me:secret")] == masked


def test_credentials_in_the_address_are_sent_and_not_shown(get, server):
    url = server.url.replace("//", "//me:hidden@")
    ran = get(f"{url}/echo")
    assert "Basic " + base64.b64encode(b"me:hidden").decode() == ran.output["body"]["headers"]["authorization"]
    assert f"{server.url}/echo" == ran.output["url"]
    assert "hidden" not in str(ran.log.messages)


def test_credentials_given_twice_are_refused(get, server):
    url = server.url.replace("//", "//me:hidden@")
    for inputs in ({"auth": {"bearer": "t"}}, {"headers": {"Authorization": "t"}}):
        assert "credentials are given twice: in url, and in auth or a header" == get(url, **inputs).message
    assert [] == server.requests


def test_head_has_no_body(request_, server):
    ran = request_(f"{server.url}/largest", method="HEAD")
    assert (200, "") == (ran.output["status"], ran.output["body"])


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://example.com/", "url must begin with http:// or https:// and a host"),
        ("example.com/hidden", "url must begin with http:// or https:// and a host"),
        ("http://", "url must begin with http:// or https:// and a host"),
        ("http://x\nhidden/", "url is no valid address"),
        ("http://x:hidden/", "url is no valid address"),
    ],
)
def test_wrong_address_is_refused_without_repeating_it(get, url, message):
    ran = get(url)
    assert ("bad-input", message) == (ran.reason, ran.message)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"headers": {"X-Token": "hidden\n"}}, "header 'x-token' contains a line end or another control character"),
        ({"auth": {"bearer": "hidden\r\n"}}, "header 'authorization' contains a line end or another control character"),
        ({"headers": {"Content-Length": 100}}, "header 'Content-Length' follows from the body and cannot be given"),
        ({"headers": {"X Token": "hidden"}}, "'X Token' cannot be the name of a header"),
        ({"headers": {"X-Token": "hidden\ud800"}}, "header 'X-Token' cannot be written as UTF-8"),
        ({"query": {"a": "hidden\ud800"}}, "field 'a' cannot be written as UTF-8"),
        ({"query": {"\ud800": "hidden"}}, "the name of a field cannot be written as UTF-8"),
    ],
)
def test_what_cannot_be_sent_is_refused_without_repeating_it(get, server, inputs, message):
    ran = get(server.url, **inputs)
    assert ("bad-input", message) == (ran.reason, ran.message)
    assert [] == server.requests


def test_json_that_is_none_is_refused(request_, server):
    ran = request_(server.url, json={"a": float("nan")})
    assert ("bad-input", "json.a is nan, which JSON cannot hold") == (ran.reason, ran.message)


# --- what comes back


@pytest.mark.parametrize(
    ("path", "body"), [("latin", "ü"), ("empty-json", None), ("gzip", "zipped"), ("largest", "x" * (HUGE - 1))]
)
def test_body_is_decoded(get, server, path, body):
    ran = get(f"{server.url}/{path}")
    assert body == ran.output["body"]
    assert "bodyBase64" not in ran.output


@pytest.mark.parametrize(("path", "data"), [("binary", b"\x89PNG\xff"), ("nul", b"a\0b"), ("odd-charset", b"x")])
def test_body_that_is_no_text_comes_as_base64(get, server, path, data):
    ran = get(f"{server.url}/{path}")
    assert (None, data) == (ran.output["body"], base64.b64decode(ran.output["bodyBase64"]))


def test_repeated_headers_are_joined(get, server):
    headers = get(f"{server.url}/cookies").output["headers"]
    assert ("a=1, b=2", "café") == (headers["set-cookie"], headers["x-raw"])


def test_body_that_calls_itself_json_and_is_not_fails(get, server):
    ran = get(f"{server.url}/bad-json")
    assert ("bad-output", "the body, by its content type, is no JSON") == (ran.reason, ran.message)
    assert "{'no': NaN}" == ran.output["body"]


@pytest.mark.parametrize(
    ("status", "expected", "message"),
    [
        (404, "2xx", "HTTP status 404 Not Found, expected 2xx"),
        (302, "2xx", "HTTP status 302 Found, expected 2xx"),
        (200, [201, "3xx"], "HTTP status 200 OK, expected 201 or 3xx"),
        (299, 204, "HTTP status 299, expected 204"),
    ],
)
def test_unexpected_status_fails_and_shows_the_body(get, server, status, expected, message):
    ran = get(f"{server.url}/error", query={"status": status, "body": "two\nlines"}, expectedStatus=expected)
    assert ("http-status", message) == (ran.reason, ran.message)
    assert (status, "two\nlines") == (ran.output["status"], ran.output["body"])
    assert ("error", "two\nlines") == ran.log.messages[-1]


@pytest.mark.parametrize(
    ("status", "expected"), [(404, 404), (404, "404"), (404, [200, 404]), (503, ["5xx"]), (204, "2xx")]
)
def test_expected_status_is_a_success(get, server, status, expected):
    assert status == get(f"{server.url}/error", query={"status": status}, expectedStatus=expected).output["status"]


def test_json_of_an_error_is_parsed(get, server):
    ran = get(f"{server.url}/problem")
    assert ("http-status", {"title": "no"}) == (ran.reason, ran.output["body"])
    assert "http-status" == get(f"{server.url}/bad-json?status=500").reason


def test_body_of_an_error_goes_to_the_log_whole_and_is_cut_there(get, server):
    """Only the log knows where a secret ends, so nothing is cut before it."""
    body = "start " + "w" * 600
    assert body[:500] == get(f"{server.url}/error", query={"status": 500, "body": body}).log.messages[-1][1]


@pytest.mark.parametrize("url", ["error?status=500&body=", "picture-error"])
def test_body_of_an_error_that_cannot_be_shown_is_left_out(get, server, url):
    ran = get(f"{server.url}/{url}")
    assert "http-status" == ran.reason
    assert ["info"] == [level for level, _ in ran.log.messages]


@pytest.mark.parametrize(
    ("path", "reason", "message"),
    [
        ("huge", "too-large", "the body is larger than 10,485,760 bytes"),
        ("endless", "too-large", "the body is larger than 10,485,760 bytes"),
        ("bomb", "too-large", "the body is larger than 10,485,760 bytes"),
        ("twice", "bad-output", "the body is compressed more than once"),
        ("no-gzip", "bad-output", "the body is not compressed in the way that its header says"),
        ("drop", "connection", "{url} broke off, or its answer is no valid HTTP"),
        ("half", "connection", "{url} broke off, or its answer is no valid HTTP"),
    ],
)
def test_bad_answers(get, server, path, reason, message):
    ran = get(f"{server.url}/{path}")
    assert (reason, message.format(url=server.url)) == (ran.reason, ran.message)


# --- redirects


def test_get_follows_redirects_and_request_only_when_told(get, request_, server):
    url = f"{server.url}/redirect?to=/text"
    assert f"{server.url}/text" == get(url).output["url"]
    assert f"{server.url}/text" == request_(url, method="HEAD").output["url"]
    assert "HTTP status 302 Found, expected 2xx" == get(url, followRedirects=False).message
    assert "HTTP status 302 Found, expected 2xx" == request_(url, method="POST").message
    assert 200 == request_(url, method="POST", followRedirects=True).output["status"]


def test_credentials_go_along_within_an_origin(get, server):
    ran = get(f"{server.url}/redirect?to=/echo", headers={"X-Api-Key": "k"}, auth={"bearer": "t"})
    headers = ran.output["body"]["headers"]
    assert ("k", "Bearer t") == (headers["x-api-key"], headers["authorization"])


def test_credentials_do_not_go_to_another_origin(get, server, other):
    ran = get(
        f"{server.url}/redirect?to={other.url}/echo",
        headers={"X-Api-Key": "k", "Cookie": "session=s", "Accept": "text/x"},
        auth={"bearer": "t"},
    )
    headers = ran.output["body"]["headers"]
    assert {"accept", "accept-encoding", "connection", "host", "user-agent"} == set(headers)
    assert ("text/x", urlsplit(other.url).netloc) == (headers["accept"], headers["host"])
    told = f"redirected to another origin, {other.url}, which does not get: x-api-key, authorization"
    assert ("info", told) in ran.log.messages


def test_credentials_in_the_address_do_not_go_to_another_origin(get, server, other):
    url = server.url.replace("//", "//me:hidden@")
    ran = get(f"{url}/redirect?to={other.url}/echo")
    assert "authorization" not in ran.output["body"]["headers"]


def test_redirect_to_another_origin_without_credentials_needs_no_words(get, server, other):
    ran = get(f"{server.url}/redirect?to={other.url}/echo")
    assert 1 == len(ran.log.messages)


def test_cookies_of_a_redirect_come_back_to_their_server_only(get, server):
    assert "seen=yes" == get(f"{server.url}/redirect?cookie=1&to=/echo").output["body"]["headers"]["cookie"]
    foreign = f"http://localhost:{server.server_port}"
    assert "cookie" not in get(f"{server.url}/redirect?cookie=1&to={foreign}/echo").output["body"]["headers"]


def test_body_is_repeated_within_an_origin_and_nowhere_else(request_, server, other):
    inputs = {"method": "POST", "body": "hidden", "followRedirects": True}
    assert "hidden" == request_(f"{server.url}/redirect?status=307&to=/echo", **inputs).output["body"]["body"]
    ran = request_(f"{server.url}/redirect?status=308&to={other.url}/echo", **inputs)
    assert ("connection", f"redirected to another origin, {other.url}, with its body: not sent") == (
        ran.reason,
        ran.message,
    )
    assert [] == other.requests


def test_redirect_of_a_post_becomes_a_get_without_body(request_, server, other):
    url = f"{server.url}/redirect?status=303&to={other.url}/echo"
    seen = request_(url, method="POST", body="hidden", followRedirects=True).output["body"]
    assert ("GET", "") == (seen["method"], seen["body"])


def test_redirects_in_a_circle_end(get, server):
    Handler.circle = lambda self: self.answer(status=302, Location="/circle")
    ran = get(f"{server.url}/circle")
    assert ("connection", "more than 20 redirects") == (ran.reason, ran.message)
    assert 21 == len(server.requests)


@pytest.mark.parametrize(
    ("to", "message"),
    [
        ("ftp://example.com/", "redirected to 'ftp:', which is neither http nor https"),
        ("file:///etc/passwd", "redirected to 'file:', which is neither http nor https"),
        ("http://x:y/", "{url} broke off, or its answer is no valid HTTP"),
    ],
)
def test_redirect_to_nowhere(get, server, to, message):
    ran = get(f"{server.url}/redirect", query={"to": to})
    assert ("connection", message.format(url=server.url)) == (ran.reason, ran.message)


# --- connections


def test_refused_connection(get):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        ran = get(f"{url}/path?token=hidden")
    assert ("connection", f"{url} refuses the connection") == (ran.reason, ran.message)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "x" * 64 + ".invalid"])
def test_unknown_host(get, host):
    ran = get(f"http://{host}/?token=hidden")
    assert "connection" == ran.reason
    assert ran.message in (f"no address found for the host '{host}'", f"http://{host} refuses the connection")


def test_refused_connection_of_a_host_with_several_addresses(get, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        addresses = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{last}", port)) for last in (1, 2)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: addresses)
        url = f"http://two.example:{port}"
        assert f"{url} refuses the connection" == get(url).message


def test_network_that_cannot_be_reached(get):
    ran = get("http://255.255.255.255/")
    assert "connection" == ran.reason
    assert ran.message.startswith("no connection to http://255.255.255.255: ")


def test_port_that_speaks_something_else(get):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet():
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"220 mail.example ESMTP\r\n")
                connection.recv(1000)

        thread = threading.Thread(target=greet)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        ran = get(url)
        thread.join()
    assert ("connection", f"{url} broke off, or its answer is no valid HTTP") == (ran.reason, ran.message)


def test_connection_that_is_reset(get):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def reset():
            connection, _ = listener.accept()
            connection.recv(1000)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.close()

        thread = threading.Thread(target=reset)
        thread.start()
        ran = get(f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread.join()
    assert "connection" == ran.reason


# --- time


@pytest.mark.parametrize("path", ["hang", "drip"])
def test_timeout_is_for_the_whole_exchange(get, server, path):
    ran, seconds = timed(lambda: get(f"{server.url}/{path}", timeout="0.3s"))
    assert ("timeout", "no complete answer within 0.3 s") == (ran.reason, ran.message)
    assert 0.3 <= seconds < 1.8


@pytest.mark.parametrize("path", ["hang", "drip"])
def test_timeout_of_the_task_counts_too(get, server, path):
    ran, seconds = timed(lambda: get(f"{server.url}/{path}", {"deadline": time.monotonic() + 0.3}))
    assert ("timeout", "stopped, because its timeout has passed") == (ran.reason, ran.message)
    assert seconds < 1.8


@pytest.mark.parametrize("path", ["hang", "drip"])
def test_cancel_ends_a_request_within_a_second(get, server, path):
    cancelled = threading.Event()
    threading.Timer(0.2, cancelled.set).start()
    ran, seconds = timed(lambda: get(f"{server.url}/{path}", {"cancelled": cancelled}))
    assert ("cancelled", "cancelled") == (ran.reason, ran.message)
    assert seconds < 1.2


def test_cancelled_before_the_start_sends_nothing(get, server):
    cancelled = threading.Event()
    cancelled.set()
    assert "cancelled" == get(server.url, {"cancelled": cancelled}).reason
    assert [] == server.requests


def test_name_server_that_does_not_answer_holds_nobody_up(get, monkeypatch):
    released = threading.Event()

    def look_up(*arguments, **options):
        released.wait(20)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    ran, seconds = timed(lambda: get("http://slow.example/", timeout=0.3))
    released.set()
    assert "timeout" == ran.reason
    assert seconds < 1.8


def test_nothing_is_left_of_a_request(get, server):
    get(server.url)
    before = len(os.listdir("/proc/self/fd"))
    for path in ("text", "drop", "redirect?to=/text", "error?status=500"):
        get(f"{server.url}/{path}")
    deadline = time.monotonic() + 5  # the server's side of the connections is closed by its own threads
    while (now := len(os.listdir("/proc/self/fd"))) > before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert now <= before


# --- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = dt.datetime.now(dt.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    directory = tmp_path_factory.mktemp("tls")
    (directory / "cert.pem").write_bytes(built.public_bytes(serialization.Encoding.PEM))
    (directory / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return directory


@pytest.fixture
def tls_server(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    with serving(tls=context) as server:
        yield server


def test_unknown_certificate_is_refused(get, tls_server):
    ran = get(f"{tls_server.url}/text", auth={"bearer": "hidden"})
    assert ("connection", f"the certificate of {tls_server.url} is not accepted: self-signed certificate") == (
        ran.reason,
        ran.message,
    )
    assert [] == tls_server.requests


def test_bundle_of_the_task_is_trusted(get, tls_server, certificate):
    assert "ü €" == get(f"{tls_server.url}/text", caBundle=str(certificate / "cert.pem")).output["body"]
    relative = {"workdir": certificate}
    assert "ü €" == get(f"{tls_server.url}/text", relative, caBundle="cert.pem").output["body"]
    passed = {"environ": {"SSL_CERT_FILE": str(certificate / "cert.pem")}}
    assert "ü €" == get(f"{tls_server.url}/text", passed).output["body"]


def test_name_of_the_server_is_checked(get, tls_server, certificate):
    url = f"https://localhost:{tls_server.server_port}"
    ran = get(url, caBundle=str(certificate / "cert.pem"))
    assert ran.message.startswith(f"the certificate of {url} is not accepted: Hostname mismatch")


def test_unchecked_certificate_is_a_warning(get, tls_server):
    ran = get(f"{tls_server.url}/text", verify=False)
    assert "ü €" == ran.output["body"]
    assert ("warning", "the certificate of the server is not checked (verify: false)") in ran.log.messages


def test_bundle_that_cannot_be_used_is_named(get, tmp_path):
    (tmp_path / "none.pem").write_text("nothing")
    ran = get("https://localhost", caBundle="none.pem")
    assert ("bad-input", f"caBundle '{tmp_path}/none.pem' holds no certificates in PEM form") == (
        ran.reason,
        ran.message,
    )
    ran = get("https://localhost", caBundle="gone.pem")
    assert f"caBundle '{tmp_path}/gone.pem' cannot be read: No such file or directory" == ran.message


def test_plain_server_behind_https(get, server):
    url = server.url.replace("http", "https")
    ran = get(url)
    assert "connection" == ran.reason
    assert ran.message.startswith(f"no TLS with {url}: ")


# --- proxies and the engine's own environment


class Proxy(Handler):
    """Answers for any host itself, and opens tunnels."""

    def do_GET(self):
        self.server.requests.append((self.path, self.headers.get("Proxy-Authorization")))
        if self.headers.get("Proxy-Authorization") == "Basic " + base64.b64encode(b"me:wrong").decode():
            self.answer(b"", status=407)
        else:
            self.answer(b"by proxy", kind="text/plain")

    def do_CONNECT(self):
        self.server.requests.append((self.path, self.headers.get("Proxy-Authorization")))
        if "refused" in self.path:
            self.send_error(403)
            return
        host, _, port = self.path.rpartition(":")
        with socket.create_connection((host, int(port))) as onward:
            self.send_response(200)
            self.end_headers()
            self.close_connection = True

            def pump(source, target):
                with suppress(OSError):
                    while data := source.recv(65536):
                        target.sendall(data)
                    target.shutdown(socket.SHUT_WR)

            thread = threading.Thread(target=pump, args=(onward, self.connection))
            thread.start()
            pump(self.connection, onward)
            thread.join()


@pytest.fixture
def proxy():
    with serving(Proxy) as server:
        yield server


def test_proxy_of_the_task_is_used(get, proxy):
    ran = get("http://anything.invalid/x", {"environ": {"HTTP_PROXY": proxy.url}})
    assert "by proxy" == ran.output["body"]
    assert [("http://anything.invalid/x", None)] == proxy.requests


def test_proxy_gets_its_own_credentials(get, proxy):
    url = proxy.url.replace("//", "//me:hidden@")
    ran = get("http://anything.invalid/x", {"environ": {"http_proxy": url}})
    assert [("http://anything.invalid/x", "Basic " + base64.b64encode(b"me:hidden").decode())] == proxy.requests
    assert "hidden" not in f"{ran.output} {ran.log.messages}"


def test_tls_goes_through_a_tunnel(get, proxy, tls_server, certificate):
    ran = get(f"{tls_server.url}/text", {"environ": {"HTTPS_PROXY": proxy.url}}, caBundle=str(certificate / "cert.pem"))
    assert "ü €" == ran.output["body"]
    assert [(f"127.0.0.1:{tls_server.server_port}", None)] == proxy.requests


def test_proxy_can_be_behind_tls_itself(get, certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    with serving(Proxy, tls=context) as proxy:
        bundle = str(certificate / "cert.pem")
        ran = get("http://anything.invalid/", {"environ": {"HTTP_PROXY": proxy.url}}, caBundle=bundle)
    assert "by proxy" == ran.output["body"]


def test_exempt_hosts_are_reached_directly(get, proxy, server):
    environ = {"HTTP_PROXY": proxy.url, "NO_PROXY": "127.0.0.0/8"}
    assert 200 == get(f"{server.url}/text", {"environ": environ}).output["status"]
    assert [] == proxy.requests


def test_tunnel_that_the_proxy_refuses(get, proxy):
    ran = get("https://refused.invalid/", {"environ": {"HTTPS_PROXY": proxy.url.replace("//", "//me:hidden@")}})
    assert "connection" == ran.reason
    assert ran.message.startswith("no connection to https://refused.invalid by way of the proxy ")
    assert "hidden" not in ran.message


@pytest.mark.parametrize(
    ("proxy", "message"),
    [
        ("socks5://me:hidden@x", "a proxy of kind 'socks5' is not supported, use http or https"),
        ("http://x:hidden", "the proxy variable holds no valid address"),
    ],
)
def test_proxy_that_cannot_be_used_is_refused_without_its_credentials(get, proxy, message):
    ran = get("http://x.invalid/", {"environ": {"ALL_PROXY": proxy}})
    assert ("bad-input", message) == (ran.reason, ran.message)


def test_environment_of_the_engine_has_no_say(tmp_path, server, proxy):
    (tmp_path / ".netrc").write_text("default login netrc password hidden\n")
    (tmp_path / ".netrc").chmod(0o600)
    code = """
import pathlib, sys, threading
from autokestra.actions.protocol import ActionContext
from autokestra.actions.registry import core_actions

class Log:
    def write(self, stream, data): pass
    def message(self, text, level="info"): pass

action = core_actions()["core/http.get"]
context = ActionContext(output=Log(), workdir=pathlib.Path.cwd(), environ={}, deadline=None,
    cancelled=threading.Event(), mask=lambda value: None, task_id="t", execution_id="e", attempt=1)
print(action.run(action.input_model(url=sys.argv[1]), context)["body"]["headers"])
try:
    action.run(action.input_model(url="https://127.0.0.1:1"), context)
except Exception as error:
    print(error)
"""
    environ = os.environ | dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"), proxy.url)
    environ |= {"HOME": str(tmp_path), "SSL_CERT_FILE": "/gone", "SSLKEYLOGFILE": str(tmp_path / "keys")}
    environ |= {"NETRC": str(tmp_path / ".netrc")}
    done = subprocess.run(
        [sys.executable, "-c", code, f"{server.url}/echo"],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "authorization" not in done.stdout
    assert "https://127.0.0.1:1 refuses the connection" in done.stdout
    assert [] == proxy.requests
    assert not (tmp_path / "keys").exists()


def test_loggers_of_the_libraries_stay_silent(get, server, caplog):
    caplog.set_level(logging.DEBUG)
    get(f"{server.url}/redirect?to=/text", query={"token": "hidden"}, auth={"bearer": "hidden"})
    assert "hidden" not in caplog.text
