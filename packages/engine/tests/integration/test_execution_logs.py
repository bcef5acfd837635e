"""The log writer: nothing lost, nothing out of order, and a failing disk is not silent."""

import threading
import time

import pytest

from autokestra.executions import logs
from autokestra.executions.logs import LogWriter


def test_everything_is_written_in_order_by_the_time_drain_returns():
    written = []
    writer = LogWriter(written.extend)
    for number in range(5_000):
        writer.add([number])
    writer.drain()
    assert list(range(5_000)) == written
    writer.close()


def test_lines_are_written_soon_without_anybody_waiting():
    written = threading.Event()
    writer = LogWriter(lambda _: written.set())
    writer.add(["line"])
    assert written.wait(5)
    writer.close()


def test_lines_that_come_one_by_one_are_written_in_batches():
    batches = []
    writer = LogWriter(batches.append)
    for number in range(1_000):
        writer.add([number])
    writer.close()
    assert 1_000 == sum(map(len, batches))
    assert len(batches) < 100


def test_a_full_queue_slows_the_task_down_instead_of_growing(monkeypatch):
    monkeypatch.setattr(logs, "QUEUE_LINES", 10)
    monkeypatch.setattr(logs, "BATCH_LINES", 10)
    written, most = [], 0

    def slow(batch):
        nonlocal most
        time.sleep(0.001)
        most = max(most, len(batch))
        written.extend(batch)

    writer = LogWriter(slow)
    for number in range(500):
        writer.add([number])
    writer.close()
    assert list(range(500)) == written
    assert most <= 10


def test_a_failing_write_is_raised_where_lines_come_in():
    def fails(_):
        raise OSError("disk full")

    writer = LogWriter(fails)
    writer.add(["line"])
    with pytest.raises(OSError, match="disk full"):
        writer.drain()
    with pytest.raises(OSError, match="disk full"):
        writer.add(["another"])
    with pytest.raises(OSError, match="disk full"):
        writer.close()
    assert not writer._thread.is_alive()


def test_many_threads_may_write_at_once():
    written = []
    writer = LogWriter(written.extend)

    def task(name):
        for number in range(500):
            writer.add([(name, number)])

    threads = [threading.Thread(target=task, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    assert 4_000 == len(written)
    for name in range(8):
        assert [(name, n) for n in range(500)] == [item for item in written if item[0] == name]
