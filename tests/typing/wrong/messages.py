"""
Class keywords that do not exist, and fields that are not there.

Those of events, commands, queries and rows are not here: no checker looks at the keywords of a class with pydantic's
metaclass. They are refused when the class is created (tests/eventbus/messages/test_message.py).
"""

from eventbus import Aggregate, Event


class Misspelt(Aggregate, topik="orders"):  # wrong: topik
    pass


class Number(Aggregate, topic=1):  # wrong: a topic is text
    pass


class Placed(Event):
    order_id: str


def use(event: Placed) -> str:
    Placed(order=1)  # wrong: no such field
    Placed(order_id=1)  # wrong: ids are text
    return event.customer_id  # wrong: no such field
