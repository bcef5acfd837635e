"""Sealing and opening: what was sealed comes back, and nothing else ever does."""

import pickle

import pytest

from autokestra_secrets import DamagedError, Sealed, SecretEncryption, derive_key
from autokestra_secrets.encryption import (
    IV_BYTES,
    TAG_BYTES,
    associated_data,
    check_mac,
    derive_subkey,
    encode_fields,
    mac,
    sha256,
    token_bytes,
)

KEY = bytes(range(32))
ROW = {
    "key_id": b"k" * 16,
    "store_id": b"s" * 16,
    "table": "secrets",
    "name": "API_TOKEN",
    "version": 3,
    "created_at": 1_700_000_000_000_000,
    "updated_at": 1_700_000_000_000_001,
    "state": "active",
    "metadata": "{}",
}


def flipped(data):
    """Yield `data` once for each of its bits, with that bit flipped."""
    for bit in range(len(data) * 8):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        yield bytes(changed)


@pytest.mark.parametrize("plaintext", [b"", b"x", b"\0" * 100, "grün 😀".encode(), b"x" * (1 << 20)])
def test_what_was_sealed_comes_back(plaintext):
    cipher = SecretEncryption(KEY)
    assert plaintext == cipher.open(cipher.seal(plaintext, aad=b"aad"), aad=b"aad")


def test_iv_and_tag_have_their_full_length():
    sealed = SecretEncryption(KEY).seal(b"value", aad=b"")
    assert (IV_BYTES, len(b"value"), TAG_BYTES) == (len(sealed.iv), len(sealed.ciphertext), len(sealed.auth_tag))


def test_each_seal_takes_a_fresh_iv():
    cipher = SecretEncryption(KEY)
    sealed = [cipher.seal(b"value", aad=b"") for _ in range(1000)]
    assert 1000 == len({one.iv for one in sealed}) == len({one.ciphertext for one in sealed})


def test_randomness_can_be_fixed():
    cipher = SecretEncryption(KEY, random=bytes)
    assert cipher.seal(b"value", aad=b"") == cipher.seal(b"value", aad=b"")
    assert bytes(IV_BYTES) == cipher.seal(b"value", aad=b"").iv


@pytest.mark.parametrize("part", ["iv", "ciphertext", "auth_tag", "aad"])
def test_each_flipped_bit_is_noticed(part):
    cipher = SecretEncryption(KEY)
    aad = associated_data(**ROW)
    sealed = cipher.seal(b"a secret value", aad=aad)
    pieces = {**sealed._asdict(), "aad": aad}
    for changed in flipped(pieces[part]):
        damaged = {**pieces, part: changed}
        with pytest.raises(DamagedError):
            cipher.open(Sealed(damaged["iv"], damaged["ciphertext"], damaged["auth_tag"]), aad=damaged["aad"])


def test_each_wrong_key_is_noticed():
    sealed = SecretEncryption(KEY).seal(b"value", aad=b"aad")
    for wrong in flipped(KEY):
        with pytest.raises(DamagedError):
            SecretEncryption(wrong).open(sealed, aad=b"aad")


@pytest.mark.parametrize(
    "change",
    [
        lambda sealed: sealed._replace(ciphertext=b"plain text instead"),
        lambda sealed: sealed._replace(ciphertext=sealed.ciphertext[:-1]),
        lambda sealed: sealed._replace(ciphertext=sealed.ciphertext + b"\0"),
        lambda sealed: sealed._replace(auth_tag=sealed.auth_tag[:4]),
        lambda sealed: sealed._replace(auth_tag=b""),
        lambda sealed: sealed._replace(iv=sealed.iv + b"\0" * 4),
        lambda sealed: sealed._replace(iv=b""),
        # The last byte of the ciphertext moved into the tag: concatenated, the bytes are the same.
        lambda sealed: Sealed(sealed.iv, sealed.ciphertext[:-1], sealed.ciphertext[-1:] + sealed.auth_tag),
    ],
)
def test_other_lengths_and_plaintext_are_refused(change):
    cipher = SecretEncryption(KEY)
    sealed = cipher.seal(b"value", aad=b"aad")
    with pytest.raises(DamagedError):
        cipher.open(change(sealed), aad=b"aad")


@pytest.mark.parametrize("length", [0, 16, 24, 31, 33, 64])
def test_only_keys_of_256_bits_are_taken(length):
    with pytest.raises(ValueError, match="expected a key of 32 bytes"):
        SecretEncryption(bytes(length))


def test_a_broken_source_of_randomness_is_noticed():
    with pytest.raises(ValueError, match="expected 12 random bytes, got 0"):
        SecretEncryption(KEY, random=lambda _: b"").seal(b"value", aad=b"")


def test_a_cipher_shows_nothing_and_cannot_be_pickled():
    cipher = SecretEncryption(KEY)
    assert "SecretEncryption(***)" == repr(cipher)
    with pytest.raises(TypeError):
        pickle.dumps(cipher)


def test_an_error_holds_neither_key_nor_plaintext_nor_cause():
    cipher = SecretEncryption(KEY)
    with pytest.raises(DamagedError) as caught:
        cipher.open(cipher.seal(b"hunter2-value", aad=b"a"), aad=b"b")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert "hunter2" not in f"{caught.value!r}{caught.value.args}"


def test_the_same_input_gives_the_same_key_and_any_other_input_another():
    key = derive_key(b"master", salt=b"s" * 32, iterations=100_000)
    assert 32 == len(key)
    others = {
        key,
        derive_key(b"Master", salt=b"s" * 32, iterations=100_000),
        derive_key(b"master", salt=b"S" * 32, iterations=100_000),
        derive_key(b"master", salt=b"s" * 32, iterations=100_001),
    }
    assert key == derive_key(b"master", salt=b"s" * 32, iterations=100_000)
    assert 4 == len(others)


@pytest.mark.parametrize("iterations", [-1, 0, 1, 99_999, 10_000_001])
def test_too_few_and_too_many_iterations_are_refused(iterations):
    with pytest.raises(ValueError, match="expected 100,000 to 10,000,000 iterations"):
        derive_key(b"master", salt=b"s" * 32, iterations=iterations)


@pytest.mark.parametrize(("master_key", "salt"), [(b"", b"salt"), (b"master", b"")])
def test_an_empty_master_key_or_salt_is_refused(master_key, salt):
    with pytest.raises(ValueError, match="must not be empty"):
        derive_key(master_key, salt=salt, iterations=100_000)


def test_each_purpose_and_each_store_has_its_own_subkey():
    keys = {
        derive_subkey(KEY, store_id=store, purpose=purpose)
        for store in (b"a" * 16, b"b" * 16)
        for purpose in ("values", "journal", "outputs")
    }
    assert 6 == len(keys - {KEY})


def test_each_column_of_a_row_is_bound():
    changes = {
        "key_id": b"K" * 16,
        "store_id": b"S" * 16,
        "table": "history",
        "name": "API_TOKEN2",
        "version": 4,
        "created_at": 0,
        "updated_at": 0,
        "state": "deleted",
        "metadata": '{"tags":[]}',
        "format": 2,
    }
    encoded = {associated_data(**{**ROW, column: value}) for column, value in changes.items()}
    assert len(changes) == len(encoded - {associated_data(**ROW)})


def test_fields_are_encoded_as_the_specification_says():
    assert b"\0\0\0\2ab" + b"\0\0\0\x08" + b"\xff" * 8 + b"\0\0\0\1\0" == encode_fields("ab", -1, b"\0")
    assert b"" == encode_fields()


def test_text_that_is_no_unicode_encodes_and_so_fails_later():
    assert b"\0\0\0\3\xed\xb3\xbf" == encode_fields("\udcff")


def test_a_mac_is_checked_in_full():
    code = mac(KEY, b"message")
    assert check_mac(KEY, b"message", code)
    assert not any(check_mac(KEY, b"message", wrong) for wrong in (*flipped(code), code[:31], code + b"\0", b""))
    assert not check_mac(KEY, b"another", code)
    assert not check_mac(sha256(KEY), b"message", code)


def test_random_bytes_are_as_many_as_wanted_and_never_the_same():
    assert 32 == len(token_bytes(32))
    assert token_bytes(32) != token_bytes(32)
