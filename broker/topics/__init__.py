"""Topics and their partitions: the catalog, its durable metadata, group fsync."""

from broker.topics.catalog import Catalog, Topic, remove_directories
from broker.topics.flush_group import Background, FlushGroup, InlineBackground
from broker.topics.metadata_log import UnsoundMetadata
from broker.topics.names import INTERNAL_TOPICS
from broker.topics.partition import Partition

__all__ = [
    "INTERNAL_TOPICS",
    "Background",
    "Catalog",
    "FlushGroup",
    "InlineBackground",
    "Partition",
    "Topic",
    "UnsoundMetadata",
    "remove_directories",
]
