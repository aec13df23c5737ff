"""
Writes `kafka-options.md` from `eventbus/kafka_options.py`: `python docs/reference/generate_kafka_options.py`.
"""

from pathlib import Path

from eventbus.kafka_options import OPTIONS, RESERVED

PAGE = Path(__file__).parent / "kafka-options.md"
HEAD = """\
# Options of a kafka:// URL

`EVENTBUS_BROKER_URL=kafka://host:port,host:port?option=value&option=value` takes the options of librdkafka by their own
names; values are percent-encoded where they have `&`, `+`, `%` or `#` in them. An unknown or reserved option, a value
out of its range and an option that is given twice are refused when the application is built, in one sentence and with
exit code 2. Values are never logged; the address is shown without them.

TLS and SASL, racks, static members:

    kafka://k1:9093?security.protocol=SASL_SSL&ssl.ca.location=/etc/ca.pem&sasl.mechanism=SCRAM-SHA-512&sasl.username=shop&sasl.password=…
    kafka://k1:9093?security.protocol=SSL&ssl.certificate.location=/etc/shop.pem&ssl.key.location=/etc/shop.key
    kafka://k1:9092?client.rack=eu-1a        reads from the nearest copy, where the cluster has a rack-aware selector
    EVENTBUS_INSTANCE_ID=shop-0              a static member: its partitions wait for it over a restart

Producers always write with `acks=all` and idempotence, in transactions of the outbox's slots.

## Reserved

| option | why it cannot be set |
|---|---|
"""
MIDDLE = """
## What can be set

*for*: all clients, those that write, or those that read.

| option | for | takes |
|---|---|---|
"""
_FOR = {"*": "all", "P": "writing", "C": "reading"}
TAIL = """
This page is generated from `eventbus/kafka_options.py`, which is checked against librdkafka itself.
"""


def page() -> str:
    """The whole page."""
    reserved = [f"| `{name}` | {why} |" for name, why in sorted(RESERVED.items())]
    rows = []
    for name, option in sorted(OPTIONS.items()):
        takes = option.takes.replace("one of ", "").replace("|", ", ").replace("..", " to ")
        rows.append(f"| `{name}` | {_FOR[option.kind]} | {takes}{', a secret' if option.is_secret else ''} |")
    return HEAD + "\n".join(reserved) + "\n" + MIDDLE + "\n".join(rows) + "\n" + TAIL


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
