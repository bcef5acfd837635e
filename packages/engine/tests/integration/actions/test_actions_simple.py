"""Waiting and claiming."""

import threading
import time

import pytest


def test_sleep_lasts_as_long_as_asked(run):
    start = time.monotonic()
    assert run("core/sleep", {"duration": "0.3s"}).error is None
    assert time.monotonic() - start >= 0.3


def test_sleep_ends_with_a_cancel_or_a_deadline(run):
    cancelled = threading.Event()
    threading.Timer(0.2, cancelled.set).start()
    assert "cancelled" == run("core/sleep", {"duration": "1d"}, cancelled=cancelled).reason
    assert "timeout" == run("core/sleep", {"duration": "1d"}, deadline=time.monotonic() + 0.2).reason


@pytest.mark.parametrize("that", [True, [True, True], []])
def test_what_is_true_passes(run, that):
    assert run("core/assert", {"that": that}).error is None


@pytest.mark.parametrize(
    ("that", "reason", "said"),
    [
        (False, "assertion", "that is false"),
        ([True, False], "assertion", "that[1] is false"),
        ("true", "bad-input", "that is neither true nor false: compare it with something, as in {{ … == 5 }}"),
        ([1], "bad-input", "that[0] is neither true nor false: compare it with something, as in {{ … == 5 }}"),
    ],
)
def test_what_is_not_fails(run, that, reason, said):
    ran = run("core/assert", {"that": that})
    assert (reason, said) == (ran.reason, ran.message)
    if that is False:
        assert "too few" == run("core/assert", {"that": that, "message": "too few"}).message
