"""A process that uses the embedded broker, for tests that kill it: arguments DIR and NAME."""

import asyncio
import json
import os
import signal
import sys

from eventbus.config import EmbeddedBroker, load_settings
from eventbus.embedded import joined


async def main(directory: str, name: str) -> None:
    broker = load_settings(name, broker_url=f"embedded:{directory}").broker
    assert isinstance(broker, EmbeddedBroker)
    async with joined(broker.directory, name) as member:
        words = {"pid": os.getpid(), "address": member.address, "broker": member.broker_pid, "id": member.instance_id}
        sys.stdout.write(json.dumps(words) + "\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    # A test run in the background of a shell has SIGINT ignored, and its children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    asyncio.run(main(*sys.argv[1:]))
