"""`::add-mask::VALUE` lines register a value and are not shown."""

import pytest

from autokestra_secrets import SecretMasker


def shown(masker: SecretMasker, data: bytes, size: int) -> bytes:
    stream = masker.stream(commands=True)
    return b"".join([stream.feed(data[at : at + size]) for at in range(0, len(data), size)]) + stream.flush()


SIZES = [1, 2, 3, 7, 1000]


@pytest.mark.parametrize("size", SIZES)
def test_a_value_is_registered_for_what_follows_and_the_line_is_not_shown(size):
    data = b"before new-token-1\n::add-mask::new-token-1\nafter new-token-1\n"
    assert shown(SecretMasker(), data, size) == b"before new-token-1\nafter ***SECRET***\n"


@pytest.mark.parametrize("size", SIZES)
def test_crlf_two_commands_in_a_row_and_one_at_the_very_beginning(size):
    data = b"::add-mask::first-value\r\n::add-mask::second-value\r\nfirst-value second-value\r\n"
    assert shown(SecretMasker(), data, size) == b"***SECRET*** ***SECRET***\r\n"


@pytest.mark.parametrize("size", SIZES)
def test_what_only_looks_like_a_command_is_text(size):
    data = b"x ::add-mask::not-a-line-of-its-own\n::add-mas\n:::\n::set-output::x\n::"
    assert shown(SecretMasker(), data, size) == data


@pytest.mark.parametrize("size", SIZES)
def test_a_command_without_line_end_at_the_end_is_obeyed_and_hidden(size):
    masker = SecretMasker()
    assert shown(masker, b"text\n::add-mask::last-value", size) == b"text\n"
    assert masker.mask("last-value") == "***SECRET***"


def test_a_value_counts_for_bytes_that_are_held():
    masker = SecretMasker(["alphabet soup"])
    stream = masker.stream(commands=True)
    assert stream.feed(b"alpha\n::add-mask::alpha\n") == b"alpha\n"
    assert stream.feed(b"alphab\n::add-mask::unrelated-value\n") == b"***SECRET***b\n"


def test_escaped_line_ends_are_read_both_ways():
    masker = SecretMasker()
    shown(masker, b"::add-mask::first-line%0Asecond-line%25\n", 1000)
    assert masker.mask("first-line second-line%") == "***SECRET***"
    assert masker.mask("first-line%0Asecond-line%25") == "***SECRET***"


def test_a_value_stays_with_the_child_whose_stream_registered_it():
    parent = SecretMasker()
    child = parent.child()
    shown(child, b"::add-mask::child-only-value\n", 1000)
    assert child.mask("child-only-value") == "***SECRET***"
    assert parent.mask("child-only-value") == "child-only-value"
    assert parent.counts == {"add-mask": {"plain": 1}}


def test_values_that_are_too_short_are_refused_by_reason():
    masker = SecretMasker()
    assert shown(masker, b"::add-mask::abc\n::add-mask::\nabc\n", 1000) == b"abc\n"
    assert masker.unmaskable == {"add-mask": "shorter than 4 bytes"}


@pytest.mark.parametrize("size", [1000, 100_000])
@pytest.mark.parametrize("end", [b"\nnext\n", b""])
def test_a_value_that_is_too_long_is_hidden_and_refused(size, end):
    masker = SecretMasker()
    data = b"text\n::add-mask::" + b"0123456789abcdef" * 5000 + end
    assert shown(masker, data, size) == b"text\n" + end[1:]
    assert masker.unmaskable == {"add-mask": "longer than 65536 bytes"}


def test_the_longest_value_that_is_allowed_is_registered():
    value = b"".join(b"%08d" % number for number in range(8192))
    masker = SecretMasker()
    shown(masker, b"::add-mask::" + value + b"\r\n", 5000)
    assert masker.mask(b"<" + value + b">") == b"<***SECRET***>"


def test_more_than_a_thousand_values_are_hidden_and_refused():
    masker = SecretMasker()
    data = b"".join(b"::add-mask::value-%06d-x\n" % number for number in range(1001)) + b"value-000999-x value-001000-x"
    assert shown(masker, data, 100_000) == b"***SECRET*** value-001000-x"
    assert masker.unmaskable == {"add-mask": "more than 1000 values"}
