"""
What decides: deciders, aggregates, and the repository that loads and appends them.
"""

from eventbus.domain.aggregate import Aggregate, applies, decider_of
from eventbus.domain.decider import Decider
from eventbus.domain.repository import Repository
from eventbus.domain.topics import EventTopics, find_aggregates

__all__ = ["Aggregate", "Decider", "EventTopics", "Repository", "applies", "decider_of", "find_aggregates"]
