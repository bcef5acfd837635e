"""A task's words on their way to a sink: cut into lines, masked whatever the cuts, bounded."""

import itertools
import time

import pytest

from autokestra.worker.tasklog import MAX_LINE_BYTES, IdleWatch, TaskLog
from autokestra_secrets import SecretMasker

TOKEN = "tok-0123456789abcdef"


class Sink:
    def __init__(self, *values, limit=1 << 20):
        self.lines = []
        ticks = itertools.count(1)
        self.log = TaskLog(
            SecretMasker(values),
            self.lines.extend,
            execution_id="e",
            task_id="t",
            attempt=2,
            clock=lambda: next(ticks),
            limit=limit,
        )

    @property
    def texts(self):
        return [line.message for line in self.lines]


def test_lines_carry_where_they_come_from_and_a_sequence():
    sink = Sink()
    sink.log.write("stdout", b"one\ntwo\n")
    sink.log.write("stderr", b"three\n")
    sink.log.message("four", "warning")
    sink.log.close()
    assert [
        ("one", 0, "stdout", "info"),
        ("two", 1, "stdout", "info"),
        ("three", 2, "stderr", "info"),
        ("four", 3, "system", "warning"),
    ] == [(line.message, line.sequence, line.stream, line.level) for line in sink.lines]
    assert {("e", "t", 2)} == {(line.execution_id, line.task_id, line.attempt) for line in sink.lines}


@pytest.mark.parametrize("cut", range(1, 40))
def test_a_token_is_masked_wherever_the_output_was_cut(cut):
    sink = Sink(TOKEN)
    output = f"a={TOKEN}\nb={TOKEN}{TOKEN}\n".encode()
    for start in range(0, len(output), cut):
        sink.log.write("stdout", output[start : start + cut])
    sink.log.close()
    assert ["a=***SECRET***", "b=***SECRET******SECRET***"] == sink.texts


def test_the_streams_do_not_run_into_each_other():
    sink = Sink(TOKEN)
    sink.log.write("stdout", TOKEN[:8].encode())
    sink.log.write("stderr", TOKEN[8:].encode())
    sink.log.close()
    assert [TOKEN[:8], TOKEN[8:]] == sink.texts


def test_messages_of_the_engine_are_masked_and_cut_into_lines():
    sink = Sink(TOKEN)
    sink.log.message(f"failed with {TOKEN}\nsecond line")
    sink.log.message("")
    assert ["failed with ***SECRET***", "second line", ""] == sink.texts


def test_a_value_registered_by_a_command_is_masked_from_there_on_and_the_command_is_not_shown():
    sink = Sink()
    sink.log.write("stdout", b"::add-mask::minted-value-1\nit is minted-value-1\n")
    sink.log.close()
    assert ["it is ***SECRET***"] == sink.texts


def test_crlf_and_a_last_line_without_end():
    sink = Sink()
    sink.log.write("stdout", b"one\r\ntwo\r\n\r\nlast")
    sink.log.close()
    assert ["one", "two", "", "last"] == sink.texts


def test_bytes_that_are_no_text_are_replaced_and_nul_is_kept():
    sink = Sink()
    sink.log.write("stdout", b"\xff\0x\n")
    sink.log.close()
    assert ["\ufffd\0x"] == sink.texts


@pytest.mark.parametrize("chunk", [1000, MAX_LINE_BYTES, 3 * MAX_LINE_BYTES + 7])
def test_a_line_without_end_is_cut_at_the_same_places_whatever_the_chunks(chunk):
    sink = Sink(limit=1 << 30)
    output = b"x" * (3 * MAX_LINE_BYTES + 5)
    for start in range(0, len(output), chunk):
        sink.log.write("stdout", output[start : start + chunk])
    sink.log.close()
    assert [MAX_LINE_BYTES] * 3 + [5] == [len(text) for text in sink.texts]


def test_beyond_the_limit_output_is_counted_and_said_once():
    sink = Sink(limit=10)
    for _ in range(5):
        sink.log.write("stdout", b"12345\n")
    sink.log.close()
    assert [
        "12345",
        "12345",
        "more than 10 bytes of output: the rest is not kept",
        "18 bytes of output were not kept",
    ] == sink.texts


def test_a_prompt_is_shown_after_a_moment_and_held_bytes_are_not():
    sink = Sink(TOKEN)
    watch = IdleWatch()
    with watch.over(sink.log):
        sink.log.write("stdout", b"Password: " + TOKEN[:10].encode())
        deadline = time.monotonic() + 10
        while not sink.lines and time.monotonic() < deadline:
            time.sleep(0.01)
        assert ["Password: "] == sink.texts
        sink.log.write("stdout", TOKEN[10:].encode() + b" rest\n")
    sink.log.close()
    assert ["Password: ", "***SECRET*** rest"] == sink.texts


def test_a_line_that_goes_on_is_not_torn_apart():
    sink = Sink()
    sink.log.write("stdout", b"one ")
    sink.log.show_unfinished()
    sink.log.write("stdout", b"line\n")
    sink.log.close()
    assert ["one line"] == sink.texts


def test_a_message_is_cut_after_it_is_masked():
    sink = Sink(TOKEN)
    sink.log.message("x" * 10 + TOKEN + " end", limit=20)
    assert ["xxxxxxxxxx***SECRET* […]"] == sink.texts
