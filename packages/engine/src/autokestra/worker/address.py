"""Where a cluster is reached, and whether what goes there can be read or forged on the way."""

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from autokestra.errors import PoolRefusedError, UsageError

HINT: Final = "write it as: --pool tls://HOST:PORT (or dask://127.0.0.1:PORT on one machine)"
PLAIN: Final = "dask"
ENCRYPTED: Final = "tls"


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """Files in PEM: who vouches for the others, our own certificate, and the private key of that."""

    ca: Path
    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolAddress:
    """The scheduler of a cluster; with `certificates` both sides show theirs and nobody reads along."""

    host: str
    port: int
    certificates: Certificates | None = None

    @classmethod
    def parse(
        cls,
        url: str,
        *,
        ca: str | None = None,
        certificate: str | None = None,
        key: str | None = None,
        insecure: bool = False,
    ) -> Self:
        """Read `dask://HOST:PORT` or `tls://HOST:PORT`.

        Raises UsageError for another text or certificates that are missing; PoolRefusedError for `dask` to another
        machine unless `insecure`: whoever reaches such a cluster runs code on all of its workers.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host = port = None
        bare = host is not None and not ("@" in parts.netloc or parts.path.strip("/") or parts.query or parts.fragment)
        if not host or not port or not bare or parts.scheme not in (PLAIN, ENCRYPTED):
            raise UsageError(f"expected a pool as dask://HOST:PORT or tls://HOST:PORT, got {_shown(url)!r}", hint=HINT)
        if parts.scheme == ENCRYPTED:
            return cls(host=host, port=port, certificates=_certificates(ca, certificate, key))
        address = cls(host=host, port=port)
        if not address.is_loopback and not insecure:
            raise PoolRefusedError(
                f"pool {url} is another machine, and without TLS whoever reaches it can run code on its workers",
                hint=f"give it certificates: --pool tls://{parts.netloc} --tls-ca FILE --tls-cert FILE --tls-key FILE",
            )
        return address

    @property
    def is_loopback(self) -> bool:
        """Whether the scheduler is on this machine, for certain: a name other than `localhost` could be anything."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def url(self) -> str:
        """The address as it is typed."""
        return f"{ENCRYPTED if self.certificates else PLAIN}://{self._netloc}"

    @property
    def contact(self) -> str:
        """The address as Dask writes it."""
        return f"{ENCRYPTED if self.certificates else 'tcp'}://{self._netloc}"

    @property
    def _netloc(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _shown(url: str) -> str:
    """Return a text that was no address, without what stands before an `@`: it may be a password."""
    _, at, rest = url.rpartition("@")
    scheme = next((f"{name}://" for name in (PLAIN, ENCRYPTED) if url.startswith(f"{name}://")), "")
    return f"{scheme}…@{rest}" if at else url


def _certificates(ca: str | None, certificate: str | None, key: str | None) -> Certificates:
    given = {"--tls-ca": ca, "--tls-cert": certificate, "--tls-key": key}
    missing = [option for option, value in given.items() if not value]
    if missing or not (ca and certificate and key):
        raise UsageError(f"a pool with TLS needs {', '.join(missing)}", hint=f"add: {' FILE '.join(missing)} FILE")
    for option, value in given.items():
        if not Path(str(value)).is_file():
            raise UsageError(f"{option}: no file {value!r}", hint="give the path of a PEM file")
    return Certificates(ca=Path(ca), certificate=Path(certificate), key=Path(key))
