"""
Writes `broker-metrics.md` from what a broker tells: `python docs/reference/generate_broker_metrics.py`.
"""

import asyncio
import tempfile
from pathlib import Path

from broker.config import BrokerConfig
from broker.server import Broker, BrokerSettings, bind
from broker.server.metrics.collector import TOPICS_MAX, Collector
from broker.server.metrics.http import CONNECTIONS_MAX, HEAD_BYTES_MAX, TIMEOUT_S
from broker.server.metrics.loop_lag import LoopLag

PAGE = Path(__file__).parent / "broker-metrics.md"
LABELS = {
    "broker_info": "version, cluster_id",
    "broker_request_seconds": "api",
    "broker_requests_failed_total": "api; `unknown` for a frame that was no request",
    "broker_errors_total": "api, error",
    "broker_groups": "type, state",
    "broker_transactional_ids": "state",
    "broker_transactions_ended_total": "outcome",
}
HEAD = f"""\
# Metrics of the broker

`broker serve --metrics-listen HOST:PORT` answers over HTTP:

| page | |
|---|---|
| `/metrics` | what follows, in Prometheus' text format |
| `/healthz` | 200 as long as the broker's loop answers at all |
| `/readyz` | 200 while clients' connections are accepted, 503 while it stops; before it is ready nobody answers |

Port 0 takes a free one, which the ready file tells as `metrics_port`. There is no login and no TLS: listen on an
address that only the monitoring reaches. A request's head may have {HEAD_BYTES_MAX} bytes and take {TIMEOUT_S:g} s,
{CONNECTIONS_MAX} connections are served at once.

`topic` is a label for the {TOPICS_MAX} topics with the largest logs; the others are summed up under
`topic="(others)"`. Counters count from the broker's start.

| metric | kind | labels | |
|---|---|---|---|
"""
FOOT = """
Records that were fetched are not counted, their bytes are: batches leave as they lie in the file, unopened. The lag of
a group is told by `broker groups describe GROUP --json`.

This page is generated from what a broker tells.
"""


def page() -> str:
    """The whole page."""
    kinds: dict[str, str] = {}
    texts: dict[str, str] = {}
    for line in asyncio.run(_told()).splitlines():
        if line.startswith("# "):
            _, what, name, rest = line.split(" ", 3)
            (texts if what == "HELP" else kinds)[name] = rest
    rows = [f"| `{name}` | {kind} | {_labels(name)} | {texts[name]} |" for name, kind in kinds.items()]
    return HEAD + "\n".join(rows) + "\n" + FOOT


async def _told() -> str:
    loop = asyncio.get_running_loop()
    with tempfile.TemporaryDirectory() as folder, bind("127.0.0.1", 0) as listening:
        settings = BrokerSettings(Path(folder) / "data", BrokerConfig.parse({}), "127.0.0.1", 0)
        broker = Broker(loop, settings, listening)
        lag = LoopLag(loop)
        told = Collector(broker, lag).page()
        lag.stop()
        await broker.stop()
        return told


def _labels(name: str) -> str:
    return LABELS.get(name, "topic" if name.startswith("broker_topic_") else "")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
