"""Fixtures of the storage tests."""

from pathlib import Path

import pytest

from tests.broker.storage.bench import LogBench


@pytest.fixture
def bench(tmp_path: Path) -> LogBench:
    """An empty log with Kafka's defaults."""
    return LogBench(tmp_path)
