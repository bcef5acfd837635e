"""Text on its way into the report page: nothing is markup, nothing is unseen, secrets in templates are marked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autokestra.cli.report.text import MOST_CHARACTERS, escaped, left_out, lines, template, value


def test_markup_and_what_cannot_be_seen_are_written_out():
    assert "&lt;b a=&quot;1&quot; c=&#x27;2&#x27;&gt;&amp;" == escaped("<b a=\"1\" c='2'>&")
    assert "\\x00\\x1b[2J\\u202e\\udc80 red" == escaped("\0\x1b[2J\u202e\udc80 \x1b[31mred\x1b[0m")
    assert "a       b" == escaped("a\tb")


@given(st.text())
def test_no_text_gets_out_of_where_it_stands(text):
    shown = lines(text)
    assert not set("<>\"'") & set(shown)
    assert not set(map(chr, [*range(10), *range(11, 32), 0x7F, 0x202E])) & set(shown)
    shown.encode()


def test_long_values_say_that_they_are_cut():
    assert lines("x" * (MOST_CHARACTERS + 5)).endswith("x\n" + left_out("5 more characters"))
    assert "x" * MOST_CHARACTERS == lines("x" * MOST_CHARACTERS)


def test_values_are_text_or_json():
    assert "a\nb" == value("a\nb")
    assert "{&quot;a&quot;: [1, null]}" == value({"a": [1, None]})
    assert 52 == value(list(range(50))).count("\n") + 1
    assert "&quot;é&quot;" == value(["é"])[1:-1]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("{{ secrets.A-b }}!", '<code>{{ <b class="secret">secrets.A-b</b> }}</code>!'),
        (
            "{{ (secrets.A ~ secrets.B) | f }}",
            '<code>{{ (<b class="secret">secrets.A</b> ~ <b class="secret">secrets.B</b>) | f }}</code>',
        ),
        ("{{ vars.secrets.A }}", "<code>{{ vars.secrets.A }}</code>"),
        ("docker '{{{{.Names}}'", "docker &#x27;{{{{.Names}}&#x27;"),
        ("secrets.A {{ <b> }}", "secrets.A <code>{{ &lt;b&gt; }}</code>"),
        ("{{ open", "{{ open"),
    ],
)
def test_expressions_are_marked_and_secrets_in_them_too(text, shown):
    assert shown == template(text)
