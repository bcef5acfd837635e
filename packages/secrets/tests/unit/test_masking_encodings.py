"""The forms of a value: what is looked for, what is too weak, and what costs nothing."""

import base64
import html
import json
import shlex
import unicodedata
from urllib.parse import quote, quote_plus

import pytest

from autokestra_secrets import SecretMasker
from autokestra_secrets.masking.encodings import ENCODINGS, Form, forms
from autokestra_secrets.masking.repeats import Openings, common_prefix, occurrences, smallest_period
from autokestra_secrets.masking.view import BLANKS, LINE_BREAKS, View

PEM = (
    "-----BEGIN TEST KEY-----\nMIIEAbCdEfGhIjKlMnOpQrStUvWxYz0123456789\nQkJkLmNoPqRsTuVwXyZaBcDeFgHiJkLmNoPqRsTu\n"
    "ZZ9yXw==\n-----END TEST KEY-----\n"
)


def data_of(value: str | bytes, kind: str | None = None, **options) -> set[bytes]:
    raw = value.encode() if isinstance(value, str) else value
    return {form.data for form in forms(raw, **options) if kind in (None, form.kind)}


def test_every_row_of_the_table_says_why_and_what():
    for encoding in ENCODINGS:
        assert encoding.why
        assert encoding.spell.__doc__


def test_the_value_comes_first_and_no_form_comes_twice():
    for value in (b"hunter2-of-the-day", PEM.encode(), b'{"a": "b c", "d": "secret<leaf>"}', "pässwörd-1".encode()):
        every = list(forms(value))
        assert every[0].data == value.strip()
        assert len(every) == len({(form.data, form.lead) for form in every})


def test_values_of_letters_and_digits_have_no_escaped_forms():
    kinds = {form.kind for form in forms(b"abcdef0123456789")}
    assert kinds == {"plain", "base64", "double base64", "base64 of UTF-16", "utf-16", "hex", "bytes"}


def test_encoded_forms_have_floors_of_their_own():
    assert data_of("a", min_length=1) == {b"a"}
    assert data_of("abcd") == {b"abcd", b"YWJjZA==", b"YWJjZAo=", b"61626364", b"YQBiAGMAZA", b"EAYgBjAGQA"} | {
        form for form in data_of("abcd") if len(form) >= 8
    }
    assert all(len(form.data) >= 8 for form in forms(b"abcd") if form.kind not in ("plain", "shell"))


def test_a_value_that_cannot_be_masked_has_no_forms():
    assert list(forms(b"")) == list(forms(b"abc")) == list(forms(b"  \n ")) == []


@pytest.mark.parametrize("before", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("after", [0, 1, 2, 3])
@pytest.mark.parametrize("codec", [base64.b64encode, base64.urlsafe_b64encode])
def test_base64_with_any_prefix_and_suffix(before, after, codec):
    secret = b"s\xc3\xa9cr\xff\xfe\xfb\xef-et>>??~~"
    text = codec(b"p" * before + secret + b"s" * after)
    masked = SecretMasker([secret]).mask(text)
    assert b"***SECRET***" in masked
    assert len(masked.replace(b"***SECRET***", b"")) <= (before + after) * 8 // 6 + 6


@pytest.mark.parametrize(
    ("encode", "kind"),
    [
        (lambda s: quote(s, safe=""), "percent"),
        (lambda s: quote(s, safe="/&"), "percent"),
        (lambda s: quote_plus(s), "percent"),
        (lambda s: quote(s, safe="").lower(), "percent"),
        (lambda s: quote(quote(s, safe=""), safe=""), "double percent"),
        (lambda s: json.dumps(s)[1:-1], "json"),
        (lambda s: json.dumps(s, ensure_ascii=False)[1:-1], "json"),
        (lambda s: json.dumps(s)[1:-1].replace("/", "\\/"), "json"),
        (lambda s: json.dumps(json.dumps(s))[3:-3], "nested json"),
        (lambda s: json.dumps(json.dumps(json.dumps(s)))[7:-7], "nested json"),
        (lambda s: html.escape(s), "xml"),
        (lambda s: shlex.quote(s)[1:-1], "shell"),
        (lambda s: s.replace("'", "''"), "doubled"),
        (lambda s: repr(s)[1:-1], "repr"),
        (lambda s: repr(s.encode())[2:-1], "repr"),
        (lambda s: "".join(f"\\x{b:02X}" for b in s.encode()), "hex"),
    ],
)
def test_common_encoders(encode, kind):
    secret = "ab/cd'gh\"<ij>&k é€🔑 l"
    form = encode(secret)
    masker = SecretMasker([secret])
    assert masker.mask(f"<<{form}>>") == "<<***SECRET***>>"
    assert masker.counts["unnamed"].keys() <= {kind, "shell", "json"}


def test_xml_references_may_be_mixed():
    masker = SecretMasker(["a<b>c&tok"])
    for less in ("&lt;", "&#60;", "&#x3c;", "&#x3C;"):
        for more in (">", "&gt;", "&#62;", "&#x3e;", "&#x3E;"):
            for also in ("&amp;", "&#38;", "&#x26;"):
                assert masker.mask(f"a{less}b{more}c{also}tok") == "***SECRET***"


def test_many_special_characters_have_the_spellings_of_known_writers():
    secret = "<a>&\"b\"'c'<d>"
    masker = SecretMasker([secret])
    assert masker.mask(html.escape(secret)) == "***SECRET***"
    assert masker.mask(html.escape(secret, quote=False)) == "***SECRET***"


def test_line_ends_in_attributes():
    assert SecretMasker(["line <1>\nline 2"]).mask("line &lt;1&gt;&#10;line 2") == "***SECRET***"


def test_strong_lines_are_forms_and_weak_ones_are_not():
    assert data_of(PEM, "line") == {
        b"MIIEAbCdEfGhIjKlMnOpQrStUvWxYz0123456789",
        b"QkJkLmNoPqRsTuVwXyZaBcDeFgHiJkLmNoPqRsTu",
        b"ZZ9yXw==",
    }
    assert data_of('{\n"foo": [\n"barbarbar"\n],\nkey:\nan\n}', "line") == {b'"barbarbar"'}


def test_lines_of_a_value_that_is_no_text_are_not_looked_for():
    assert data_of(b"\xff\xfe binary\nwith line ends\n", "line") == set()
    assert data_of(b"nul\0 binary\nwith line ends\n", "line") == set()


def test_leaves_of_structured_values():
    value = {
        "type": "x",
        "url": "https://example.org/",
        "n": 12345678,
        "deep": [{"password": "foo\nbarbaz99"}],
        "t": "true",
    }
    assert data_of(json.dumps(value), "leaf") == {b"foo\nbarbaz99"}
    assert data_of("A=1\nexport PASSWORD='foobarbaz99'\nname: some-user-1\n", "leaf") == {
        b"foobarbaz99",
        b"some-user-1",
    }
    assert data_of("postgres://user:p%40ssword1@host/db", "leaf") == {b"p%40ssword1", b"p@ssword1"}
    assert data_of('"just a string"', "leaf") == set()
    assert data_of('"just a string"', "unquoted") == {b"just a string"}


@pytest.mark.parametrize("value", ["[" * 100_000, "{not json", '{"a": }', "[1, 2"])
def test_what_only_looks_like_json_is_a_value_all_the_same(value):
    assert value.encode() in data_of(value)
    assert data_of(value, "leaf") == set()


def test_a_thousand_leaves_at_most():
    value = json.dumps([f"leaf-number-{number}" for number in range(1500)])
    assert len(data_of(value, "leaf")) == 1000


def test_beyond_a_thousand_lines_are_looked_for_as_they_are():
    lines = [b"line  number %d of it" % number for number in range(1200)]
    every = [form for form in forms(b"\n".join(lines)) if form.kind == "line"]
    assert [form.exact for form in every] == [False] * 1000 + [True] * 200
    masker = SecretMasker([b"\n".join(lines)])
    assert masker.mask(b"line number 7 of it") == b"***SECRET***"
    assert masker.mask(b"line  number 1199 of it") == b"***SECRET***"


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        ("abc\\\\def\\'ghi\\t", "abc\\def'ghi\t"),
        ("line-one-1\\nline-two-2", "line-one-1\nline-two-2"),
        ("\\x41\\u00e4\\101bcdef", "AäAbcdef"),
        ("p%40ss%2Fword", "p@ss/word"),
        ("a&lt;b&gt;c-tok", "a<b>c-tok"),
        ("\\x41", "\\x41"),
    ],
)
def test_a_value_with_escapes_is_found_when_they_are_undone(value, printed):
    assert SecretMasker([value]).mask(f"<{printed}>") == "<***SECRET***>"


def test_other_spellings():
    masker = SecretMasker(["Pässwörd-No-1"])
    for form in ("NFC", "NFD"):
        assert masker.mask(unicodedata.normalize(form, "Pässwörd-No-1")) == "***SECRET***"
    assert masker.mask("Pässwörd-No-1".encode().decode("latin-1")) == "***SECRET***"
    assert masker.mask("Pässwörd-No-1".encode("latin-1")) == b"***SECRET***"
    long = SecretMasker(["AbCdEf-123456-key"])
    assert long.mask("abcdef-123456-key ABCDEF-123456-KEY") == "***SECRET*** ***SECRET***"
    assert SecretMasker(["lower-case-123456"]).mask("LOWER-CASE-123456") == "LOWER-CASE-123456"


def test_quotes_around_a_value():
    assert SecretMasker(['"Password123!!"']).mask("123Password123!!123") == "123***SECRET***123"


def test_blanks_around_a_value_are_no_part_of_it():
    assert SecretMasker([" tok-value-77 \n"]).mask("v= tok-value-77 ;") == "v= ***SECRET*** ;"


def test_large_values_have_the_common_forms_only():
    value = ("0123456789 abc<def>" * 4000).encode()
    assert {form.kind for form in forms(value)} == {"plain", "base64", "hex", "percent", "json"}


def test_values_that_are_no_utf8_have_no_text_forms():
    kinds = {form.kind for form in forms(b"\xff\xfe'secret\x80\x81")}
    assert "json" not in kinds
    assert "utf-16" not in kinds
    assert {"base64", "hex", "percent", "shell", "repr"} <= kinds


@pytest.mark.parametrize(
    ("value", "period"),
    [
        (b"a", 0),
        (b"aa", 1),
        (b"abab", 2),
        (b"ababa", 2),
        (b"aba", 0),
        (b"abcabcab", 3),
        (b"aabaab" * 2, 3),
        (b"abcd", 0),
    ],
)
def test_smallest_period(value, period):
    assert smallest_period(value) == period


def test_occurrences_of_a_periodic_value_are_one_span():
    assert list(occurrences(b"xabababax", b"abab", 2)) == [(1, 7)]
    assert list(occurrences(b"a" * 100_000, b"a" * 3, 1)) == [(0, 100_000)]
    assert list(occurrences(b"abcXabc", b"abc", 0, 1)) == [(4, 7)]


def test_common_prefix():
    assert common_prefix(b"abcabd", 0, 3) == 2
    assert common_prefix(b"a" * 1000, 0, 1) == 999
    assert common_prefix(b"ab", 0, 1) == 0
    assert common_prefix(b"ab", 0, 2) == 0


@pytest.mark.parametrize("unit", [b"a", b"ab" * 20, bytes(range(33, 123)) * 4])
def test_openings_of_long_repetitive_values(unit):
    value = unit * (3000 // len(unit)) + b"!"
    openings = Openings(value)
    for text in (
        unit * 100,
        unit * (9000 // len(unit)),
        value[:-1] + b"?" + value[:700],
        value[:600] + b"?" + value[:300],
        value[: 600 + len(unit)] * 3,
        b"nothing of it",
    ):
        size = len(text)
        expected = next((at for at in range(size) if size - at < len(value) and value.startswith(text[at:])), size)
        assert openings.earliest(text) == expected
        assert openings.earliest(text, size // 2) >= size // 2


def test_the_place_in_a_run_from_which_a_long_value_goes_on():
    value = b"a" * 300 + b"bcdefgh" * 100
    assert Openings(value).earliest(b"a" * 500 + b"bc") == 200
    assert Openings(value).earliest(b"a" * 500 + b"bd" + b"a" * 2) == 502


def test_a_view_leads_back_to_its_source():
    source = b"  one \n\n two\tthree  "
    view = View(source, BLANKS, instead=b" ")
    assert view.data == b" one two three "
    assert [source[slice(*view.span(at, at + 1))] for at in (1, 5, 9)] == [b"o", b"t", b"t"]
    assert view.original(len(view.data)) == len(source)
    assert view.position(source.index(b"two")) == view.data.index(b"two")
    assert view.position(source.index(b"\n") + 1) == view.data.index(b"two")
    joined = View(b"abc\n  def\nghi", LINE_BREAKS)
    assert joined.data == b"abcdefghi"
    assert joined.span(2, 4) == (2, 7)
    assert joined.roomiest(0) == 6
    assert joined.roomiest(1) == 3
    assert joined.roomiest(4) == 0


def test_a_form_is_a_plain_tuple():
    assert Form("plain", b"x") == ("plain", b"x", 0, False)
