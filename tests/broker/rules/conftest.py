"""The broker of the handlers' tests."""

from tests.broker.handlers.conftest import in_process

__all__ = ["in_process"]
