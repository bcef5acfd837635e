"""The local pool: threads, no tags."""

import threading

import pytest

from autokestra.worker.pools import LocalPool


def test_attempts_run_at_once_up_to_the_limit():
    barrier = threading.Barrier(3, timeout=10)

    def execute(envelope):
        barrier.wait()  # passes only when three are here at once
        return envelope.upper()

    pool = LocalPool(execute, max_workers=3)
    futures = [pool.submit(text) for text in "abc"]
    assert ["A", "B", "C"] == [future.result(10) for future in futures]
    pool.close()


def test_no_thread_has_a_tag():
    pool = LocalPool(str, max_workers=1)
    assert pool.can_run(frozenset())
    assert not pool.can_run(frozenset({"gpu"}))
    with pytest.raises(ValueError, match="no worker with tags"):
        pool.submit("x", frozenset({"gpu"}))
    pool.close()
