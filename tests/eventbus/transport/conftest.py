from tests.eventbus.delivery.log import *  # noqa: F403 (the fixtures)
from tests.eventbus.transport.client_statistics import *  # noqa: F403 (the fixture)
