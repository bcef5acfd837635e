"""Laws of the template language, for any text."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from autokestra_secrets import (
    SecretMasker,
    SecretResolver,
    SecretsError,
    TemplateError,
    find_references,
    resolve_templates,
)
from autokestra_secrets.templates.syntax import parse
from autokestra_secrets.templates.translation import translate
from autokestra_secrets.testing import memory_store

LAW = settings(deadline=None)  # a machine under load is no failure
CANARY = "canary-8f3a91c2"

# Pieces that make an expression out of noise often enough to reach every corner of the evaluator.
WORDS = r"""
    {{ }} { } {{{{ ' " \ ( ) [ ] , : | ~ . - + * / % == < in not and or if else is 1 0.5 'a' none true é _x
    secrets secrets.A secrets.A-1 inputs.x inputs vars.l vars.m.k tasks.t.output inputs.gone
    int join upper tojson fromjson first default keys sort b64decode replace defined
"""
PIECES = st.sampled_from([*WORDS.split(), " ", "\n"])
EXPRESSIONS = st.lists(PIECES, max_size=12).map(" ".join)
TEXTS = st.one_of(
    st.text(), st.lists(PIECES, max_size=20).map("".join), EXPRESSIONS.map(lambda source: "a{{ " + source + " }}b")
)
CONTEXT = {
    "inputs": {"x": "text"},
    "vars": {"l": [1, 2, "a"], "m": {"k": 3}},
    "tasks": {"t": {"output": {"a": None}}},
    "env": {},
    "execution": {"id": "e"},
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)
ENCODABLE = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.fixture(scope="module")
def scope():
    return SecretResolver(memory_store({"A": CANARY}), environ={}).scope(["A"])


@LAW
@given(text=st.text().filter(lambda text: "{{" not in text))
@example(text="${#a[@]} {% x %} {# y #} }}")
def test_text_without_two_braces_is_returned_as_it_is(text):
    assert text == resolve_templates(text, scope=None, context={})
    assert [] == find_references(text)


@LAW
@given(text=TEXTS)
@example(text="{{ '\\ud800' | b64encode }}")
@example(text="{{ [secrets.A] | sort }}")
@example(text="{{ 1_ }}")
@example(text="{{ 0777 }}")
def test_any_text_resolves_or_fails_with_an_error_that_repeats_no_value(scope, text):
    try:
        resolve_templates(text, scope=scope, context=CONTEXT, masker=SecretMasker())
    except SecretsError as error:
        problem: BaseException | None = error
        while problem is not None:
            assert CANARY not in f"{problem!r} {getattr(problem, 'hint', '')}"
            problem = problem.__cause__ or problem.__context__


@LAW
@given(text=TEXTS)
def test_whatever_resolves_can_be_checked_beforehand(scope, text):
    """What the check accepts may fail when it runs, but never the other way round."""
    try:
        find_references(text)
    except TemplateError:
        with pytest.raises(SecretsError):
            resolve_templates(text, scope=scope, context=CONTEXT)


@LAW
@given(value=ENCODABLE)
def test_a_value_comes_out_exactly_and_is_not_resolved_again(value):
    context = {"vars": {"v": value}}
    assert value == resolve_templates("{{ vars.v }}", scope=None, context=context)
    assert f"<{value}>" == resolve_templates("<{{ vars.v }}>", scope=None, context=context)


@LAW
@given(text=ENCODABLE)
def test_doubled_braces_write_any_text(text):
    # Only pairs need doubling: a single brace is text already.
    escaped = text.replace("{{", "{{{{")
    assert text == resolve_templates(escaped, scope=None, context={})


@LAW
@given(value=JSON.filter(lambda value: "\\ud" not in json.dumps(value)))
def test_plain_data_passes_through_unchanged(value):
    context = {"vars": {"v": value}}
    result = resolve_templates("{{ vars.v }}", scope=None, context=context)
    assert value == result
    assert type(value) is type(result)
    assert value == resolve_templates("{{ vars.v | tojson | fromjson }}", scope=None, context=context)


@LAW
@given(
    names=st.lists(st.from_regex(r"[A-Za-z0-9_-]{1,12}", fullmatch=True), min_size=1, max_size=3),
    root=st.sampled_from(["inputs", "vars"]),
)
def test_the_short_way_for_plain_names_agrees_with_the_parser(names, root):
    """`root.name.name` is read without Jinja2; both ways must see the same."""
    source = f" {root}.{'.'.join(names)} "
    assert outcome(translate, source) == outcome(parse, source)


def outcome(function, source):
    try:
        return function(source)
    except TemplateError as error:
        return error.message


@LAW
@given(name=st.from_regex(r"[A-Za-z0-9_-]{1,128}", fullmatch=True))
def test_every_secret_name_can_be_written(name):
    scope = SecretResolver(memory_store({name: CANARY}), environ={}).scope([name])
    for template in ("{{ secrets.%s }}", "{{secrets.%s|trim}}", "{{ (secrets.%s) }}"):
        assert CANARY == resolve_templates(template % name, scope=scope, context={})
        assert [("secrets", name)] == [(each.root, each.name) for each in find_references(template % name)]


@LAW
@given(source=st.text(max_size=80))
def test_quoted_text_reads_back(source):
    """A string constant may hold anything that is not a surrogate, with backslash and quote escaped."""
    quoted = source.replace("\\", "\\\\").replace("'", "\\'")
    if any("\ud800" <= char <= "\udfff" for char in source):
        with pytest.raises(TemplateError):
            resolve_templates("{{ '" + quoted + "' }}", scope=None, context={})
    else:
        assert source == resolve_templates("{{ '" + quoted + "' }}", scope=None, context={})
