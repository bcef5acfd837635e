"""Names and values at the door: what passes, and that a value shows nothing of itself."""

import copy
import pickle

import pytest

from autokestra_secrets import InvalidSecretNameError, InvalidSecretValueError, SecretValue, secret_name

HIDDEN = "hidden-value-1"


@pytest.mark.parametrize("name", ["A", "a-b_c", "2fa", "-", "x" * 128])
def test_a_good_name_is_returned_as_it_is(name):
    assert name == secret_name(name)


@pytest.mark.parametrize("name", ["", "MY KEY", "a.b", "é", "😀", "a\n", "x" * 129, "a/b", "{{x}}"])
def test_a_bad_name_is_refused_with_the_rule(name):
    with pytest.raises(InvalidSecretNameError, match="invalid secret name") as caught:
        secret_name(name)
    assert "1 to 128" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "it is empty"),
        ("x" * 129, "it is too long"),
        ("MY KEY", "it has a space in it"),
        ("a\n", "it has a space in it"),
        ("my.key", "it has a dot in it"),
        ("\x1b[2J", "it has a character that no name has"),
        ("API_TOKEN=tok-4f9c2e7a81", "it has a '='"),
    ],
)
def test_a_bad_name_is_described_and_not_repeated(name, said):
    """People put values where names belong: a message that quotes the name would show the value."""
    with pytest.raises(InvalidSecretNameError) as caught:
        secret_name(name)
    assert f"invalid secret name: {said}" == caught.value.message


def test_a_name_with_its_value_comes_with_the_way_to_give_the_value():
    with pytest.raises(InvalidSecretNameError) as caught:
        secret_name("API_TOKEN=tok-4f9c2e7a81")
    assert "a value is no part of the name; to be asked for it: workflow secrets set NAME" == caught.value.hint


def test_text_and_bytes_come_back_as_they_were():
    assert "grün" == SecretValue("grün").reveal()
    assert "grün".encode() == SecretValue("grün").reveal_bytes()
    assert b"\xff\0" == SecretValue(b"\xff\0").reveal_bytes()


def test_bytes_that_are_no_text_say_so_without_showing_themselves():
    value = SecretValue(b"\xffhidden")
    assert not value.is_text
    assert SecretValue("x").is_text
    with pytest.raises(InvalidSecretValueError, match="not UTF-8") as caught:
        value.reveal()
    assert "hidden" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("empty", ["", b""])
def test_an_empty_value_is_refused(empty):
    with pytest.raises(InvalidSecretValueError, match="secret value cannot be empty"):
        SecretValue(empty)


def test_a_value_has_at_most_one_mebibyte_counted_in_bytes():
    assert 1 << 20 == len(SecretValue("x" * (1 << 20)).reveal_bytes())
    with pytest.raises(InvalidSecretValueError, match="1,048,577 bytes, at most 1,048,576"):
        SecretValue("x" * ((1 << 20) + 1))
    with pytest.raises(InvalidSecretValueError, match="at most"):
        SecretValue("é" * (1 << 19) + "x")


def test_text_that_cannot_be_encoded_is_refused_without_showing_it():
    with pytest.raises(InvalidSecretValueError, match="not valid Unicode") as caught:
        SecretValue("hidden\ud800")
    assert "hidden" not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    "shown",
    [repr, str, "{}".format, "{!r}".format, "{:>40}".format, lambda value: f"{value}", lambda value: "%s" % (value,)],  # noqa: UP031  # the old way must not reveal it either,
)
def test_nothing_that_shows_a_value_reveals_it(shown):
    assert HIDDEN not in shown(SecretValue(HIDDEN))


def test_a_container_of_values_does_not_reveal_them():
    assert HIDDEN not in repr({"a": [SecretValue(HIDDEN)]})


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_value_cannot_be_pickled(protocol):
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(SecretValue(HIDDEN), protocol)


def test_copies_are_the_value_itself():
    value = SecretValue(HIDDEN)
    assert copy.copy(value) is value
    assert copy.deepcopy([value])[0] is value


def test_values_compare_by_content_and_have_no_hash():
    assert SecretValue("a") == SecretValue(b"a")
    assert SecretValue("a") != SecretValue("b")
    assert SecretValue("a") != "a"
    with pytest.raises(TypeError):
        hash(SecretValue("a"))
    assert not hasattr(SecretValue("a"), "__dict__")
