"""Lines of logs as rows: written in batches, read whole, from both ends, or as far as they have come."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from autokestra.executions.logs import LogWriter
from autokestra.executions.reading import is_text, read_excerpt, to_text
from autokestra.executions.records import AttemptState, LogExcerpt, LogLine
from autokestra.executions.rows import Table

_ALL_SEEN: Final = 2**62  # of an attempt that has ended and whose lines were all read


class LineTable(Table):
    """The log lines of all executions: written by workers, read by whoever wants to see them."""

    def log_writer(self) -> LogWriter:
        """Return what writes lines of logs in batches, of the size that suits the database."""
        return LogWriter(self.append_log, lines=self._rows.log_lines, seconds=self._rows.log_seconds)

    def lines_after(self, seen: dict[tuple[str, int], int], execution: str) -> tuple[list[LogLine], bool]:
        """Return what the log has more than was `seen`, and whether no attempt there is can add to it.

        `seen` is brought up to date: task and number of each attempt with the sequence of its last line. Attempts that
        have ended, and whose lines were all seen, are not asked about again. Lines of one attempt come in order.
        """

        def work(db: Any) -> tuple[list[Any], dict[tuple[str, int], int], bool]:
            found: list[Any] = []
            last, quiet = dict(seen), True
            for attempt in list(self._sql.select_attempt_states(db, execution_id=execution)):
                key = (attempt["task_id"], attempt["number"])
                ended = AttemptState(attempt["state"]) not in (AttemptState.PENDING, AttemptState.RUNNING)
                quiet = quiet and ended
                if last.get(key) == _ALL_SEEN:
                    continue
                ids = {"execution_id": execution, "task_id": key[0], "attempt": key[1]}
                lines = list(self._sql.select_lines_after(db, **ids, sequence=last.get(key, -1)))
                found += lines
                # The state was read first: a worker writes its last line before it says that it has ended.
                last[key] = _ALL_SEEN if ended else lines[-1]["sequence"] if lines else last.get(key, -1)
            return found, last, quiet

        rows, last, quiet = self._rows.read(work)
        seen.update(last)
        return sorted((LogLine(**dict(row)) for row in rows), key=lambda line: line.time), quiet

    def append_log(self, lines: Iterable[LogLine]) -> None:
        """Write a batch of masked lines in one transaction."""
        self._rows.append([line if is_text(line.message) else _as_text(line) for line in lines])

    def lines_of(self, execution: str, task: str, number: int, after: int) -> list[LogLine]:
        """Return the lines of one attempt after a sequence number, in order."""
        ids = {"execution_id": execution, "task_id": task, "attempt": number}
        rows = self._rows.read(lambda db: list(self._sql.select_lines_after(db, **ids, sequence=after)))
        return [LogLine(**dict(row)) for row in rows]

    def log_lines(self, execution: str, *, task: str | None = None) -> list[LogLine]:
        """Return the log of an execution, or of one of its tasks, in order."""
        rows = self._rows.read(lambda db: list(self._sql.select_log_lines(db, execution_id=execution, task_id=task)))
        return [LogLine(**dict(row)) for row in rows]

    def log_ends(self, execution: str, *, first: int, last: int, longest: int) -> list[LogExcerpt]:
        """Return the `first` and `last` lines of each task's log in order, messages cut at `longest` characters."""
        return self._rows.read(
            lambda db: [
                read_excerpt(row, longest)
                for row in self._sql.select_log_ends(db, execution_id=execution, first=first, last=last)
            ]
        )


def _as_text(line: LogLine) -> LogLine:
    return replace(line, message=to_text(line.message))
