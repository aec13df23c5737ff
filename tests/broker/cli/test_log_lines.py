"""One event, one line."""

import json
import logging
import re
import sys

import pytest

from broker.cli.log_lines import OneLine


def line(template: str, *arguments: object, error: BaseException | None = None) -> str:
    given = None if error is None else (type(error), error, error.__traceback__)
    return OneLine().format(
        logging.LogRecord("broker.test", logging.INFO, __file__, 1, template, arguments, exc_info=given)
    )


def test_a_line_has_time_level_logger_and_event() -> None:
    """The time is UTC, to the millisecond."""
    text = line("groups loaded groups=%d offsets=%d", 1, 22)
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO broker\.test groups loaded groups=1 offsets=22", text
    )


@pytest.mark.parametrize("value", ["two words", 'a "quote"', "a=b", "two\nlines", "back\\slash", ""])
def test_a_value_that_would_not_be_one_word_is_a_json_string(value: str) -> None:
    """So it can be read back, and ends where it ends."""
    text = line("connection closed reason=%s parked=%d", value, 3)
    quoted = re.search(r'reason=("(?:[^"\\]|\\.)*") parked=3$', text)
    assert quoted is not None, text
    assert json.loads(quoted[1]) == value
    assert "\n" not in text


def test_a_traceback_is_in_the_line_of_its_event() -> None:
    """What went wrong can still be read."""
    try:
        raise RuntimeError("first\nsecond")
    except RuntimeError:
        text = line("request failed api=%s", "Fetch", error=sys.exc_info()[1])
    assert "\n" not in text
    _, _, packed = text.partition(" traceback=")
    assert "RuntimeError: first\nsecond" in json.loads(packed)


def test_arguments_that_do_not_fit_are_still_one_line() -> None:
    """A mistake in a call of the log must not lose its event."""
    with pytest.raises(TypeError):
        line("odd count=%d", "x")
    assert "100% sure of=1" in line("100%% sure of=%d", 1)
    assert line("no arguments\nin two lines").endswith("no arguments\\nin two lines")
