"""
Subscriptions by regular expression, in RE2's syntax: what Kafka 4 promises to clients in every language.

A name matches when all of it does; internal topics are topics, too, as for Kafka. RE2 takes time linear in the name, so
no expression can stop the broker.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from broker.errors import ErrorCode, KafkaError
from broker.groups.consumer.topics import TopicShape


class _Pattern(Protocol):
    def fullmatch(self, text: str) -> object | None: ...


def compiled(regex: str) -> _Pattern:
    """Raises KafkaError INVALID_REGULAR_EXPRESSION with RE2's reason."""
    # Imported here: few groups subscribe by expression, and every start of the broker would pay for it.
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(regex, options)
    except re2.error as error:
        raise KafkaError(
            ErrorCode.INVALID_REGULAR_EXPRESSION,
            f"SubscribedTopicRegex `{regex}` is not a valid regular expression: {_text(error)}.",
        ) from error


def matching(regex: str, topics: Iterable[TopicShape]) -> frozenset[str]:
    """The names of the topics that *regex* stands for. Raises KafkaError for one that is not sound."""
    if not regex:
        return frozenset()
    pattern = compiled(regex)
    return frozenset(each.name for each in topics if pattern.fullmatch(each.name) is not None)


def _text(error: Exception) -> str:
    reason: object = error.args[0] if error.args else ""
    return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
