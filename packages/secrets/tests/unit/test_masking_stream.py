"""StreamMasker: long values, pathological inputs, bounded memory, escapes, line breaks, commands."""

import random
import time

import pytest

from autokestra_secrets import SecretMasker
from autokestra_secrets.masking.heads import Heads

MIB = 1 << 20


def counters(count: int) -> bytes:
    return b"".join(b"%08d" % number for number in range(count))


def fed(masker: SecretMasker, data: bytes, size: int) -> bytes:
    stream = masker.stream()
    return b"".join([stream.feed(data[at : at + size]) for at in range(0, len(data), size)]) + stream.flush()


@pytest.mark.parametrize("size", [1 << 16, 4096, 1000])
def test_a_value_of_a_mebibyte_is_masked_and_an_incomplete_one_is_not_lost(size):
    value = counters(MIB // 8)
    masker = SecretMasker([value])
    assert fed(masker, b"head " + value + b" tail", size) == b"head ***SECRET*** tail"
    assert fed(masker, value[:-1] + b"x", size) == value[:-1] + b"x"


def test_a_mebibyte_of_bytes_that_are_no_text_is_masked_and_so_is_its_base64():
    value = random.Random(1).randbytes(MIB)
    masker = SecretMasker([value])
    import base64

    assert fed(masker, b"<" + value + b">", 65536) == b"<***SECRET***>"
    wrapped = base64.encodebytes(value)
    out = fed(masker, wrapped, 65536)
    assert len(out) < 20
    assert b"***SECRET***" in out
    assert fed(masker, wrapped[: len(wrapped) // 2], 77 * 10) == wrapped[: len(wrapped) // 2]


def test_a_long_value_with_blanks_is_masked_however_they_are_spaced():
    value = b"\n".join(b"word %d of a long secret text" % number for number in range(3000))
    masker = SecretMasker([value])
    spaced = value.replace(b"\n", b"\r\n    ").replace(b" ", b"  ", 500)
    assert fed(masker, b"<" + value + b">", 777) == b"<***SECRET***>"
    assert fed(masker, b"<" + spaced[:4000] + value[4000:] + b">", 777).count(b"word 2999") == 0
    assert fed(masker, b"<" + value.replace(b"\n", b" ") + b">", 5000) == b"<***SECRET***>"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"a" * 4000 + b"b", b"a" * MIB),
        (b"a" * 100_000 + b"b", b"a" * MIB),
        (b"a" * MIB, b"a" * (MIB - 1)),
        ((b"a" * 300 + b"b") * 100 + b"c", (b"a" * 300 + b"b") * 3500),
        (b"ab" * 500 + b"c", b"ab" * (MIB // 2)),
        (b"aab" * 4000 + b"c", b"aab" * (MIB // 3)),
        (b"ab " * 500 + b"c", b"ab " * (MIB // 3)),
        (b"a b\n" * 2000 + b"c", b"a b\n" * (MIB // 4)),
        (b"-" * 200 + b"x1", b"-" * MIB),
        (b"0000000000000001" * 64 + b"9", b"0" * MIB),
    ],
)
def test_pathological_text_takes_less_than_a_second_and_is_not_changed(value, text, untraced):
    masker = SecretMasker([value])
    masker.mask(b"")
    with untraced():
        begin = time.process_time()
        assert fed(masker, text, 65536) == text
        assert time.process_time() - begin < 1


def test_endless_overlapping_matches_are_one_placeholder_and_take_no_memory():
    masker = SecretMasker([b"aaaa"])
    stream = masker.stream()
    out = [stream.feed(b"a" * 65536) for _ in range(16)]
    assert b"".join(out) == b"***SECRET***"
    assert len(stream._held) < 16
    assert stream.feed(b"b") + stream.flush() == b"b"
    assert masker.counts == {"unnamed": {"plain": 1}}


def test_much_more_than_one_piece_is_masked():
    value = b"hunter2-of-the-day"
    data = (b"x" * 5000 + value) * 4000
    assert SecretMasker([value]).mask(data) == (b"x" * 5000 + b"***SECRET***") * 4000


COLOURED = [
    b"hun\x1b[31mter2-of\x1b[0m-the-day",
    b"hunter2\x1b[01;31m\x1b[K-of-\x1b[m\x1b[Kthe-day",
    b"hunter2-of\x1b]8;;http://x\x1b\\-the-day\x1b]8;;\x1b\\",
    b"hunter2\x1b(B\x1b[m-of-the-day",
    b"hunter2\r-of-the-day",
    b"hunter2\r\r\x1b[2K-of-the-day",
    b"h\x1b7u\x1b8nter2-of-the-day",
    b"hunter2-of\x1bP1$tx\x1b\\-the-day",
]


@pytest.mark.parametrize("text", COLOURED)
def test_a_value_cut_by_escapes_is_masked_in_every_cut(text):
    masker = SecretMasker(["hunter2-of-the-day"])
    expected = masker.mask(b"<" + text + b">")
    assert b"***SECRET***" in expected
    assert b"the-day" not in expected
    for place in range(len(text) + 2):
        data = b"<" + text + b">"
        stream = masker.stream()
        assert expected == stream.feed(data[:place]) + stream.feed(data[place:]) + stream.flush()


def test_colour_around_a_value_is_kept():
    masker = SecretMasker(["hunter2-of-the-day"])
    assert masker.mask(b"\x1b[31mhunter2-of-the-day\x1b[0m") == b"\x1b[31m***SECRET***\x1b[0m"


def test_text_inside_a_control_string_is_searched_as_it_is():
    masker = SecretMasker(["hunter2-of-the-day"])
    assert masker.mask(b"\x1b]0;hunter2-of-the-day\x07") == b"\x1b]0;***SECRET***\x07"


def test_escapes_beyond_four_kibibytes_end_a_match():
    masker = SecretMasker(["hunter2-of-the-day"])
    near = b"hunter2" + b"\x1b[0m" * 1000 + b"-of-the-day"
    far = b"hunter2" + b"\x1b[0m" * 1100 + b"-of-the-day"
    assert fed(masker, near, 7) == b"***SECRET***"
    assert fed(masker, far, 7) == masker.mask(far) == far
    endless = masker.stream()
    released = sum(len(endless.feed(b"hunter2" + b"\x1b[0m" * 500)) for _ in range(20))
    assert released > 20 * 2007 - 10_000


def test_many_colours_and_few_colours_give_the_same():
    masker = SecretMasker(["hunter2-of-the-day"])
    few = b"".join(b"\x1b[3%dmline %d\x1b[0m\r\n" % (number % 8, number) for number in range(500))
    many = b"".join(b"\x1b[38;5;%dmline %d\x1b[0m\n" % (number % 256, number) for number in range(500))
    for text in (
        few,
        many,
        few + many,
        few + b"\x1b" + few,
        few + b"\x1b[3\x1b[0m1m" + few,
        few + b"\x1b]0;t\x07" + few,
    ):
        data = text + b"hunter2\x1b[31m-of-the-day" + text
        assert masker.mask(data) == text + b"***SECRET***" + text
        stream = masker.stream()
        assert stream.feed(data) + stream.feed(data) + stream.flush() == 2 * (text + b"***SECRET***" + text)


@pytest.mark.parametrize("gap", [b"\n", b"\r\n", b"\n    ", b"\r\r\n"])
def test_a_long_token_broken_by_a_terminal_is_masked(gap):
    token = b"tok-abcdef-0123456789-ghijkl"
    masker = SecretMasker([token])
    for place in range(4, len(token)):
        text = b"<" + token[:place] + gap + token[place:] + b">"
        assert masker.mask(text) == b"<***SECRET***>", place
        assert fed(masker, text, 1) == b"<***SECRET***>"


def test_a_break_within_the_first_bytes_of_a_token_is_not_bridged():
    masker = SecretMasker([b"tok-abcdef-0123456789-ghijkl", b"9876543210-abcdefgh"])
    for text in (b"to\nk-abcdef-0123456789-ghijkl", b"x\n210-abcdefgh 10-abcdefgh"):
        assert masker.mask(text) == fed(masker, text, 1) == text


def test_blanks_beyond_four_kibibytes_end_a_match():
    masker = SecretMasker(["correct horse battery staple"])
    near, far = (
        b"correct horse" + b" " * 4000 + b"battery\nstaple",
        b"correct horse" + b" \n" * 2100 + b"battery staple",
    )
    assert masker.mask(near) == fed(masker, near, 5) == b"***SECRET***"
    assert masker.mask(far) == fed(masker, far, 5) == far


def test_a_long_value_is_waited_for_until_it_goes_on_differently(untraced):
    words = b" ".join(b"word-%d" % number for number in range(2000))
    encoded = random.Random(2).randbytes(6000).hex().encode()
    masker = SecretMasker([words, encoded])
    for text in (
        words.replace(b" ", b" \n"),
        words.replace(b" ", b"\n", 900),
        words[:9000] + b" something else",
        encoded[:7000] + b"\n" + encoded[7000:],
        encoded[:7000] + b"xyz" + encoded[:6000],
        words[:6] + encoded[:6000],
    ):
        with untraced():
            whole = masker.mask(text)
            for size in (1, 3, 64, 4096):
                assert whole == fed(masker, text, size)


def test_a_long_value_with_blanks_may_be_cut_within_a_line_break():
    words = b" ".join(b"word-%d" % number for number in range(2000))
    text = words.replace(b" ", b" \n")
    cut = text.index(b"\n", 9000)
    stream = SecretMasker([words]).stream()
    assert stream.feed(text[:cut]) == b""
    assert stream.feed(text[cut:]) + stream.flush() == b"***SECRET***"


def test_a_value_that_begins_within_an_escape_is_waited_for():
    stream = SecretMasker(["31mabcdef"]).stream()
    assert [stream.feed(piece) for piece in (b"\x1b[31m", b"a", b"bcdef", b"\x1b[31m", b"a", b"x")] == [
        b"\x1b[",
        b"",
        b"***SECRET***",
        b"\x1b[",
        b"",
        b"31max",
    ]


def test_values_of_a_few_bytes_are_held_without_a_database_of_heads():
    heads = Heads([b"abc"], [], [b"abc"])
    assert [heads.earliest(data, 0) for data in (b"", b"xab", b"xabc", b"xa-")] == [0, 1, 4, 3]


def test_long_values_that_begin_alike_are_told_apart():
    one, other = (b"same-head-" + random.Random(seed).randbytes(4000).hex().encode() for seed in (3, 4))
    masker = SecretMasker([one, other])
    assert fed(masker, b"<" + other + one + b">", 100) == b"<***SECRET******SECRET***>"


def test_words_at_the_end_of_a_line_are_not_joined_with_the_next():
    masker = SecretMasker(["passwordpassword"])
    assert masker.mask(b"the password\npassword is") == b"the password\npassword is"


def test_thousands_of_tokens_that_begin_alike_are_told_apart(untraced):
    masker = SecretMasker([b"ghp_shared-prefix-%06d" % number for number in range(2000)])
    text = b"ghp_shared-prefix-001999\nghp_shared-prefix-xxxxxx\nghp_shared-pre\nfix-000007 ghp_\n" * 100
    with untraced():
        begin = time.process_time()
        masker.mask(b"x")
        out = fed(masker, text, 50)
        assert time.process_time() - begin < 5
    assert out == b"***SECRET***\nghp_shared-prefix-xxxxxx\n***SECRET*** ghp_\n" * 100


def test_a_prompt_is_shown_and_only_the_candidate_is_held():
    stream = SecretMasker(["hunter2-of-the-day"]).stream()
    assert stream.feed(b"Password: ") == b"Password: "
    assert stream.feed(b"10%\r") == b"10%\r"
    assert stream.feed(b"a line, then hunt") == b"a line, then "
    assert stream.feed(b"ing\n") == b"hunting\n"


def test_many_forms_of_one_value_in_a_stream_are_all_masked():
    masker = SecretMasker(['pa"ss wörd\\1'])
    lines = (
        rb'{"a": "pa\"ss w\u00f6rd\\1"}',
        rb"pa%22ss%20w%C3%B6rd%5C1",
        rb"pa%22ss+w%c3%b6rd%5c1",
        rb"pa&quot;ss w&#246;rd\1",
        b"cGEic3Mgd8O2cmRcMQ==",
    )
    for line in lines:
        assert b"rd" not in masker.mask(line)
