"""The helpers that other programs' tests stand on must fail when there is a leak."""

import base64
from urllib.parse import quote

import pytest

from autokestra_secrets import SecretNotFoundError, SecretValue
from autokestra_secrets.testing import assert_no_leak, fixed_keys, memory_store

SECRET = "hunter2-ü-!/?"


@pytest.mark.parametrize(
    "leak",
    [
        SECRET,
        f"prefix{SECRET}suffix",
        SECRET.encode(),
        SECRET.encode().hex(),
        SECRET.encode().hex().upper(),
        quote(SECRET, safe=""),
        *(base64.b64encode(b"x" * shift + SECRET.encode() + b"tail").decode() for shift in range(3)),
        base64.urlsafe_b64encode(b"\xff\xff\xff" + SECRET.encode()),
    ],
)
def test_a_leak_is_found_in_every_common_form_and_never_repeated(leak, tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "log").write_bytes(leak if isinstance(leak, bytes) else leak.encode())
    for place in (leak, tmp_path, tmp_path / "deep" / "log"):
        with pytest.raises(AssertionError, match="value 1 stands in") as caught:
            assert_no_leak(["another", SecretValue(SECRET)], "clean", place)
        assert "hunter2" not in str(caught.value)


def test_clean_places_pass(tmp_path):
    (tmp_path / "log").write_text("nothing here")
    assert_no_leak([SECRET, b"\xff\xfe\xfd\xfc"], "nothing", b"at all", tmp_path)


def test_values_that_stand_everywhere_by_chance_are_refused():
    with pytest.raises(ValueError, match="less than 4 bytes"):
        assert_no_leak(["abc"], "abc")


def test_a_store_in_memory_holds_what_it_is_given_and_makes_no_file():
    store = memory_store({"my-secret": "value"})
    assert "value" == store.get("my-secret").reveal()
    assert "memory" == store.location
    with pytest.raises(SecretNotFoundError):
        memory_store().get("my-secret")
    assert "AUTOKESTRA_SECRET_KEY" == fixed_keys().describe().source
