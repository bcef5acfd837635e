"""What real tools print of a value is masked: the forms are theirs, not ours."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from autokestra_secrets import SecretMasker

SECRETS = {
    "token": "ghp_Ab3dEf6hIj9kLmNoPqRsTuVwXyZ012345",
    "password": "}#T14'GAz&H!{$U_ \"x\\y%z",
    "words": "correct horse battery staple",
    "unicode": "pässwörd-€-🔑-1",
    "lines": "first line of it\nsecond 'line' of it\n\tthird one",
    "long": "S3cr3t-" + "abcdefghij0123456789" * 12,
    "json": '{"user": "john-doe-9", "password": "foo/bar<baz>99"}',
    "controls": "a\x1b[31mb\x07c-value-\x7f",
}


def output_of(argv: list[str], *, secret: str, stdin: str | None = None, locale: str = "C.UTF-8") -> bytes:
    """Return stdout and stderr of a tool; the value is on stdin and in the variable S."""
    if shutil.which(argv[0]) is None:
        pytest.skip(f"no {argv[0]} here")
    env = {"PATH": os.environ["PATH"], "S": secret, "LC_ALL": locale}
    done = subprocess.run(
        argv, input=(secret if stdin is None else stdin).encode(), env=env, capture_output=True, check=False, timeout=60
    )
    return done.stdout + done.stderr


def assert_masked(out: bytes, secret: str, form: str | None = None) -> None:
    """The output holds a form of the value, and masking leaves nothing that is worth anything."""
    masker = SecretMasker([secret])
    masked = masker.mask(out)
    assert b"***SECRET***" in masked, out
    rest = masked.replace(b"***SECRET***", b"")
    # Edges may keep up to two characters of an encoding that also hold bits of what stands beside the value.
    assert len(rest) <= len(out) - len(secret) // 2
    if form is not None:
        assert form in masker.counts["unnamed"]


FILTERS = {
    "base64": (["base64"], "base64"),
    "base64 in one line": (["base64", "-w0"], "base64"),
    "base64 in narrow lines": (["base64", "-w20"], "base64"),
    "base64 behind a prefix": (["sh", "-c", 'printf "user:%s" "$S" | base64'], "base64"),
    "base64 behind another": (["sh", "-c", 'printf "ab%s/tail of it" "$S" | base64'], "base64"),
    "base64 of echo": (["sh", "-c", 'printf "%s\\n" "$S" | base64'], "base64"),
    "base64 twice": (["sh", "-c", "base64 -w0 | base64 -w0"], "double base64"),
    "base64 twice, wrapped": (["sh", "-c", "base64 -w0 | base64"], "double base64"),
    "openssl base64": (["openssl", "base64"], "base64"),
    "openssl base64 -A": (["openssl", "base64", "-A"], "base64"),
    "xxd -p": (["xxd", "-p"], "hex"),
    "xxd -p -u": (["xxd", "-p", "-u"], "hex"),
    "od in one line": (["sh", "-c", "od -An -v -tx1 | tr -d ' \\n'"], "hex"),
    "od, a byte a word": (["od", "-An", "-v", "-tx1", "-w4096"], "bytes"),
    "node Buffer": (
        ["node", "-e", "require('buffer').INSPECT_MAX_BYTES = 1e6; console.log(Buffer.from(process.env.S))"],
        "bytes",
    ),
    "node Buffer in JSON": (["node", "-e", "console.log(JSON.stringify(Buffer.from(process.env.S)))"], "bytes"),
    "UTF-16": (["sh", "-c", "iconv -f UTF-8 -t UTF-16LE"], "utf-16"),
    "UTF-16 in base64": (["sh", "-c", "iconv -f UTF-8 -t UTF-16LE | base64 -w0"], "base64 of UTF-16"),
    "jq string": (["jq", "-Rs", "."], None),
    "jq string, ASCII": (["jq", "-Rsa", "."], None),
    "jq in a string": (["jq", "-Rs", "{body: tojson} | tojson"], None),
    "jq @uri": (["jq", "-Rsr", "@uri"], None),
    "jq @html": (["jq", "-Rsr", "@html"], None),
    "jq @sh": (["jq", "-Rsr", "@sh"], None),
    "jq @csv": (["jq", "-Rsr", "[.] | @csv"], None),
    "jq @base64": (["jq", "-Rsr", "@base64"], "base64"),
    "bash printf %q": (["bash", "-c", 'printf "%q\\n" "$S"'], None),
    "bash ${S@Q}": (["bash", "-c", 'echo "${S@Q}"'], None),
    "bash declare -p": (["bash", "-c", "declare -p S"], None),
    "coreutils printf %q": (["env", "printf", "%q\\n"], None),
    "bash -x": (["bash", "-xc", 'true "$S"'], None),
    "bash -x, unquoted": (["bash", "-fxc", "true $S"], None),
    "dash -x": (["dash", "-xc", 'true "$S"'], None),
    "node JSON": (["node", "-e", "console.log(JSON.stringify({a: process.env.S}))"], None),
    "node inspect": (["node", "-e", "console.log({a: process.env.S})"], None),
    "node encodeURIComponent": (["node", "-e", "console.log(encodeURIComponent(process.env.S))"], None),
    "node encodeURI": (["node", "-e", "console.log(encodeURI(process.env.S))"], None),
    "node URLSearchParams": (["node", "-e", "console.log(new URLSearchParams({a: process.env.S}).toString())"], None),
    "node base64url": (["node", "-e", "console.log(Buffer.from(process.env.S).toString('base64url'))"], "base64"),
    "perl quotemeta": (["perl", "-e", "print quotemeta $ENV{S}"], None),
}


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("tool", FILTERS)
def test_output_of_a_tool_is_masked(tool, name):
    argv, form = FILTERS[tool]
    secret = SECRETS[name]
    if argv[:3] == ["env", "printf", "%q\\n"]:
        argv = [*argv, secret]
    assert_masked(output_of(argv, secret=secret), secret, form)


@pytest.mark.parametrize("name", SECRETS)
def test_quoting_in_the_c_locale_is_masked(name):
    secret = SECRETS[name]
    assert_masked(output_of(["bash", "-c", 'printf "%q\\n" "$S"'], secret=secret, locale="C"), secret)


@pytest.mark.parametrize("name", SECRETS)
def test_what_curl_sends_is_masked(name):
    secret = SECRETS[name]
    argv = [
        "curl",
        "--silent",
        "--get",
        "--data-urlencode",
        "q@-",
        "--write-out",
        "%{url_effective}",
        "http://127.0.0.1:1/",
    ]
    assert_masked(output_of(argv, secret=secret), secret)


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize(
    "expression",
    [
        "repr(s)",
        "ascii(s)",
        "repr(s.encode())",
        "repr({'k': [s]})",
        "json.dumps(s)",
        "json.dumps({'k': s}, ensure_ascii=False)",
        "json.dumps(json.dumps({'k': s}))",
        "json.dumps(json.dumps(json.dumps(s)))",
        "shlex.quote(s)",
        "re.escape(s)",
        "urllib.parse.quote(s)",
        "urllib.parse.quote(s, safe='')",
        "urllib.parse.quote_plus(s)",
        "urllib.parse.quote(urllib.parse.quote(s, safe=''))",
        "html.escape(s)",
        "html.escape(s, quote=False)",
        "xml.sax.saxutils.quoteattr(s)",
        "xml.etree.ElementTree.tostring(element(s), encoding='unicode')",
        "s.encode().hex(':')",
        "s.encode().hex(' ')",
        "str(list(s.encode()))",
        "str(bytearray(s.encode()))",
        "', '.join(f'0x{b:02x}' for b in s.encode())",
        "''.join(chr(92) + f'x{b:02x}' for b in s.encode())",
        "binascii.hexlify(s.encode()).decode().upper()",
        "base64.urlsafe_b64encode(b'x' + s.encode()).decode()",
        "base64.encodebytes(b'xy' + s.encode() + b'tail').decode()",
        "urllib.parse.quote(base64.b64encode(s.encode()))",
        "s.replace(chr(39), chr(39) * 2)",
        "s.replace('$', '$$')",
        "unicodedata.normalize('NFD', s)",
        "s.encode().decode('latin-1')",
        "chr(27) + '[1m' + chr(27).join(['', '[31m']).join([s[:3], s[3:9], s[9:]]) if s.isprintable() else s",
        "s.replace(chr(10), chr(13) + chr(10))",
        "' '.join(s.split())",
    ],
)
def test_what_python_makes_of_it_is_masked(expression, name):
    secret = SECRETS[name]
    program = (
        "import base64, binascii, html, json, os, re, shlex, sys, unicodedata, urllib.parse, xml.etree.ElementTree, xml.sax.saxutils\n"
        "s = os.environ['S']\n"
        "def element(text):\n"
        "    node = xml.etree.ElementTree.Element('a'); node.text = text; return node\n"
        f"sys.stdout.write({expression})"
    )
    out = output_of([sys.executable, "-X", "utf8", "-c", program], secret=secret)
    assert_masked(out, secret)
    assert json.dumps(secret).encode() not in SecretMasker([secret]).mask(out)
