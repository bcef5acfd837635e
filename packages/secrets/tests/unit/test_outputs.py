"""Sealed outputs: self-describing, and bound to the store and to where they belong."""

import pickle

import pytest

from autokestra_secrets import DamagedError, OutputCipher, UnknownFormatError, WrongKeyError

CONTEXT = ("execution-1", "fetch")


def cipher(key=b"k" * 32, store_id=b"s" * 16, key_id=b"i" * 16):
    return OutputCipher(key, store_id=store_id, key_id=key_id)


@pytest.mark.parametrize("plaintext", [b"", b"x", b"{}" * 100_000])
def test_an_output_comes_back(plaintext):
    assert plaintext == cipher().open(cipher().seal(plaintext, context=CONTEXT), context=CONTEXT)


def test_a_blob_says_what_sealed_it_and_shows_nothing_else():
    blob = cipher().seal(b"the plaintext", context=CONTEXT)
    assert b"AKO1" + b"s" * 16 + b"i" * 16 == blob[:36]
    assert 36 + 12 + 16 + len(b"the plaintext") == len(blob)
    assert b"plaintext" not in blob


@pytest.mark.parametrize(
    "context", [(), ("execution-1",), ("execution-1", "fetch", ""), ("execution-1f", "etch"), ("execution-2", "fetch")]
)
def test_an_output_does_not_open_elsewhere(context):
    blob = cipher().seal(b"value", context=CONTEXT)
    with pytest.raises(DamagedError):
        cipher().open(blob, context=context)


def test_each_flipped_bit_is_noticed():
    blob = cipher().seal(b"value", context=CONTEXT)
    for bit in range(len(blob) * 8):
        changed = bytearray(blob)
        changed[bit // 8] ^= 1 << bit % 8
        expected = UnknownFormatError if bit < 32 else WrongKeyError if bit < 36 * 8 else DamagedError
        with pytest.raises(expected):
            cipher().open(bytes(changed), context=CONTEXT)


def test_a_blob_that_is_cut_anywhere_is_noticed():
    blob = cipher().seal(b"value", context=CONTEXT)
    for length in range(len(blob)):
        with pytest.raises(UnknownFormatError if length < 4 else DamagedError):
            cipher().open(blob[:length], context=CONTEXT)


def test_plaintext_is_never_taken_for_an_output():
    with pytest.raises(UnknownFormatError):
        cipher().open(b'{"plain": "output"}', context=CONTEXT)


@pytest.mark.parametrize("other", [{"store_id": b"o" * 16}, {"key_id": b"o" * 16}])
def test_the_output_of_another_store_is_a_wrong_key_not_damage(other):
    with pytest.raises(WrongKeyError):
        cipher(**other).open(cipher().seal(b"value", context=CONTEXT), context=CONTEXT)


def test_another_key_under_the_same_ids_opens_nothing():
    with pytest.raises(DamagedError):
        cipher(key=b"x" * 32).open(cipher().seal(b"value", context=CONTEXT), context=CONTEXT)


def test_a_memoryview_from_a_database_is_taken_too():
    assert b"value" == cipher().open(memoryview(cipher().seal(b"value", context=CONTEXT)), context=CONTEXT)


def test_a_cipher_shows_nothing_and_cannot_be_pickled():
    assert "OutputCipher(***)" == repr(cipher())
    with pytest.raises(TypeError):
        pickle.dumps(cipher())
