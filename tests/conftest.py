import pytest


@pytest.fixture
def anyio_backend() -> str:
    """The framework runs on asyncio (asyncpg and SQLAlchemy do); anyio gives its structure."""
    return "asyncio"
