"""What librdkafka says of options is said when a service starts, not when it first reads or writes."""

import time

import pytest

from eventbus.config import GroupProtocol
from eventbus.errors import InvalidConfiguration
from eventbus.transport import KafkaTransport

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("options", "protocol", "says"),
    [
        ({"session.timeout.ms": "400000"}, "classic", "`max.poll.interval.ms`must be >= `session.timeout.ms`"),
        ({"session.timeout.ms": "6000"}, "consumer", "`session.timeout.ms` is not supported for"),
        ({"max.in.flight": "100"}, "classic", "`max.in.flight` must be set <= 5"),
        ({"security.protocol": "ssl", "ssl.ca.location": "/nowhere.pem"}, "classic", "ssl.ca.location failed"),
    ],
)
async def test_options_that_do_not_go_together_are_refused_at_the_start(
    options: dict[str, str], protocol: GroupProtocol, says: str
) -> None:
    """In one sentence, though no broker is there: nothing is connected to."""
    transport = KafkaTransport("127.0.0.1:1", options, group_protocol=protocol)
    try:
        with pytest.raises(InvalidConfiguration, match="EVENTBUS_BROKER_URL: librdkafka refuses an option") as error:
            await transport.start()
        assert says in str(error.value)
    finally:
        await transport.aclose()


async def test_options_that_go_together_need_no_broker_at_the_start() -> None:
    """A service starts without its log, and waits for it."""
    transport = KafkaTransport("127.0.0.1:1", {"session.timeout.ms": "6000", "client.rack": "eu-1a"})
    began = time.monotonic()
    await transport.start()
    assert time.monotonic() - began < 10
    await transport.aclose()
