"""The options that name a cluster, for the commands that use one."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from autokestra.cli.completion.suggestions import file_paths

if TYPE_CHECKING:
    from autokestra.worker.address import PoolAddress

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--pool", metavar="URL", help="Workers that run the tasks: dask://HOST:PORT or tls://HOST:PORT."),
    click.option(
        "--tls-ca",
        metavar="FILE",
        shell_complete=file_paths,
        envvar="AUTOKESTRA_TLS_CA",
        help="Who vouches for the others, PEM.",
    ),
    click.option(
        "--tls-cert",
        metavar="FILE",
        shell_complete=file_paths,
        envvar="AUTOKESTRA_TLS_CERT",
        help="Our own certificate, PEM.",
    ),
    click.option(
        "--tls-key",
        metavar="FILE",
        shell_complete=file_paths,
        envvar="AUTOKESTRA_TLS_KEY",
        help="The private key of that, PEM.",
    ),
    click.option("--insecure-cluster", is_flag=True, help="Allow dask:// to another machine, without encryption."),
)


def pool_options(command: F) -> F:
    """Add the options; the command gets them as `pool`, `tls_ca`, `tls_cert`, `tls_key` and `insecure_cluster`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def pool_address(
    *,
    pool: str | None,
    tls_ca: str | None,
    tls_cert: str | None,
    tls_key: str | None,
    insecure_cluster: bool,
) -> "PoolAddress | None":
    """Return the cluster that the options name, None without `--pool`. Raises UsageError and PoolRefusedError."""
    if pool is None:
        return None
    from autokestra.worker.address import PoolAddress  # noqa: PLC0415  # few use a cluster

    return PoolAddress.parse(pool, ca=tls_ca, certificate=tls_cert, key=tls_key, insecure=insecure_cluster)


def check_sendable(path: str) -> None:
    """Raise UsageError for the path of a workflow that no worker can be told, since messages to it are text."""
    from autokestra.errors import UsageError  # noqa: PLC0415
    from autokestra.executions.reading import is_text  # noqa: PLC0415

    if not is_text(path):
        raise UsageError(
            f"the path '{path}' is not UTF-8, and workers of a cluster cannot be told of it",
            hint="give file and folder another name, or run it without --pool",
        )
