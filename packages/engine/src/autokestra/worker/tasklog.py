"""The only way of a task's words to a sink: bytes -> masker -> lines -> log table and observers."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final, Literal

from autokestra.executions.records import LogLine, Stream
from autokestra_secrets import SecretMasker, StreamMasker

MAX_LINE_BYTES: Final = 64 << 10  # longer ones are cut into several, so that no line grows without end
MAX_LOG_BYTES: Final = 64 << 20  # per attempt; beyond it output is read and counted, not kept
IDLE_SECONDS: Final = 0.25  # after which a line without an end, such as a prompt, is shown as it is

Emit = Callable[[Sequence[LogLine]], None]


class TaskLog:
    """The log of one attempt; may be written from several threads. Everything passes through `masker`."""

    def __init__(
        self,
        masker: SecretMasker,
        emit: Emit,
        *,
        execution_id: str,
        task_id: str,
        attempt: int,
        clock: Callable[[], int],
        limit: int = MAX_LOG_BYTES,
    ) -> None:
        self._masker = masker
        self._emit = emit
        self._ids = (execution_id, task_id, attempt)
        self._clock = clock
        self._limit = limit
        self._lock = threading.Lock()
        self._streams: dict[Stream, _LineAssembler] = {
            "stdout": _LineAssembler(masker.stream(commands=True)),
            "stderr": _LineAssembler(masker.stream(commands=True)),
        }
        self._sequence = 0
        self._bytes = 0
        self._dropped = 0

    def write(self, stream: Literal["stdout", "stderr"], data: bytes) -> None:
        """Take raw bytes that the task printed, cut anywhere."""
        with self._lock:
            if self._bytes >= self._limit:
                # Still fed: a value that is registered by a command, or counted, is so after the limit too.
                self._dropped += len(data)
                self._streams[stream].feed(data)
                return
            self._bytes += len(data)
            self._put(stream, "info", self._streams[stream].feed(data))
            self._streams[stream].touch()  # a sink that was full has kept us waiting, not the task
            if self._bytes >= self._limit:
                self._put("system", "warning", [f"more than {self._limit:,} bytes of output: the rest is not kept"])

    def message(
        self, text: str, level: Literal["debug", "info", "warning", "error"] = "info", *, limit: int | None = None
    ) -> None:
        """Take words of the engine or of an action about this attempt; cut at `limit` characters once masked."""
        masked = self._masker.mask(text)
        if limit is not None and len(masked) > limit:
            masked = f"{masked[:limit]} […]"
        with self._lock:
            self._put("system", level, masked.splitlines() or [""])

    def show_unfinished(self) -> None:
        """Show lines that have had no end and no new bytes for a while; never what a masker still holds."""
        with self._lock:
            for stream, assembler in self._streams.items():
                if not self._dropped and assembler.quiet_since(time.monotonic() - IDLE_SECONDS):
                    self._put(stream, "info", assembler.unfinished())

    def close(self) -> None:
        """Flush what a masker still held and what had no line end."""
        with self._lock:
            for stream, assembler in self._streams.items():
                lines = assembler.flush()
                if not self._dropped:
                    self._put(stream, "info", lines)
            if self._dropped:
                self._put("system", "warning", [f"{self._dropped:,} bytes of output were not kept"])

    def _put(self, stream: Stream, level: str, texts: Sequence[str]) -> None:
        if not texts:
            return
        now = self._clock()
        execution, task, attempt = self._ids
        lines = [
            LogLine(
                execution_id=execution,
                task_id=task,
                attempt=attempt,
                sequence=self._sequence + place,
                time=now,
                stream=stream,
                level=level,
                message=text,
            )
            for place, text in enumerate(texts)
        ]
        self._sequence += len(lines)
        self._emit(lines)


class IdleWatch:
    """Asks the logs under way, a few times a second, for lines that wait for their end; one thread for all of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._logs: set[TaskLog] = set()
        self._running = False

    @contextmanager
    def over(self, log: TaskLog) -> Iterator[None]:
        """Watch `log` within the block."""
        with self._lock:
            self._logs.add(log)
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="idle-lines", daemon=True).start()
        try:
            yield
        finally:
            with self._lock:
                self._logs.discard(log)

    def _run(self) -> None:
        while True:
            time.sleep(IDLE_SECONDS / 2)
            with self._lock:
                logs = list(self._logs)
                if not logs:
                    self._running = False
                    return
            for log in logs:
                with suppress(Exception):  # a sink that fails raises again in the task's own thread, with more to say
                    log.show_unfinished()


class _LineAssembler:
    """Masked bytes to lines of text; an end of line is LF or CRLF."""

    def __init__(self, masker: StreamMasker) -> None:
        self._masker = masker
        self._rest = b""
        self._fed_at = 0.0

    def quiet_since(self, moment: float) -> bool:
        return bool(self._rest) and self._fed_at <= moment

    def touch(self) -> None:
        self._fed_at = time.monotonic()

    def unfinished(self) -> list[str]:
        line, self._rest = self._rest, b""
        return [_text(line)]

    def feed(self, data: bytes) -> list[str]:
        return self._cut(self._masker.feed(data))

    def flush(self) -> list[str]:
        lines = self._cut(self._masker.flush())
        return lines + self.unfinished() if self._rest else lines

    def _cut(self, masked: bytes) -> list[str]:
        if b"\n" not in masked and len(self._rest) + len(masked) < MAX_LINE_BYTES:
            self._rest += masked
            return []
        *whole, rest = (self._rest + masked).split(b"\n")
        lines = [piece for line in whole for piece in _pieces(line)]
        # A line without end is cut as it grows; a multiple keeps later cuts where one pass would put them.
        keep = len(rest) % MAX_LINE_BYTES if len(rest) >= MAX_LINE_BYTES else len(rest)
        if keep < len(rest):
            lines.extend(_pieces(rest[: len(rest) - keep]))
        self._rest = rest[len(rest) - keep :]
        return lines


def _pieces(line: bytes) -> list[str]:
    line = line.removesuffix(b"\r")
    if len(line) <= MAX_LINE_BYTES:
        return [_text(line)]
    return [_text(line[start : start + MAX_LINE_BYTES]) for start in range(0, len(line), MAX_LINE_BYTES)]


def _text(line: bytes) -> str:
    return line.decode(errors="replace")
