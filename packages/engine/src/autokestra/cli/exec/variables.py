"""Which secret becomes which variable of the program's environment. Pure: names and values in, a mapping out."""

import re
from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from autokestra.errors import UsageError
from autokestra_secrets import SecretValue, secret_name

OWN_PREFIX: Final = "AUTOKESTRA_"  # our own settings, the master key among them: no program gets any of them

# What POSIX shells can name (XBD 8.1). Programs could read others, but nobody could write `$smtp-password`.
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
VARIABLE_BYTES: Final = 131_072  # MAX_ARG_STRLEN of linux/binfmts.h: NAME=value and a NUL byte
_GLOB: Final = re.compile(r"[*?\[]")


class Choice(NamedTuple):
    """`variables`: variable to secret. `left_out`: secrets that cannot be passed, each with the reason.

    `named`: the secrets that were asked for by name. None of them is ever left out.
    """

    variables: dict[str, str]
    left_out: dict[str, str]
    named: frozenset[str]


def choose(names: Collection[str], *, only: Iterable[str] = (), prefix: str = "") -> Choice:
    """Return what the program gets of the secrets called `names`.

    Without `only` all of them. Its items are names, patterns with `*` and `?`, or `VARIABLE=NAME`; a name need not be
    among `names`. `prefix` goes before each variable's name. Raises UsageError for a name that can be no variable's
    and was asked for, for two secrets of one variable, and for a pattern without a match.
    """
    variables: dict[str, str] = {}
    left_out: dict[str, str] = {}
    named: set[str] = set()
    for item in [part for text in only for part in text.split(",")] or ["*"]:
        before, equals, after = item.strip().partition("=")  # neither a variable nor a name has a '='
        variable, name = (before, after) if equals else ("", before)
        if _GLOB.search(name) and not equals:
            _choose_matching(name, names, prefix, variables, left_out)
            continue
        secret_name(name)
        variable = variable if equals else prefix + name
        reason = unusable(variable)
        if reason is not None:
            hint = f"--only {variable_for(name)}={name}"
            raise UsageError(f"secret '{name}' cannot be passed under this name: {reason}", hint=hint)
        _put(variables, variable, name)
        named.add(name)
    return Choice(variables, left_out, frozenset(named))


def _choose_matching(
    pattern: str, names: Collection[str], prefix: str, variables: dict[str, str], left_out: dict[str, str]
) -> None:
    matching = sorted(name for name in names if fnmatchcase(name, pattern))
    if not matching and pattern != "*":
        raise UsageError("no secret matches the pattern", hint="see which there are: workflow secrets list")
    for name in matching:
        reason = unusable(prefix + name)
        if reason is None:
            _put(variables, prefix + name, name)
        else:
            left_out[name] = reason


def _put(variables: dict[str, str], variable: str, name: str) -> None:
    if variables.setdefault(variable, name) != name:
        raise UsageError(f"both '{variables[variable]}' and '{name}' would be the variable '{variable}'")


def unusable(variable: str) -> str | None:
    """Return why a program cannot be given a variable of this name, None when it can."""
    if variable.startswith(OWN_PREFIX):
        return f"{OWN_PREFIX}… is never passed on"
    if not _VARIABLE.fullmatch(variable):
        return "a variable has letters, digits and '_', and begins with no digit"
    return None


def variable_for(name: str) -> str:
    """Return a variable's name to propose for a secret whose own name is none: `smtp-password` as `SMTP_PASSWORD`."""
    return re.sub(r"\A(?=[0-9])|-", "_", name.removeprefix(OWN_PREFIX)).upper() or "SECRET"


def environment(
    base: Mapping[bytes, bytes], choice: Choice, values: Mapping[str, SecretValue]
) -> tuple[dict[bytes, bytes], dict[str, str]]:
    """Return `base` without our own settings, with the chosen variables set, and what is left out with the reason.

    Raises UsageError for a value that no variable can hold and that was asked for by name.
    """
    own = OWN_PREFIX.encode()
    environ = {name: value for name, value in base.items() if not name.startswith(own)}
    left_out = dict(choice.left_out)
    for variable, name in choice.variables.items():
        value = values[name].reveal_bytes()
        if b"\0" in value:
            reason = "it has a NUL byte, which no variable can hold"
        elif len(variable) + len(value) + len("=\0") > VARIABLE_BYTES:
            reason = f"a variable can hold {VARIABLE_BYTES // 1024} KiB at most"
        else:
            environ[variable.encode()] = value
            continue
        if name in choice.named:
            raise UsageError(f"secret '{name}' cannot be passed: {reason}", hint=f"workflow secrets get {name} | …")
        left_out[name] = reason
    return environ, left_out
