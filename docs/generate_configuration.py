"""
Writes docs/reference/configuration.md from the keys in broker/config.

    python docs/generate_configuration.py            writes the page
    python docs/generate_configuration.py --check    exits 1 when the committed page is another
"""

import sys
from collections.abc import Iterable
from pathlib import Path

from broker.config import BROKER_KEYS, KEPT_KEYS, TOPIC_KEYS, ConfigKey

PAGE = Path(__file__).parent / "reference" / "configuration.md"

HEAD = """\
# Configuration of the broker

Generated from `broker/config` by `docs/generate_configuration.py`; a test keeps it up to date.

Broker keys are given in a properties file (`broker serve --config FILE`) or one by one (`--set KEY=VALUE`, which wins).
Topic keys are given when a topic is created; what a topic does not set comes from the broker key named under *from*.
Names, types, defaults and ranges are Kafka's (4.3); where they are not, the row says so:

- **ours**: Kafka does not have the key.
- **Kafka: …**: Kafka's default, where ours is another.
- **kept only**: stored and answered to whoever asks, without an effect here.

So a configuration that was written for Apache Kafka is understood. Two things in it are refused, with words: a key that
nobody knows, and a key that asks for a protection that is not here (`ssl.*`, `sasl.*`, `security.*`, `listener.name.*`,
`authorizer.class.name`, `super.users`, classes of policies and quotas, `config.providers`).
"""


def render() -> str:
    """The whole page."""
    acting = [key for key in BROKER_KEYS.values() if key.name not in KEPT_KEYS]
    return "\n".join(
        (
            HEAD,
            *_section("Broker keys", acting),
            *_section("Topic keys", TOPIC_KEYS.values()),
            *_section("Broker keys of Apache Kafka that are kept only", KEPT_KEYS.values()),
        )
    )


def _section(title: str, keys: Iterable[ConfigKey]) -> list[str]:
    rows = [_row(key) for key in keys if not key.internal]
    return [f"## {title}", "", "| key | default | takes | meaning |", "|---|---|---|---|", *rows, ""]


def _row(key: ConfigKey) -> str:
    default = key.text(key.default)
    notes = [
        "**ours**" if key.ours else "",
        f"**Kafka: {key.text(key.kafka_default)}**" if key.kafka_default is not None else "",
        "" if key.acts else "**kept only**",
        f"from {', '.join(f'`{synonym.name}`' for synonym in key.synonyms)}" if key.synonyms else "",
    ]
    meaning = " ".join([key.documentation, "; ".join(filter(None, notes))]).strip()
    shown = "unset" if default is None else f"`{default}`" if default else "empty"
    return f"| `{key.name}` | {shown} | {key.valid_values()} | {meaning} |"


def main() -> int:
    page = render()
    if "--check" in sys.argv[1:]:
        return 0 if PAGE.exists() and PAGE.read_text(encoding="utf-8") == page else 1
    PAGE.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
