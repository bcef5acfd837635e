"""Jinja2's parser on one side, our own tree on the other: a node type without a translation is refused.

Of Jinja2 only the lexer and the parser run; nothing is compiled. Two things are put away before it sees the source
and put back afterwards: names after a dot, whose grammar is ours (`secrets.2fa-token`), and the contents of strings,
so that their escapes do not depend on Jinja2's or Python's version.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from jinja2 import Environment, TemplateSyntaxError, nodes
from jinja2.parser import Parser

from autokestra_secrets.errors import TemplateError
from autokestra_secrets.templates.filters import FILTERS, TESTS, Filter
from autokestra_secrets.templates.nodes import (
    Apply,
    Choice,
    Default,
    Defined,
    DictOf,
    Item,
    ListOf,
    Literal,
    Slice,
    Test,
)
from autokestra_secrets.templates.operators import Arithmetic, Compare, Either, Join, Not, Sign
from autokestra_secrets.templates.paths import Node, Path, shorten
from autokestra_secrets.templates.syntax import NAME, Expression, checked_path, secret_hint
from autokestra_secrets.templates.text import KEEP_BRACES
from autokestra_secrets.templates.values import TOO_DEEP, size

NODE_DEPTH: Final = 50  # nodes within each other; far from Python's recursion limit, which callers share

_ENVIRONMENT: Final = Environment(autoescape=False)  # noqa: S701  # nothing is rendered; only its lexer is used

# A string, a number with its own dot, a word, or a dot with a name after it: in this order, so that a dot in a string
# or number is no attribute.
_TOKEN: Final = re.compile(
    rf"""(?P<string>'(?:[^'\\]|\\.)*+'|"(?:[^"\\]|\\.)*+")"""
    rf"""|(?P<number>\d\w*(?:\.\d\w*)?)|(?P<word>[^\W\d]\w*)|\.\s*(?P<name>{NAME})""",
    re.DOTALL,
)
_ESCAPE: Final = re.compile(
    r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U(000[0-9A-Fa-f]{5}|0010[0-9A-Fa-f]{4})|(.))", re.DOTALL
)
_ESCAPED: Final = {"n": "\n", "r": "\r", "t": "\t", "0": "\0", "\\": "\\", "'": "'", '"': '"'}
_POSITION: Final = re.compile(r" at \d+$")


def translate(source: str) -> Expression:
    """Parse an expression that is no plain path. Raises TemplateError with offset 0."""
    translator = _Translator(source)
    try:
        node = translator.node(translator.parsed(), 0)
    except RecursionError:  # from a caller that is itself deep in a recursion
        node = None
    if node is None:
        raise TemplateError(TOO_DEEP)
    return Expression(
        node=node,
        paths=tuple(translator.paths),
        roots=tuple(dict.fromkeys(path.root for path in translator.paths)),
        literals=frozenset(each.encode(errors="surrogatepass") for each in translator.strings),
    )


class _Translator:
    """Holds what was put away, and collects the paths on the way."""

    def __init__(self, source: str) -> None:
        self.strings: list[str] = []
        self.names: list[str] = []
        self.paths: list[Path] = []
        self._source = _TOKEN.sub(self._put_away, source).strip()

    def _put_away(self, match: re.Match[str]) -> str:
        if string := match["string"]:
            self.strings.append(_ESCAPE.sub(_unescaped, string[1:-1]))
            return f"'{len(self.strings) - 1};'"  # closed by ';', since Jinja2 joins adjacent strings
        if name := match["name"]:
            self.names.append(name)
            return f"._{len(self.names) - 1} "
        return match[0]

    def parsed(self) -> nodes.Expr:
        """Return Jinja2's tree."""
        try:
            parser = Parser(_ENVIRONMENT, self._source, state="variable")
            tree = parser.parse_expression()
            if parser.stream.eos:
                return tree
            problem = f"unexpected '{shorten(str(parser.stream.current.value))}'"
        except TemplateSyntaxError as error:
            problem = _POSITION.sub("", error.message or "syntax error").rstrip(".")
        except ValueError:
            problem = "number is too large"  # Python refuses to read integers of more than 4,300 digits
        raise TemplateError(shorten(problem[:1].lower() + problem[1:]), hint=KEEP_BRACES)

    def node(self, tree: nodes.Node, depth: int) -> Node:
        """Return our node for Jinja2's."""
        if depth > NODE_DEPTH:
            raise TemplateError(TOO_DEEP)
        depth += 1
        match tree:
            case nodes.Const():
                return _const(self, tree)
            case nodes.Name() | nodes.Getattr() | nodes.Getitem():
                return _path(self, tree, depth)
            case nodes.Filter():
                return _filter(self, tree, depth)
            case nodes.Test():
                return _test(self, tree, depth)
            case nodes.Concat():
                return Join(self.all(tree.nodes, depth))
            case nodes.List() | nodes.Tuple():
                return ListOf(self.all(tree.items, depth))
            case nodes.Dict():
                keys = self.all([each.key for each in tree.items], depth)
                return DictOf(keys, self.all([each.value for each in tree.items], depth))
            case nodes.CondExpr():
                return _choice(self, tree, depth)
            case nodes.Compare():
                steps = tuple((each.op, self.node(each.expr, depth)) for each in tree.ops)
                return Compare(self.node(tree.expr, depth), steps)
            case nodes.And() | nodes.Or():
                left, right = self.all([tree.left, tree.right], depth)
                return Either(left, right, stop=isinstance(tree, nodes.Or))
            case nodes.Add() | nodes.Sub() | nodes.Mul() | nodes.Div() | nodes.FloorDiv() | nodes.Mod():
                left, right = self.all([tree.left, tree.right], depth)
                return Arithmetic(tree.operator, left, right)
            case nodes.Not():
                return Not(self.node(tree.node, depth))
            case nodes.Neg() | nodes.Pos():
                return Sign(self.node(tree.node, depth), negative=isinstance(tree, nodes.Neg))
            case _:
                raise _refusal(self, tree)

    def all(self, trees: Sequence[nodes.Node], depth: int) -> tuple[Node, ...]:
        """Return our nodes for several of Jinja2's."""
        return tuple(self.node(tree, depth) for tree in trees)

    def text(self, stored: str) -> str:
        """Return the string or strings that were put away as `stored`."""
        return "".join(self.strings[int(number)] for number in stored.split(";")[:-1])


def _unescaped(match: re.Match[str]) -> str:
    code = match[1] or match[2] or match[3]
    return chr(int(code, 16)) if code else _ESCAPED.get(match[4], match[0])


def _refusal(self: _Translator, tree: nodes.Node) -> TemplateError:
    if isinstance(tree, nodes.Call):
        if isinstance(tree.node, nodes.Name) and tree.node.name == "secret":  # as Kestra writes it
            first = tree.args[0] if tree.args else None
            named = first.value if isinstance(first, nodes.Const) else None
            name = self.text(named) if isinstance(named, str) else ""
            return TemplateError("calls are not allowed", hint=secret_hint(name))
        return TemplateError("calls are not allowed", hint="use a filter: value | name")
    if isinstance(tree, nodes.Pow):
        return TemplateError("'**' is not allowed")
    return TemplateError(f"{type(tree).__name__.lower()} is not allowed in an expression")


def _const(self: _Translator, tree: nodes.Const) -> Node:
    value = tree.value
    if isinstance(value, str):
        return Literal(self.text(value))
    size(value)  # refuses 1e999 and integers of a thousand digits
    return Literal(value)


def _path(self: _Translator, tree: nodes.Name | nodes.Getattr | nodes.Getitem, depth: int) -> Node:
    """Fold a root and the constant keys after it into one Path; what follows a computed key becomes Items."""
    steps: list[nodes.Getattr | nodes.Getitem] = []
    base: nodes.Node = tree
    while isinstance(base, nodes.Getattr | nodes.Getitem):
        steps.append(base)
        base = base.node
    steps.reverse()
    if isinstance(base, nodes.Name):
        keys: list[str | int] = []
        while steps and (key := _constant_key(self, base.name, steps[0])) is not None:
            keys.append(key)
            steps.pop(0)
        path = checked_path(base.name, tuple(keys))
        if path.root == "tasks" and not (keys and isinstance(keys[0], str)):
            raise TemplateError("'tasks' needs the id of a task", hint="write tasks.ID.output, one task at a time")
        self.paths.append(path)
        node: Node = path
    else:
        node = self.node(base, depth)
    if depth + len(steps) > NODE_DEPTH:
        raise TemplateError(TOO_DEEP)
    for step in steps:
        node = _step(self, node, step, depth)
    return node


def _constant_key(self: _Translator, root: str, step: nodes.Getattr | nodes.Getitem) -> str | int | None:
    if isinstance(step, nodes.Getattr):
        return self.names[int(step.attr[1:])]
    if root == "secrets" or not isinstance(step.arg, nodes.Const):
        return None  # secrets[...] is refused as a bare `secrets`, secrets.X[0] is a character
    value = step.arg.value
    if isinstance(value, str):
        return self.text(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _step(self: _Translator, node: Node, step: nodes.Getattr | nodes.Getitem, depth: int) -> Node:
    if isinstance(step, nodes.Getitem) and isinstance(step.arg, nodes.Slice):
        bounds = (step.arg.start, step.arg.stop, step.arg.step)
        start, stop, stride = (Literal(None) if each is None else self.node(each, depth) for each in bounds)
        return Slice(node, (start, stop, stride))
    key = Literal(self.names[int(step.attr[1:])]) if isinstance(step, nodes.Getattr) else self.node(step.arg, depth)
    if isinstance(key, Literal) and isinstance(key.value, str) and key.value.startswith("_"):
        raise TemplateError(f"'{shorten(key.value)}': names that begin with '_' are not allowed")
    return Item(node, key)


def _filter(self: _Translator, tree: nodes.Filter, depth: int) -> Node:
    name = tree.name.partition(".")[0]
    found = FILTERS.get(name)
    if found is None or name != tree.name:
        raise TemplateError(f"unknown filter '{shorten(name)}'", hint=_known(name, FILTERS))
    assert tree.node is not None  # it is None only inside `{% filter %}`, which is no expression
    operands = (self.node(tree.node, depth), *_arguments(self, found, tree, depth))
    if name != "default":
        return Apply(name, found.apply, operands)
    value, other, *empty = operands
    return Default(value, other, empty[0] if empty else Literal(value=False))


def _arguments(self: _Translator, found: Filter, tree: nodes.Filter, depth: int) -> tuple[Node, ...]:
    """Return the arguments in the order of the filter's parameters."""
    given: dict[str, nodes.Expr] = dict(zip(found.parameters, tree.args, strict=False))
    named = {keyword.key: keyword.value for keyword in tree.kwargs}
    arguments = given | named
    # A parameter may be left out only from the end, since the functions take them by position.
    expected = found.parameters[: len(arguments)]
    if (
        tree.dyn_args is not None
        or tree.dyn_kwargs is not None
        or len(arguments) != len(tree.args) + len(tree.kwargs)  # too many, or one given twice
        or set(arguments) != set(expected)
        or len(arguments) < found.required
    ):
        raise TemplateError(f"wrong arguments for filter '{found.name}'", hint=f"it is written: {found.usage}")
    return self.all([arguments[name] for name in expected], depth)


def _test(self: _Translator, tree: nodes.Test, depth: int) -> Node:
    function = TESTS.get(tree.name)
    if function is None:
        raise TemplateError(f"unknown test '{shorten(tree.name.partition('.')[0])}'", hint=_known(tree.name, TESTS))
    if tree.args or tree.kwargs or tree.dyn_args or tree.dyn_kwargs:
        raise TemplateError(f"test '{tree.name}' takes no arguments")
    value = self.node(tree.node, depth)
    return Defined(value, tree.name == "defined") if tree.name in ("defined", "undefined") else Test(function, value)


def _known(name: str, table: Mapping[str, object]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415  # only a mistake pays for it

    near = get_close_matches(name, table, n=1)
    return f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(sorted(table))}"


def _choice(self: _Translator, tree: nodes.CondExpr, depth: int) -> Node:
    if tree.expr2 is None:
        raise TemplateError("'if' needs an 'else'", hint="write: a if condition else b")
    return Choice(self.node(tree.test, depth), self.node(tree.expr1, depth), self.node(tree.expr2, depth))
