"""Credentials that somebody wrote into a workflow in clear: where they stand, never what they are. Pure.

Few false alarms matter more than finding everything: a warning that is wrong every night is read by nobody.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Any, Final, NamedTuple

from autokestra.workflow.problems import Steps

FOUND_MOST: Final = 100  # of one kind in one document

# Kind, name of the secret that the hint proposes, what every such token contains, and its form. Sources: the issuers'
# documentation of their tokens. A document without the contained text costs no more than a search for it.
# Expressions stand here as texts: compiling them all would cost every start-up 5 ms, and few are ever needed.
_TOKENS: Final = (
    ("a GitHub token", "GITHUB_TOKEN", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"gh[pousr]_[A-Za-z0-9]{30,255}"),
    ("a GitHub token", "GITHUB_TOKEN", ("github_pat_",), r"github_pat_[A-Za-z0-9_]{22,255}"),
    ("a GitLab token", "GITLAB_TOKEN", ("glpat-", "glptt-", "gldt-", "glrt-", "glcbt-"),
     r"gl(?:pat|ptt|dt|rt|cbt)-[A-Za-z0-9_-]{20,255}"),
    ("a Slack token", "SLACK_TOKEN", ("xox",), r"xox[abeoprs]-[A-Za-z0-9-]{10,255}"),
    ("a Slack token", "SLACK_TOKEN", ("xapp-",), r"xapp-[0-9]-[A-Za-z0-9-]{10,255}"),
    ("a Slack webhook", "SLACK_WEBHOOK", ("hooks.slack.com/services/T",),
     r"hooks\.slack\.com/services/T[A-Z0-9]+/B[A-Z0-9]+/[A-Za-z0-9]{16,}"),
    ("an AWS access key", "AWS_ACCESS_KEY_ID", ("AKIA", "ASIA"), r"(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])"),
    ("a Stripe key", "STRIPE_KEY", ("k_live_",), r"[rs]k_live_[A-Za-z0-9]{10,255}"),
    ("a Google API key", "GOOGLE_API_KEY", ("AIza",), r"AIza[A-Za-z0-9_-]{35}"),
    ("an npm token", "NPM_TOKEN", ("npm_",), r"npm_[A-Za-z0-9]{36}"),
    ("a PyPI token", "PYPI_TOKEN", ("pypi-AgE",), r"pypi-AgE[A-Za-z0-9_-]{50,}"),
    ("a Docker token", "DOCKER_TOKEN", ("dckr_",), r"dckr_(?:pat|oat)_[A-Za-z0-9_-]{20,}"),
    ("a Hugging Face token", "HF_TOKEN", ("hf_",), r"hf_[A-Za-z0-9]{30,}"),
    ("a SendGrid key", "SENDGRID_KEY", ("SG.",), r"SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16,}"),
    ("an Anthropic or OpenAI key", "API_KEY", ("sk-",),
     r"sk-(?:ant|proj|svcacct)-[A-Za-z0-9_-]{20,}|sk-[A-Za-z0-9]{40,}"),
    ("a JSON web token", "TOKEN", ("eyJ",),
     r"eyJ[A-Za-z0-9_-]{10,2000}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"),
    ("an age key", "AGE_KEY", ("AGE-SECRET-KEY-1",), r"AGE-SECRET-KEY-1[0-9A-Z]{40,}"),
    ("a master key of Autokestra", "MASTER_KEY", ("akey1-",), r"akey1-[A-Za-z0-9_-]{40,}"),
    ("a private key", "PRIVATE_KEY", ("PRIVATE KEY",),
     r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY(?: BLOCK)?-----"),
)  # fmt: skip
# The password of an address; what begins with these is no literal: {{ }}, $NAME, <password>, %(name)s, and so on.
_USERINFO: Final = r"://[^\s/?#@:'\"]{0,80}:(?P<password>[^\s/?#@'\"{}$<>%*]{1,200})@"
_REFERENCE: Final = r"\{\{|\$[A-Za-z_{(]|<[^>]*>|%\(|^(?:/|\./|\.\./|~/|env:|file:|vault:)"
_SECRET_WORDS: Final = ("password", "passwd", "passphrase", "pwd", "secret", "token", "bearer", "key")
_NAME_FORM: Final = (
    r"(?:^|_)(?:password|passwd|passphrase|pwd|secret|token|bearer|api_?key|access_?key|secret_?key|private_?key)$"
)
_WORD: Final = r"(?<=[a-z0-9])(?=[A-Z])|[-. ]"
_AUTHORIZATION: Final = r"(?i:bearer|basic|token)\s+(?P<value>\S{6,})"
_PLACEHOLDERS: Final = frozenset(
    (
        "changeme", "change-me", "dummy", "empty", "example", "false", "hidden", "n/a", "nil", "none", "null",
        "optional", "pass", "password", "placeholder", "redacted", "required", "secret", "string", "todo", "token",
        "true", "unset", "user", "username",
    )
)  # fmt: skip
_SHORTEST: Final = 4  # characters of a value that may be a password
_FEW: Final = 3  # a "token" of no more different characters is a picture of one


class Credential(NamedTuple):  # made in a tenth of a dataclass's time, at every start-up
    """Where a credential stands: at `path`, or `at` an index of the source; `what` it seems to be; how to name it."""

    what: str
    name: str
    path: Steps = ()
    at: int | None = None


def in_source(text: str) -> Iterator[Credential]:
    """Yield the tokens of known form, private keys, and passwords in addresses; in comments too."""
    for what, name, contained, form in _TOKENS:
        if any(each in text for each in contained):
            for match in islice(re.finditer(rf"(?<![A-Za-z0-9_])(?:{form})", text), FOUND_MOST):
                token = match[0]
                if len(set(token[-12:])) > _FEW and not token.endswith("EXAMPLE"):
                    yield Credential(what=what, name=name, at=match.start())
    for match in islice(re.finditer(_USERINFO, text), FOUND_MOST) if "://" in text else ():
        if not _is_placeholder(match["password"]):
            yield Credential(what="the password of an address", name="PASSWORD", at=match.start("password"))


def at_keys(value: object, path: Steps = ()) -> Iterator[Credential]:
    """Yield the values of keys such as `password` that are literals."""
    if isinstance(value, dict):
        for key, item in value.items():
            if (name := _named(key, path)) and (what := _literal(key, item)):
                yield Credential(what=what, name=name, path=(*path, key))
            else:
                yield from at_keys(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from at_keys(item, (*path, number))


def _named(key: str, path: Steps) -> str | None:
    """Return the name of a secret for the value of this key; the default of an input is what the input's name says."""
    return _secret_for(str(path[-1]) if key == "default" and path else key)


@lru_cache(1024)
def _secret_for(key: str) -> str | None:
    lowered = key.lower()
    if lowered == "authorization":
        return "AUTHORIZATION"
    if not any(word in lowered for word in _SECRET_WORDS):
        return None
    name = re.sub(_WORD, "_", key).lower()
    return re.sub(r"[^A-Z0-9_]", "_", name.upper()) if re.search(_NAME_FORM, name) else None


def _literal(key: str, value: Any) -> str | None:
    """Return what a value seems to be, None where it is no credential in clear."""
    if isinstance(value, int) and not isinstance(value, bool):
        return "a password" if key.lower().endswith(("password", "passwd", "pwd")) and value >= 1000 else None
    if not isinstance(value, str) or re.search(_REFERENCE, value):
        return None
    if key.lower() == "authorization":
        match = re.fullmatch(_AUTHORIZATION, value.strip())
        return "a credential" if match and not _is_placeholder(match["value"]) else None
    return None if _is_placeholder(value) or len(value) < _SHORTEST else "a credential"


def _is_placeholder(value: str) -> bool:
    word = value.strip().lower()
    return (
        word in _PLACEHOLDERS
        or len(set(word)) <= _FEW
        or word.startswith(("your-", "your_", "my-", "my_", "example", "changeme", "xxx"))
    )


def hint(found: Credential, rule: str) -> str:
    """Return what to type."""
    return (
        f"store it with: workflow secrets set {found.name}, declare it, and write {{{{ secrets.{found.name} }}}} here; "
        f"if it is no secret: # autokestra: allow {rule}"
    )
