"""Laws of the encodings that everything is bound with."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autokestra_secrets import DamagedError, InvalidKeyError, MasterKey, SecretEncryption
from autokestra_secrets.encryption import encode_fields
from autokestra_secrets.keytext import key_text

fields = st.lists(st.binary(max_size=20), max_size=6)


def decode_fields(data):
    """Read what `encode_fields` wrote, from its description alone."""
    decoded = []
    while data:
        length = int.from_bytes(data[:4], "big")
        decoded.append(data[4 : 4 + length])
        data = data[4 + length :]
    return decoded


@given(fields)
def test_an_encoding_can_be_read_back_so_no_two_lists_share_one(values):
    assert values == decode_fields(encode_fields(*values))


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_number_of_a_column_has_an_encoding_of_its_own(number):
    (data,) = decode_fields(encode_fields(number))
    assert number == int.from_bytes(data, "big", signed=True)


@given(st.text(max_size=30))
def test_text_is_bound_as_utf_8(text):
    (data,) = decode_fields(encode_fields(text))
    assert text == data.decode()


@given(plaintext=st.binary(max_size=200), aad=st.binary(max_size=50), key=st.binary(min_size=32, max_size=32))
def test_sealing_and_opening_are_inverse(plaintext, aad, key):
    cipher = SecretEncryption(key)
    assert plaintext == cipher.open(cipher.seal(plaintext, aad=aad), aad=aad)


@given(aad=st.binary(max_size=30), other=st.binary(max_size=30))
def test_only_the_very_same_aad_opens(aad, other):
    cipher = SecretEncryption(bytes(32))
    sealed = cipher.seal(b"value", aad=aad)
    if aad != other:
        with pytest.raises(DamagedError):
            cipher.open(sealed, aad=other)


@given(st.binary(min_size=32, max_size=32))
def test_every_key_survives_being_written_down(key):
    written = key_text(key)
    assert MasterKey(key, kind="key", source="test") == MasterKey.parse(written.encode(), source="test")
    assert MasterKey(key, kind="key", source="test") == MasterKey.parse(key.hex().encode(), source="test")


@given(
    key=st.binary(min_size=32, max_size=32),
    place=st.integers(0, 47),
    sign=st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=. "),
)
def test_every_mistyped_sign_of_a_key_is_noticed(key, place, sign):
    written = key_text(key)
    at = len("akey1-") + place
    mistyped = written[:at] + sign + written[at + 1 :]
    if mistyped != written:
        with pytest.raises(InvalidKeyError):
            MasterKey.parse(mistyped.encode(), source="test")


@given(st.binary(max_size=80))
def test_any_bytes_are_a_key_or_a_clear_error(data):
    try:
        key = MasterKey.parse(data, source="test")
    except InvalidKeyError:
        return
    assert key.kind in ("key", "passphrase")
