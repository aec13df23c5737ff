import pytest

from eventbus.domain import Aggregate, EventTopics, applies
from eventbus.errors import DefinitionError
from eventbus.messages import Event


class Happened(Event):
    pass


class Heard(Event, topic="elsewhere"):
    pass


class Unknown(Event):
    pass


class Thing(Aggregate, topic="things"):
    @applies(Happened)
    def _happened(self, event: Happened) -> None: ...


class SpecialThing(Thing):
    pass


class StrayThing(Thing, topic="strays"):
    pass


def test_an_events_topic_is_its_aggregates_or_its_own() -> None:
    """And of some nobody knows it."""
    topics = EventTopics([Thing])
    assert topics.topic(Happened) == "things"
    assert topics.topic(Heard) == "elsewhere"
    assert topics.topic(Unknown) is None
    assert topics.owner(Happened) is Thing
    assert topics.written() == {"things"}


def test_two_aggregates_may_share_a_topic_and_an_event() -> None:
    """Order is kept per key, which is the aggregate's id."""
    assert EventTopics([Thing, SpecialThing]).topic(Happened) == "things"


def test_an_event_of_two_topics_is_refused() -> None:
    """Its readers would miss half of them."""
    with pytest.raises(DefinitionError, match=r"Happened goes to two topics: 'things' by .*\.Thing and 'strays' by"):
        EventTopics([Thing, StrayThing])
