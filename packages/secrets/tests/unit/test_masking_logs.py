"""Hooks: logging, warnings, uncaught exceptions, standard streams, structlog, pytest."""

import gc
import io
import logging
import logging.handlers
import queue
import subprocess
import sys
import threading
import traceback
import warnings

import pytest

from autokestra_secrets import SecretMasker, install_log_masking, masked_stdio
from autokestra_secrets.masking.logs import WITHHELD, masked_record
from autokestra_secrets.masking.stdio import MaskedText
from autokestra_secrets.masking.structlog import MaskingProcessor

TOKEN = "hunter2-of-the-day"
P = "***SECRET***"


@pytest.fixture
def masker():
    return SecretMasker([TOKEN])


@pytest.fixture
def logger():
    logger = logging.getLogger("masking.test")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    yield logger
    logger.handlers.clear()


class Kept(logging.Handler):
    """Keeps records and what they are formatted to."""

    def __init__(self):
        super().__init__()
        self.records, self.lines = [], []
        self.setFormatter(logging.Formatter("%(levelname)s %(message)s"))

    def emit(self, record):
        self.records.append(record)
        self.lines.append(self.format(record))


@pytest.fixture
def kept(logger):
    handler = Kept()
    logger.addHandler(handler)
    return handler


class Connection:
    def __repr__(self):
        return f"Connection({TOKEN})"


class Broken:
    """A masker that cannot mask."""

    placeholder = P

    def mask(self, data, *, counted=True):
        raise RuntimeError(f"failed on {data!r}")

    def stream(self):
        return self

    def feed(self, data):
        raise RuntimeError(f"failed on {data!r}")

    def flush(self):
        return b""


@pytest.mark.parametrize(
    ("message", "args", "expected"),
    [
        (f"x{TOKEN}y", (), f"x{P}y"),
        ("%s%s", ("hunter2", "-of-the-day"), P),
        ("got %s", (Connection(),), f"got Connection({P})"),
        ("%r", ([[[[[[[TOKEN]]]]]]],), f"[[[[[[['{P}']]]]]]]"),
        ("%(a)s", ({"a": TOKEN},), P),
        ("%s", (TOKEN.encode(),), f"b'{P}'"),
        ({TOKEN: 1}, (), f"{{'{P}': 1}}"),
        ("%d items", (3,), "3 items"),
        ("%d", (TOKEN,), f"%d ('{P}',)"),
        ("too few %s %s", (TOKEN,), f"too few %s %s ('{P}',)"),
    ],
)
def test_messages_are_masked_after_rendering(masker, logger, kept, message, args, expected):
    with install_log_masking(masker):
        logger.info(message, *args)
    assert kept.lines == [f"INFO {expected}"]
    assert TOKEN not in repr(kept.records[0].__dict__)


def test_arguments_stay_where_the_formatter_wants_them(masker, logger, kept):
    with install_log_masking(masker):
        logger.info("%s %s %d", "client", f"/path?{TOKEN}", 200)
        logger.info("%s and nothing of it", "client")
    assert kept.records[0].args == ("client", f"/path?{P}", 200)
    assert kept.records[0].msg == "%s %s %d"
    assert kept.records[1].args == ("client",)


def test_masked_arguments_need_not_fit_the_template(logger, kept):
    with install_log_masking(SecretMasker(["12345678"])):
        logger.info("%d", 12345678)
    assert kept.lines == [f"INFO {P}"]
    assert kept.records[0].args is None


def test_extra_is_masked_keys_included(masker, logger, kept):
    with install_log_masking(masker):
        logger.info("x", extra={"data": {TOKEN: [TOKEN.encode()]}, "harmless": 1})
    assert kept.records[0].data == {P: [P.encode()]}
    assert kept.records[0].harmless == 1


def failing():
    error = ValueError(TOKEN)
    error.add_note(f"a note with {TOKEN}")
    try:
        raise error
    except ValueError as cause:
        raise ExceptionGroup("group", [KeyError(TOKEN), RuntimeError("inner")]) from cause


def test_exceptions_are_masked_and_not_changed(masker, logger, kept):
    with install_log_masking(masker):
        try:
            failing()
        except ExceptionGroup as group:
            logger.exception("failed")
            assert TOKEN in "".join(traceback.format_exception(group))
            assert group.__cause__.__notes__ == [f"a note with {TOKEN}"]
    (line,) = kept.lines
    assert TOKEN not in line
    assert line.count(P) >= 3
    assert "ExceptionGroup: group" in line
    assert kept.records[0].exc_info is None


def test_a_harmless_exception_is_left_to_the_handler(masker, logger, kept):
    with install_log_masking(masker):
        try:
            raise KeyError("harmless")
        except KeyError:
            logger.exception("failed")
    assert kept.records[0].exc_info[0] is KeyError
    assert "KeyError: 'harmless'" in kept.lines[0]


def test_stack_info_is_masked(masker, logger, kept):
    with install_log_masking(masker):
        logger.info("x", stack_info=True), "hunter2-of-the-day"
    assert TOKEN not in kept.lines[0]
    assert P in kept.records[0].stack_info


def test_what_a_formatter_adds_is_masked(masker, logger, kept):
    kept.setFormatter(logging.Formatter("hunter2%(message)s"))
    with install_log_masking(masker):
        logger.info("-of-the-day")
    assert kept.lines == [P]


def test_a_placeholder_that_holds_a_value_is_not_masked_twice(logger, kept):
    with install_log_masking(SecretMasker(["SECRET"])):
        logger.info("the SECRET is out")
    assert kept.lines == [f"INFO the {P} is out"]


def test_queues_and_handlers_added_later_are_covered(masker, logger):
    with install_log_masking(masker):
        records = queue.Queue()
        logger.addHandler(logging.handlers.QueueHandler(records))
        logger.info("%s", TOKEN)
    record = records.get_nowait()
    assert TOKEN not in repr(record.__dict__)
    assert record.getMessage() == P


def test_one_logger_and_its_descendants_only(masker, kept):
    names = ("masking.one", "masking.one.below", "masking.onelike", "masking.other")
    loggers = [logging.getLogger(name) for name in names]
    for each in loggers:
        each.setLevel(logging.INFO)
        each.propagate = False
        each.addHandler(kept)
    with install_log_masking(masker, loggers[0]):
        for each in loggers:
            each.info(TOKEN)
        assert TOKEN in warnings.formatwarning(TOKEN, UserWarning, "f", 1)
    for each in loggers:
        each.handlers.clear()
    assert kept.lines == [f"INFO {P}", f"INFO {P}", f"INFO {TOKEN}", f"INFO {TOKEN}"]


def test_the_root_logger_means_every_logger(masker, logger, kept):
    with install_log_masking(masker, logging.getLogger()):
        logger.info(TOKEN)
    assert kept.lines == [f"INFO {P}"]


def test_nothing_stays_behind(masker, logger, kept):
    hooks = (logging.Handler.handle, logging.Handler.format, warnings.formatwarning)
    system = (sys.excepthook, sys.unraisablehook, threading.excepthook)
    with install_log_masking(masker), install_log_masking(masker):
        assert logging.Handler.handle is not hooks[0]
    assert (logging.Handler.handle, logging.Handler.format, warnings.formatwarning) == hooks
    assert (sys.excepthook, sys.unraisablehook, threading.excepthook) == system
    logger.info(TOKEN)
    assert kept.lines == [f"INFO {TOKEN}"]


def test_blocks_may_end_in_any_order(logger, kept):
    first = install_log_masking(SecretMasker([TOKEN]))
    second = install_log_masking(SecretMasker(["another-value"]))
    first.__enter__()
    second.__enter__()
    logger.info(f"{TOKEN} another-value")
    first.__exit__(None, None, None)
    logger.info(f"{TOKEN} another-value")
    second.__exit__(None, None, None)
    logger.info(f"{TOKEN} another-value")
    assert kept.lines == [f"INFO {P} {P}", f"INFO {TOKEN} {P}", f"INFO {TOKEN} another-value"]


def test_somebody_elses_hook_put_over_ours_is_left_alone(masker, monkeypatch):
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    with install_log_masking(masker):
        ours = warnings.formatwarning

        def theirs(*args):
            return "theirs: " + ours(*args)

        warnings.formatwarning = theirs
        assert P in theirs(TOKEN, UserWarning, "f", 1)
    assert warnings.formatwarning is theirs
    assert TOKEN in theirs(TOKEN, UserWarning, "f", 1)
    with install_log_masking(masker):
        assert P in theirs(TOKEN, UserWarning, "f", 1)
    # Ours is still in their chain: put back what was there, so that the next block begins afresh.
    warnings.formatwarning = ours
    with install_log_masking(masker):
        pass


def test_a_record_that_cannot_be_masked_is_withheld(logger, kept):
    with install_log_masking(Broken()):
        logger.error("%s", TOKEN, extra={"data": TOKEN})
        assert warnings.formatwarning(TOKEN, UserWarning, "f", 1) == WITHHELD + "\n"
    assert kept.lines == [WITHHELD]
    assert kept.records[0].levelname == "ERROR"
    assert TOKEN not in repr(kept.records[0].__dict__)


def test_many_threads_log_at_once_while_values_are_added(masker, logger, kept):
    def work(number):
        for step in range(30):
            masker.add(f"value-{number}-{step}-of-a-thread")
            logger.info("%s %s", TOKEN, f"value-{number}-{step}-of-a-thread")

    with install_log_masking(masker):
        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert kept.lines == [f"INFO {P} {P}"] * 180


def test_warnings_are_masked(masker):
    with install_log_masking(masker):
        text = warnings.formatwarning(UserWarning(TOKEN), UserWarning, __file__, 1, f"warn('{TOKEN}')")
    assert TOKEN not in text
    assert text.count(P) == 2


def run_program(program: str) -> str:
    preamble = (
        "import sys, threading, warnings, logging\n"
        "from autokestra_secrets import SecretMasker, install_log_masking, masked_stdio\n"
        "masker = SecretMasker(['hunter2-of' + '-the-day'])\n"
        "secret = 'hunter2-of' + '-the-day'\n"
    )
    done = subprocess.run([sys.executable, "-c", preamble + program], capture_output=True, check=False)
    return (done.stdout + done.stderr).decode("utf-8", "surrogateescape")


@pytest.mark.parametrize(
    "program",
    [
        "with install_log_masking(masker):\n  try:\n    raise ValueError(secret)\n  except ValueError: sys.excepthook(*sys.exc_info())",
        "with install_log_masking(masker):\n  def f(): raise ValueError(secret)\n  t = threading.Thread(target=f); t.start(); t.join()",
        "with install_log_masking(masker):\n  class A:\n    def __del__(self): raise ValueError(secret)\n  A(); 1",
        "with install_log_masking(masker):\n  warnings.warn(secret)",
        "with install_log_masking(masker):\n  logging.captureWarnings(True); logging.basicConfig(); warnings.warn(secret)",
        "block = install_log_masking(masker); block.__enter__()\nraise ExceptionGroup('g', [ValueError(secret)])",
        "with install_log_masking(masker):\n  raise ValueError(secret)",
        "with masked_stdio(masker):\n  raise ValueError(secret)",
        "try:\n  with masked_stdio(masker):\n    raise ValueError(secret)\nexcept ValueError as e:\n  raise KeyError() from e",
        "def f():\n  with masked_stdio(masker): raise ExceptionGroup('g', [ValueError(secret)])\n"
        "t = threading.Thread(target=f); t.start(); t.join()",
        "with masked_stdio(masker):\n  print('hunter2', end='-of'); print('-the-day')",
        "with masked_stdio(masker):\n  sys.stdout.writelines(['hunter', '2-of-the', '-day'])",
        "with masked_stdio(masker):\n  sys.stdout.buffer.write(b'hunter2-of'); sys.stdout.buffer.writelines([b'-the', b'-day'])",
        "with masked_stdio(masker):\n  sys.stdout.buffer.write(b'hunter2-of'); sys.stdout.write('-the-day')",
        "with masked_stdio(masker):\n  print(secret, file=sys.stderr, flush=True)",
        "with masked_stdio(masker):\n  def f(): raise ValueError(secret)\n  t = threading.Thread(target=f); t.start(); t.join()",
        # Half of an emoji, as cut JSON has it: Python would dump the exception where its report cannot be written.
        "with install_log_masking(masker):\n  raise ValueError('\\ud83d ' + secret)",
        "with masked_stdio(masker):\n  print('\\ud83d', secret)",
        # A hook that fails: the interpreter would print the exception itself.
        "def broken(*args): raise RuntimeError\nsys.excepthook = broken\n"
        "with install_log_masking(masker): raise ValueError(secret)",
        "def broken(args): raise RuntimeError(args.exc_value)\nsys.unraisablehook = broken\n"
        "class A:\n  def __del__(self): raise ValueError(secret)\n"
        "with install_log_masking(masker):\n  A(); 1",
        "def broken(args): raise RuntimeError(args.exc_value)\nthreading.excepthook = broken\n"
        "def f():\n  with install_log_masking(masker): raise ValueError(secret)\n"
        "t = threading.Thread(target=f); t.start(); t.join()",
        # A clean-up that masks too, while the exception is on its way.
        "try:\n  with install_log_masking(masker): raise ValueError(secret)\n"
        "finally:\n  with masked_stdio(SecretMasker()): print('cleaned up')",
    ],
)
def test_a_program_that_reports_a_value_shows_the_placeholder(program):
    out = run_program(program)
    assert TOKEN not in out
    assert P in out, out


def test_an_exception_that_left_a_block_is_forgotten_by_the_next(masker):
    before = sys.excepthook
    with pytest.raises(ValueError, match="x"), install_log_masking(masker):
        raise ValueError("x")
    assert sys.excepthook is not before
    with install_log_masking(masker):
        pass
    assert sys.excepthook is before


def test_a_block_that_is_thrown_away_is_undone(masker):
    before = sys.excepthook
    block = install_log_masking(masker)
    block.__enter__()
    del block
    gc.collect()
    assert sys.excepthook is before


def test_reports_with_two_maskers_and_without_stderr(masker, monkeypatch):
    seen = []
    monkeypatch.setattr(sys, "excepthook", lambda *args: print(TOKEN, "another-value", file=sys.stderr))
    target = io.StringIO()
    with install_log_masking(masker), install_log_masking(SecretMasker(["another-value"])):
        monkeypatch.setattr(sys, "stderr", target)
        sys.excepthook(None, None, None)
        assert sys.stderr is target
        monkeypatch.setattr(sys, "stderr", None)
        sys.excepthook(None, None, None)
    assert target.getvalue() == f"{P} {P}\n"
    assert seen == []


def text_stream(encoding="utf-8", **options):
    raw = io.BytesIO()
    return raw, io.TextIOWrapper(raw, encoding=encoding, **options)


def test_text_and_bytes_keep_their_order_and_everything_is_there_at_the_end(masker, monkeypatch):
    raw, target = text_stream()
    target.write("before\n")
    monkeypatch.setattr(sys, "stdout", target)
    with masked_stdio(masker):
        print("text ä", end="")
        sys.stdout.buffer.write(b" bytes \xff\xfe ")
        assert sys.stdout.writable()
        assert sys.stdout.encoding == "utf-8"
        assert sys.stdout.buffer.seekable()
        sys.stdout.buffer.flush()
        print(f"{TOKEN} hunter2", end="")
    assert sys.stdout is target
    assert raw.getvalue() == "before\ntext ä bytes ".encode() + b"\xff\xfe " + f"{P} hunter2".encode()


@pytest.mark.parametrize(
    ("target", "read"),
    [
        (io.StringIO(), lambda stream: stream.getvalue()),
        (io.TextIOWrapper(io.BytesIO(), encoding="latin-1"), lambda stream: stream.buffer.getvalue().decode("latin-1")),
    ],
)
def test_streams_of_other_kinds_get_text(masker, target, read):
    masked = MaskedText(target, masker)
    masked.write(f"ä {TOKEN} ö")
    masked.finish()
    assert read(target) == f"ä {P} ö"


def test_line_buffered_streams_are_flushed_at_a_line_end(masker):
    raw, target = text_stream(line_buffering=True)
    masked = MaskedText(target, masker)
    buffered = []
    target.buffer.flush = lambda: buffered.append(raw.getvalue())
    masked.write("no line end")
    assert buffered == []
    masked.write(" now\n")
    assert len(buffered) == 1


def test_after_the_end_everything_passes(masker):
    target = io.StringIO()
    masked = MaskedText(target, masker)
    masked.finish()
    masked.finish()
    masked.write(TOKEN)
    assert target.getvalue() == TOKEN


def test_output_that_cannot_be_masked_is_withheld():
    target = io.StringIO()
    masked = MaskedText(target, Broken())
    masked.write(TOKEN)
    masked.finish()
    assert target.getvalue() == "<output withheld: masking failed>\n"


def test_standard_streams_may_be_masked_twice_and_released_in_any_order(masker, monkeypatch):
    target = io.StringIO()
    monkeypatch.setattr(sys, "stdout", target)
    monkeypatch.setattr(sys, "stderr", None)
    first, second = masked_stdio(masker), masked_stdio(SecretMasker(["another-value"]))
    first.__enter__()
    second.__enter__()
    print(f"{TOKEN} another-value")
    first.__exit__(None, None, None)
    print(f"{TOKEN} another-value")
    second.__exit__(None, None, None)
    assert sys.stdout is target
    print(f"{TOKEN} another-value")
    assert target.getvalue().splitlines() == [f"{P} {P}", f"{TOKEN} {P}", f"{TOKEN} another-value"]


def test_a_stream_that_was_replaced_in_the_meantime_is_left_alone(masker, monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    other = io.StringIO()
    with masked_stdio(masker):
        sys.stdout = other
    assert sys.stdout is other


def test_standard_streams_written_by_many_threads(masker, monkeypatch):
    target = io.StringIO()
    monkeypatch.setattr(sys, "stdout", target)
    with masked_stdio(masker):
        threads = [
            threading.Thread(target=lambda: [sys.stdout.write(f"{TOKEN}\n") for _ in range(100)]) for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert target.getvalue() == f"{P}\n" * 600


def test_structlog_events_are_masked_before_and_after_a_renderer(masker):
    process = MaskingProcessor(masker)
    assert process(None, "info", {"event": TOKEN, TOKEN: [TOKEN]}) == {"event": P, P: [P]}
    assert process(None, "info", f'{{"event": "{TOKEN}"}}') == f'{{"event": "{P}"}}'
    assert process(None, "info", (TOKEN.encode(),)) == (P.encode(),)


def test_structlog_exceptions_are_rendered_masked(masker):
    process = MaskingProcessor(masker)
    try:
        raise ValueError(TOKEN)
    except ValueError as error:
        for info in (True, error, sys.exc_info()):
            event = process(None, "error", {"event": "x", "exc_info": info})
            assert event["exception"].endswith(f"ValueError: {P}")
            assert "exc_info" not in event
    assert process(None, "error", {"event": "x", "exc_info": True}) == {"event": "x"}


def test_structlog_events_that_cannot_be_masked_are_withheld():
    class Failing:
        def mask_object(self, obj):
            raise RuntimeError(obj)

    process = MaskingProcessor(Failing())
    assert process(None, "info", {"event": TOKEN}) == {"event": "<event withheld: masking failed>"}
    assert process(None, "info", TOKEN) == "<event withheld: masking failed>"


def test_records_that_hold_nothing_are_passed_on_as_they_are(masker):
    record = logging.LogRecord("n", logging.INFO, "p", 1, "nothing %s", ("here",), None)
    assert masked_record(record, [masker], logging.Formatter()) is record
    cached = logging.LogRecord("n", logging.INFO, "p", 1, "x", None, None)
    cached.exc_text = f"an old traceback with {TOKEN}"
    assert masked_record(cached, [masker], logging.Formatter()).exc_text == f"an old traceback with {P}"
    assert cached.exc_text == f"an old traceback with {TOKEN}"
