"""What tests of every folder may have."""

import contextlib
import sys

import pytest


@pytest.fixture
def untraced():
    """A context in which no line is counted, in this thread.

    For what measures seconds, which would be those of the counting, and for what goes a hundred times through code that
    other tests reach: it would take four times as long.
    """

    @contextlib.contextmanager
    def context():
        tracer = sys.gettrace()
        sys.settrace(None)
        try:
            yield
        finally:
            sys.settrace(tracer)

    return context
