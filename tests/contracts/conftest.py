import pytest

pytest.register_assert_rewrite(
    "tests.contracts.checkpoints",
    "tests.contracts.dead_letters",
    "tests.contracts.event_store",
    "tests.contracts.inbox",
    "tests.contracts.leases",
    "tests.contracts.outbox",
    "tests.contracts.unit_of_work",
)

from tests.contracts.databases import *  # noqa: E402, F403 (the fixtures, after the rewriting is arranged)
