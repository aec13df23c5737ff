import pytest

from eventbus.errors import DefinitionError
from eventbus.handlers import handles, retry_later
from eventbus.messages import Event


class Paid(Event):
    number: int


def test_delays_are_written_as_people_do() -> None:
    """A number and a unit."""
    found = retry_later("500ms", "10s", "1m", "2h", "1d").delays
    assert [delay.seconds for delay in found] == [0.5, 10.0, 60.0, 7200.0, 86400.0]
    assert [delay.text for delay in found] == ["500ms", "10s", "1m", "2h", "1d"]


@pytest.mark.parametrize("delays", [(), ("10",), ("0s",), ("1.5s",), ("10s", "soon")], ids=str)
def test_a_delay_that_is_none_is_refused(delays: tuple[str, ...]) -> None:
    """When the handler is defined."""
    with pytest.raises(DefinitionError, match="10s"):
        retry_later(*delays)


def test_an_unknown_way_to_fail_is_refused() -> None:
    """With the ways that there are; a copy needs a topic."""
    with pytest.raises(DefinitionError, match='must be "park", "dead-letter" or retry_later'):
        handles(Paid, on_failure="skip")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    with pytest.raises(DefinitionError, match="dead_letter_topic"):
        handles(Paid, dead_letter_topic="")
