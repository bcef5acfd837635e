"""What may be given to --pool."""

import pytest

from autokestra.errors import PoolRefusedError, UsageError
from autokestra.worker.address import PoolAddress


@pytest.mark.parametrize(
    ("url", "contact"),
    [
        ("dask://127.0.0.1:8786", "tcp://127.0.0.1:8786"),
        ("dask://127.9.9.9:1", "tcp://127.9.9.9:1"),
        ("dask://localhost:8786", "tcp://localhost:8786"),
        ("dask://[::1]:8786", "tcp://[::1]:8786"),
    ],
)
def test_plain_addresses_of_this_machine_are_taken(url: str, contact: str) -> None:
    address = PoolAddress.parse(url)
    assert (url, contact, True) == (address.url, address.contact, address.is_loopback)


@pytest.mark.parametrize(
    "host", ["10.0.0.1", "128.0.0.1", "localhost.example", "127.0.0.1.example", "[2001:db8::1]", "0.0.0.0"]
)
def test_plain_addresses_of_other_machines_need_a_word(host: str) -> None:
    with pytest.raises(PoolRefusedError) as raised:
        PoolAddress.parse(f"dask://{host}:8786")
    assert f"--pool tls://{host}:8786" in str(raised.value.hint)
    assert not PoolAddress.parse(f"dask://{host}:8786", insecure=True).is_loopback


@pytest.mark.parametrize(
    "url",
    ["", "x", "dask://", "dask://h", "dask://h:0", "dask://h:99999", "dask://h:x", "tcp://h:1", "dask://h:1/x",
     "dask://h:1?x=1", "dask://h:1#x", "dask://:1", "dask://[::1:1"],
)  # fmt: skip
def test_other_texts_are_usage_errors(url: str) -> None:
    with pytest.raises(UsageError) as raised:
        PoolAddress.parse(url, insecure=True)
    assert repr(url) in raised.value.message


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("dask://user:hunter2pw@127.0.0.1:1", "dask://…@127.0.0.1:1"),
        ("tls://user:hunter2pw@h:1", "tls://…@h:1"),
        ("dask://:hunter2pw@h:1", "dask://…@h:1"),
        ("dask://hunter2pw@h:1", "dask://…@h:1"),
        ("dask://@127.0.0.1:1", "dask://…@127.0.0.1:1"),
        ("dask://user:a@hunter2pw@h:1", "dask://…@h:1"),
        ("dask://user:hunter2pw/a#b?c@h:1", "dask://…@h:1"),
        ("dask://user:hunter2pw@[::1", "dask://…@[::1"),
        ("hunter2pw://user@h:1", "…@h:1"),
        ("user:hunter2pw@h:1", "…@h:1"),
        ("user:hunter2pw@\n", "…@\\n"),
    ],
)
def test_what_stands_before_an_at_is_refused_and_not_repeated(url: str, shown: str) -> None:
    for insecure in (False, True):
        with pytest.raises(UsageError) as raised:
            PoolAddress.parse(url, insecure=insecure)
        assert f"expected a pool as dask://HOST:PORT or tls://HOST:PORT, got '{shown}'" == raised.value.message
        assert "hunter2pw" not in repr(raised.value) + str(raised.value.hint)
        assert raised.value.__cause__ is None


def test_tls_needs_all_three_files(tmp_path) -> None:
    file = tmp_path / "x.pem"
    file.touch()
    with pytest.raises(UsageError) as raised:
        PoolAddress.parse("tls://h:1", ca=str(file))
    assert ("a pool with TLS needs --tls-cert, --tls-key", "add: --tls-cert FILE --tls-key FILE") == (
        raised.value.message,
        raised.value.hint,
    )
    with pytest.raises(UsageError, match="--tls-key: no file"):
        PoolAddress.parse("tls://h:1", ca=str(file), certificate=str(file), key=str(tmp_path / "none"))
    address = PoolAddress.parse("tls://h:1", ca=str(file), certificate=str(file), key=str(file))
    assert ("tls://h:1", "tls://h:1") == (address.url, address.contact)
