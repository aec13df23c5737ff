"""The table of what is served."""

from typing import get_type_hints

import pytest

from broker.handlers.table import TABLE
from broker.wire.apis import APIS, ApiKey
from broker.wire.messages import request_class


@pytest.mark.parametrize("key", TABLE, ids=lambda key: ApiKey(key).name)
def test_each_api_is_served_by_a_function_of_its_own_request(key: ApiKey) -> None:
    """What the table names is there, and takes the class that is decoded for the key."""
    row = TABLE[key]
    row.load()
    hints = get_type_hints(row.handle)
    assert row.api is APIS[key]
    assert hints["request"] is request_class(key)
