"""What a person sees of masked output while they type: soon, everything in the end, and of a value 3 bytes at most."""

from hypothesis import given, settings
from hypothesis import strategies as st

from autokestra.cli.exec.output import EARLY_BYTES, SETTLE_BYTES, OutputMasker
from autokestra_secrets import SecretMasker, SecretValue

VALUE = b"aabaabaa*1"
OTHER = b"ab*SECRET"
VALUES = {"A": SecretValue(VALUE), "B": SecretValue(OTHER), "C": SecretValue(VALUE + b"tail")}

PLACEHOLDER = b"***SECRET***"
MASKER = OutputMasker(VALUES)
REFERENCE = SecretMasker(VALUES.values())

# Pieces that nearly make up values, so that matches begin, break off and overlap all the time.
pieces = st.lists(
    st.one_of(
        st.sampled_from(
            [VALUE, OTHER, VALUE + b"tail", VALUE[:5], VALUE[3:], OTHER[:4], PLACEHOLDER, b"*", b"\x1b[1m"]
        ),
        st.text(alphabet="ab*1\r\n", max_size=6).map(str.encode),
    ),
    max_size=12,
)


def reference(data: bytes) -> bytes:
    return REFERENCE.mask(data)


@settings(deadline=None)  # the first example compiles the forms
@given(pieces, st.lists(st.integers(0, 40)), st.booleans())
def test_without_pauses_the_output_is_that_of_the_masker(parts: list[bytes], cuts: list[int], early: bool) -> None:
    data = b"".join(parts)
    output = MASKER.output(early=early)
    shown, at = b"", 0
    for cut in cuts:
        shown += output.feed(data[at : at + cut])
        at += cut
    assert reference(data) == shown + output.feed(data[at:]) + output.flush()


@settings(deadline=None)  # the first example compiles the forms
@given(pieces)
def test_with_a_pause_after_each_byte_nothing_is_lost_and_no_value_is_seen(parts: list[bytes]) -> None:
    data = b"".join(parts)
    output = MASKER.output(early=True)
    shown = b""
    for byte in data:
        shown += output.feed(bytes([byte]))
        shown += output.idle()
        assert b"" == output.idle()  # once is enough
    shown += output.flush()
    # Of each value up to 3 bytes are seen before its placeholder; apart from that it is the masker's own output.
    assert is_with_early_bytes(shown, reference(data))


def is_with_early_bytes(shown: bytes, expected: bytes) -> bool:
    """Whether `shown` is `expected` with up to 3 more bytes before each placeholder."""
    reached = {0}
    for number, text in enumerate(expected.split(PLACEHOLDER)):
        if number:
            reached = {
                at + extra + len(PLACEHOLDER)
                for at in reached
                for extra in range(EARLY_BYTES + 1)
                if shown.startswith(PLACEHOLDER, at + extra)
            }
        reached = {at + len(text) for at in reached if shown.startswith(text, at)}
    return len(shown) in reached


def test_a_key_is_seen_after_a_pause_and_the_search_goes_on() -> None:
    output = OutputMasker({"A": SecretValue("hunter2")}).output(early=True)
    assert (b"", True) == (output.feed(b"h"), output.is_waiting)
    assert b"h" == output.idle()
    assert (b"", b"u") == (output.feed(b"u"), output.idle())
    assert b"g" == output.feed(b"g") + output.idle()  # the first two are on the screen
    seen = b"".join(output.feed(bytes([key])) + output.idle() for key in b"hunter2")
    assert b"hun" + PLACEHOLDER == seen
    assert b"" == output.flush()


def test_what_is_held_is_found_after_much_output_too() -> None:
    output = OutputMasker({"A": SecretValue("hunter2")}).output(early=True)
    data = b"x" * (SETTLE_BYTES + 1) + b"hu"
    assert data[:-2] == output.feed(data)
    assert b"hu" == output.idle()
    assert PLACEHOLDER == output.feed(b"nter2")


def test_a_whole_value_that_may_be_longer_stays_held() -> None:
    output = OutputMasker({"A": SecretValue("hunter2"), "B": SecretValue("hunter2hunter3")}).output(early=True)
    assert (b"", b"") == (output.feed(b"hunter2"), output.idle())
    assert PLACEHOLDER + b"!" == output.feed(b"!")


def test_nothing_is_early_where_it_was_not_asked_for() -> None:
    output = OutputMasker({"A": SecretValue("hunter2")}).output(early=False)
    assert (b"", False) == (output.feed(b"h"), output.is_waiting)
    assert b"h" == output.flush()
