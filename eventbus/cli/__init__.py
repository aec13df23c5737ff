"""The command `eventbus`."""

from eventbus.cli.command import main

__all__ = ["main"]
