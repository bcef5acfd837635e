"""What a master key looks like: three forms, one trailing newline, and clear words for everything else."""

import base64
import hashlib
import pickle

import pytest

from autokestra_secrets import InvalidKeyError, MasterKey
from autokestra_secrets.keytext import key_text

RAW = bytes(range(32))
TEXT = key_text(RAW)


def parse(text):
    return MasterKey.parse(text if isinstance(text, bytes) else text.encode(), source="AUTOKESTRA_SECRET_KEY")


def test_a_generated_key_is_written_with_prefix_and_checksum():
    for raw in (RAW, bytes(32), b"\xff" * 32):
        checksum = hashlib.sha256(b"akey1" + raw).digest()[:4]
        assert "akey1-" + base64.urlsafe_b64encode(raw + checksum).decode() == key_text(raw)
    assert "akey1-AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh-zuort" == TEXT


def test_all_ways_to_write_a_key_are_the_same_key():
    expected = MasterKey(RAW, kind="key", source="test")
    for text in (TEXT, TEXT + "\n", TEXT + "\r\n", RAW.hex(), RAW.hex().upper(), RAW.hex() + "\n"):
        assert expected == parse(text)


def test_any_other_text_is_a_passphrase():
    key = parse("correct horse battery staple")
    assert "passphrase" == key.kind
    assert key != parse("correct horse battery stapler")


@pytest.mark.parametrize(
    "text", ["correct horse battery staple", "twelve\u00a0chars", "a family: 👨\u200d👩\u200d👧", "ab" * 31 + "c"]
)
def test_any_text_of_twelve_characters_is_a_passphrase(text):
    assert "passphrase" == parse(text).kind


def test_only_one_newline_is_ignored_and_no_space():
    assert parse("twelve chars") == parse("twelve chars\n") == parse("twelve chars\r\n")
    assert parse("twelve chars") != parse("twelve chars ")
    with pytest.raises(InvalidKeyError, match="several lines"):
        parse("twelve chars\n\n")


def test_a_passphrase_is_counted_in_characters():
    assert "passphrase" == parse("äöüäöüäöüäöü").kind
    with pytest.raises(InvalidKeyError, match="too short: expected 12 characters, got 11"):
        parse("äöüäöüäöüäö")


@pytest.mark.parametrize("text", ["", "\n", "\r\n", "   ", " \n"])
def test_an_empty_key_is_an_error(text):
    with pytest.raises(InvalidKeyError, match="AUTOKESTRA_SECRET_KEY is empty"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (TEXT[:-1], "mistyped or cut short"),
        (TEXT[:20], "mistyped or cut short"),
        ("akey1-", "mistyped or cut short"),
        (TEXT + "A", "mistyped or cut short"),
        (TEXT + "AAAA", "mistyped or cut short"),
        (TEXT + "=", "mistyped or cut short"),
        (TEXT.replace("AAEC", "AAED"), "mistyped or cut short"),
        (key_text(b"\xff" * 32).replace("_", "/"), "mistyped or cut short"),
        (TEXT + "ü", "mistyped or cut short"),
        (TEXT.replace("akey1-", "akey3-"), "unknown version"),
        (TEXT.replace("akey1-", "AKEY1-"), "unknown version"),
        (b"\0" * 55, "several lines or control characters"),
        (b"line one of it\nline two of it", "several lines or control characters"),
        (b"\xff\xfe\x00\x01" * 8, "binary data"),
        (b"x" * 4097, "more than 4,096 bytes"),
    ],
)
def test_what_is_no_key_is_refused_with_a_reason(text, words):
    with pytest.raises(InvalidKeyError, match=words) as caught:
        parse(text)
    assert caught.value.hint
    assert 5 == caught.value.exit_code


def test_no_error_repeats_the_key():
    for text in (TEXT[:-1], "hunter2", "hunter2-hunter2\nhunter2", TEXT.replace("akey1", "akey9")):
        with pytest.raises(InvalidKeyError) as caught:
            parse(text)
        shown = f"{caught.value!r} {caught.value.hint}"
        assert "hunter2" not in shown
        assert TEXT[6:20] not in shown


def test_a_key_shows_nothing_and_cannot_be_pickled_or_hashed():
    key = parse(TEXT)
    assert "MasterKey(kind='key', origin='AUTOKESTRA_SECRET_KEY')" == repr(key) == str(key)
    with pytest.raises(TypeError):
        pickle.dumps(key)
    with pytest.raises(TypeError):
        hash(key)
    assert key != TEXT


def test_where_a_key_came_from_is_said_with_the_path_of_its_file():
    assert (
        "key file /home/me/secret.key"
        == MasterKey.parse(TEXT.encode(), source="key file", path="/home/me/secret.key").origin
    )


def test_a_generated_key_needs_fewer_iterations_than_a_passphrase():
    assert (100_000, 600_000) == (parse(TEXT).iterations, parse("correct horse battery").iterations)


def test_a_derivation_is_done_once_per_process():
    salt = b"once per process" * 2
    first = parse(TEXT).derive(salt=salt, iterations=100_000)
    assert first is MasterKey.parse(TEXT.encode(), source="elsewhere").derive(salt=salt, iterations=100_000)
    assert first != parse(TEXT).derive(salt=salt, iterations=100_001)


def test_the_same_key_has_the_same_fingerprint_wherever_it_comes_from():
    fingerprints = [parse(text).fingerprint for text in (TEXT, RAW.hex(), key_text(bytes(32)), "correct horse battery")]
    assert "a72ebd8dcffc37aa" == fingerprints[0] == fingerprints[1]
    assert 3 == len(set(fingerprints))
