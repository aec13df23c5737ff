from tests.contracts.databases import *  # noqa: F403 (the fixtures)
from tests.eventbus.delivery.log import *  # noqa: F403
