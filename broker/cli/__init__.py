"""The command `broker`."""

from broker.cli.command import main

__all__ = ["main"]
