from tests.contracts.databases import *  # noqa: F403 (the fixtures)
