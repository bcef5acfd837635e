"""Loads the cases of `masking_cases.json` and judges what a masker made of one.

Each case has secrets, the chunks of a stream, and what must and must not come out. Cases with "expand": true use
these macros inside strings:

    <<REPEAT:n:text>>   text repeated n times
    <<SEQ:n>>           n eight-digit counters 00000000 00000001 ... without blanks
    <<MANY:n>>          (secrets only) n secrets many-secret-00000-x ...
    <<LOGTEXT:n>>       n bytes of ordinary log lines
    <<CHUNK:k:text>>    (chunks only, the whole string) text cut into chunks of k bytes

Optional fields: alt_expected (equally right outputs), must_contain, must_not_contain_stripped (looked for after
escapes, CR and LF are taken out), chunks_b64, secrets_b64, must_not_contain_b64 (binary),
secrets_added_before_chunk, first_emit_at_least (what must be out after the first chunk), optional (policy or
heuristic: reported, not failed), max_seconds, record (what a logging test should log).
"""

import base64
import json
import re
from dataclasses import dataclass
from pathlib import Path

PLACEHOLDER = b"***SECRET***"
ANSI = re.compile(rb"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b\[[0-?]*[ -/]*[@-~]|\x1b[@-_]")
LOG_LINE = (
    b'2024-01-01T00:00:00Z INFO step=build msg="compiling module foo/bar baz qux" elapsed=1.234s id=abcdef0123456789\n'
)


@dataclass(frozen=True, kw_only=True)
class Case:
    id: str
    kind: str
    note: str
    secrets: list[bytes]
    chunks: list[bytes]
    expected: list[bytes]
    forbidden: list[bytes]
    forbidden_when_stripped: list[bytes]
    wanted: list[bytes]
    added: dict[int, list[bytes]]
    first: bytes
    optional: bool
    max_seconds: float | None


def load() -> list[Case]:
    """Return all cases."""
    return [_expanded(raw) for raw in json.loads(Path(__file__).with_name("masking_cases.json").read_text())]


def judge(case: Case, out: bytes, *, first: bytes | None = None, seconds: float = 0.0) -> list[str]:
    """Return what is wrong with `out`; `first` is what was out after the first chunk."""
    faults = []
    body = out.replace(PLACEHOLDER, b"\0\0")
    stripped = ANSI.sub(b"", body).replace(b"\r", b"").replace(b"\n", b"")
    faults += [f"leaks {text[:60]!r}" for text in case.forbidden if text in body]
    faults += [f"leaks visibly {text[:60]!r}" for text in case.forbidden_when_stripped if text in stripped]
    faults += [f"masks too much: {text[:60]!r} is gone" for text in case.wanted if text not in out]
    if case.expected and out not in case.expected:
        faults.append(f"expected {case.expected[0][:160]!r}, got {out[:160]!r}")
    if first is not None and not first.startswith(case.first):
        faults.append(f"holds back too much: {first[:60]!r}")
    if case.max_seconds is not None and seconds > case.max_seconds:
        faults.append(f"took {seconds:.1f} s")
    return faults


def _expanded(raw: dict) -> Case:
    expand = _macro if raw.get("expand") else str
    secrets = []
    for secret in raw["secrets"]:
        many = re.fullmatch(r"<<MANY:(\d+)>>", secret) if raw.get("expand") else None
        if many:
            secrets += [b"many-secret-%05d-x" % number for number in range(int(many[1]))]
        else:
            secrets.append(expand(secret).encode())
    chunks = []
    for chunk in raw["chunks"]:
        cut = re.fullmatch(r"(?s)<<CHUNK:(\d+):(.*)>>", chunk) if raw.get("expand") else None
        if cut:
            text, size = _macro(cut[2]).encode(), int(cut[1])
            chunks += [text[at : at + size] for at in range(0, len(text), size)]
        else:
            chunks.append(expand(chunk).encode())
    expected = [text for text in (raw.get("expected"), *raw.get("alt_expected", [])) if text is not None]
    return Case(
        id=raw["id"],
        kind=raw["class"],
        note=raw["note"],
        secrets=secrets + [base64.b64decode(text) for text in raw.get("secrets_b64", [])],
        chunks=chunks + [base64.b64decode(text) for text in raw.get("chunks_b64", [])],
        expected=[expand(text).encode() for text in expected],
        forbidden=[text.encode() for text in raw["must_not_contain"]]
        + [base64.b64decode(text) for text in raw.get("must_not_contain_b64", [])],
        forbidden_when_stripped=[text.encode() for text in raw.get("must_not_contain_stripped", [])],
        wanted=[text.encode() for text in raw.get("must_contain", [])],
        added={
            int(place): [text.encode() for text in texts]
            for place, texts in raw.get("secrets_added_before_chunk", {}).items()
        },
        first=raw.get("first_emit_at_least", "").encode(),
        optional=raw.get("optional", False),
        max_seconds=raw.get("max_seconds"),
    )


def _macro(text: str) -> str:
    def replaced(match: re.Match) -> str:
        kind, _, rest = match[1].partition(":")
        if kind == "REPEAT":
            count, _, unit = rest.partition(":")
            return unit * int(count)
        if kind == "SEQ":
            return "".join(f"{number:08d}" for number in range(int(rest)))
        size = int(rest)
        return (LOG_LINE * (size // len(LOG_LINE) + 1))[:size].decode()

    return re.sub(r"<<((?:REPEAT|SEQ|LOGTEXT):[^<>]*)>>", replaced, text)
