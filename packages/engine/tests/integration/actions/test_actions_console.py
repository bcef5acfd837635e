"""`core/console.log`: what becomes a message."""

import pytest


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("two\nlines", "two\nlines"),
        ("", ""),
        ({"a": [1, None, "ü"]}, '{"a": [1, null, "ü"]}'),
        (3, "3"),
        (None, "null"),
    ],
)
def test_text_is_logged_as_it_is_and_all_else_as_json(run, message, text):
    ran = run("core/console.log", {"message": message})
    assert (None, None, [("info", text)]) == (ran.error, ran.output, ran.log.messages)


def test_level_is_passed_on(run):
    assert [("error", "x")] == run("core/console.log", {"message": "x", "level": "error"}).log.messages


def test_text_that_cannot_be_written_is_refused(run):
    ran = run("core/console.log", {"message": ["\udc80"]})
    assert ("bad-input", "message[0] cannot be written as UTF-8") == (ran.reason, ran.message)
