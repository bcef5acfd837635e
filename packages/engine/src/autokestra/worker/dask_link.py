"""How `dask.distributed` is loaded and reached: quietly, only when it is asked for, with papers of both sides."""

import ssl
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from autokestra.errors import PoolRefusedError, PoolUnavailableError
from autokestra.worker.address import PoolAddress
from autokestra.worker.envelope import SAME_VERSION, VERSION
from autokestra.worker.wire import versions

CONNECT_SECONDS: Final = 10.0

_LOGGERS: Final = (
    "distributed",
    "distributed.client",
    "distributed.worker",
    "tornado",
    "tornado.application",
    "asyncio",
)
_SETTINGS: Final[Mapping[str, Any]] = {
    # What Dask would say about tasks, it would say with their arguments; what matters is said by us.
    "logging": dict.fromkeys(_LOGGERS, "critical"),
    "distributed.comm.timeouts.connect": f"{CONNECT_SECONDS:g}s",
    "distributed.worker.http.routes": [],  # no page of a worker's own
    "distributed.worker.profile.enabled": False,
    "distributed.worker.memory.target": False,  # values do not lie in Dask's memory: there is nothing to move to disk
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
}


@cache
def distributed() -> Any:
    """Return the module. Raises PoolUnavailableError where the extra is not installed."""
    try:
        import dask  # noqa: PLC0415  # 0.3 s, an extra
    except ImportError:
        raise PoolUnavailableError(
            "a pool of workers needs dask.distributed, which is not installed",
            hint="pip install 'autokestra[cluster]' on every machine",
        ) from None
    dask.config.set(_SETTINGS)  # before the import below, which sets up its logging
    import distributed as module  # noqa: PLC0415

    return module


def security(address: PoolAddress) -> Any:
    """Return Dask's security for an address, None for a plain one. Raises PoolRefusedError for unusable files."""
    papers = address.certificates
    if papers is None:
        return None
    own: dict[str, str] = {}
    for role in ("client", "worker", "scheduler"):
        own |= {f"tls_{role}_cert": str(papers.certificate), f"tls_{role}_key": str(papers.key)}
    found = distributed().Security(tls_ca_file=str(papers.ca), require_encryption=True, **own)
    try:
        found.get_connection_args("client")
        found.get_listen_args("worker")
    except (ssl.SSLError, OSError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
        raise PoolRefusedError(
            f"the certificates for {address.url} cannot be used: {str(reason).replace('_', ' ').lower()}",
            hint="check that --tls-cert and --tls-key belong together, and that all are PEM files you may read",
        ) from None
    return found


def unreachable(address: PoolAddress) -> PoolUnavailableError:
    """Return the error for a scheduler that does not answer, or does not want us."""
    doubt = " (or it refuses our certificate)" if address.certificates else ""
    return PoolUnavailableError(
        f"no scheduler answers at {address.url}{doubt}",
        hint=f"start one with: dask scheduler --host {address.host} --port {address.port}, or name another with --pool",
    )


def refuse_other_versions(workers: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise PoolUnavailableError where a worker of ours speaks another version of envelopes than this process."""
    for where, worker in workers.items():
        spoken = versions(worker["resources"])
        if spoken and str(VERSION) not in spoken:
            raise PoolUnavailableError(
                f"worker {worker.get('name', where)} reads envelopes of version {', '.join(sorted(spoken))}, "
                f"this command writes version {VERSION}",
                hint=SAME_VERSION,
            )
