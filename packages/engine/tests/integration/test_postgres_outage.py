"""A server that is away for a moment, when a connection is needed that was never made before."""

import threading
import time

from autokestra.executions.records import LogLine
from autokestra.executions.store import ExecutionStore
from servers.postgresql import PostgresServer


def test_a_first_connection_waits_for_a_server_that_was_met_by_another(tmp_path):
    server = PostgresServer.started()
    try:
        line = LogLine(
            execution_id="e", task_id="t", attempt=1, sequence=0, time=1, stream="stdout", level="info", message="m"
        )
        with ExecutionStore.open(server.url()) as store:
            server.kill()
            writing = threading.Thread(target=store.append_log, args=([line],))  # lines have a connection of their own
            writing.start()
            time.sleep(0.5)
            server.start()  # by this thread: the server ends with the thread that has started it
            writing.join()
            assert [line] == store.lines_of("e", "t", 1, -1)
    finally:
        server.stop()
