from tests.eventbus.transport.client_statistics import *  # noqa: F403 (the fixture)
