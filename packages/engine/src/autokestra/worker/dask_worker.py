"""A worker of a cluster: one process that Dask hands envelopes, until its scheduler is gone or it is told to stop."""

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any, Final

from autokestra.worker.address import PoolAddress
from autokestra.worker.dask_link import distributed, refuse_other_versions, security
from autokestra.worker.wire import AGAIN, Runner, serve_with

PLENTY: Final = 1e9  # of every resource: they say what a worker has, its slots say how much it does at once
LOOPBACK: Final = "127.0.0.1"


def serve(
    address: PoolAddress,
    runner: Runner,
    directory: str,
    *,
    stop: signal.Signals,
    offers: frozenset[str],
    slots: int,
    joined: Callable[[], None],
) -> int:
    """Run what the scheduler sends, at most `slots` attempts at once; return 0 when the signal `stop` told it to.

    What runs then is waited for; a second one ends the process at once, with 128 and its number as exit code.
    Returns AGAIN when there is no scheduler, or no longer: what runs is finished first. `joined` is called when it
    takes part. What Dask leaves in `directory` is for the caller to remove. Raises PoolUnavailableError where the
    cluster has workers of another version, PoolRefusedError for certificates that cannot be used.
    """
    serve_with(runner)
    return asyncio.run(_serve(address, directory, stop=stop, offers=offers, slots=slots, joined=joined))


async def _serve(
    address: PoolAddress,
    directory: str,
    *,
    stop: signal.Signals,
    offers: frozenset[str],
    slots: int,
    joined: Callable[[], None],
) -> int:
    module, papers = distributed(), security(address)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(stop, stopping.set)
    asked = asyncio.ensure_future(stopping.wait())
    look = asyncio.ensure_future(_refuse_to_mix(module, address, papers))
    await asyncio.wait((look, asked), return_when=asyncio.FIRST_COMPLETED)
    if not look.done():  # it may look for a scheduler that is gone for as long as a connection may take
        look.cancel()
        return 0
    try:
        await look
        worker = module.Worker(
            address.contact,
            nthreads=slots,
            name=f"{os.uname().nodename}-{os.getpid()}",
            resources=dict.fromkeys(offers, PLENTY),
            security=papers,
            host=LOOPBACK if address.is_loopback else None,  # what is plain must not listen to other machines
            dashboard_address=f"{LOOPBACK}:0",
            local_directory=directory,
            memory_limit=0,
        )
        await worker
    except (OSError, TimeoutError, RuntimeError):
        return AGAIN
    joined()
    ended = asyncio.ensure_future(worker.finished())
    await asyncio.wait((ended, asked), return_when=asyncio.FIRST_COMPLETED)
    if not stopping.is_set():
        asked.cancel()
        return AGAIN
    loop.add_signal_handler(stop, os._exit, 128 + stop)
    await worker.close(reason="asked to stop")
    return 0


async def _refuse_to_mix(module: Any, address: PoolAddress, papers: Any) -> None:
    """Look who is there before joining. Raises PoolUnavailableError, or OSError where nobody answers."""
    arguments = papers.get_connection_args("worker") if papers else {}
    async with module.rpc(address.contact, connection_args=arguments) as scheduler:
        identity = await scheduler.identity(n_workers=-1)
    refuse_other_versions(identity["workers"])
