"""
What services say to each other: events, commands and queries, and the envelope that they travel in.
"""

from eventbus.messages.command import Command, Receipt
from eventbus.messages.envelope import JSON_CONTENT_TYPE, Envelope
from eventbus.messages.event import Event
from eventbus.messages.message import Message
from eventbus.messages.metadata import Metadata, Position
from eventbus.messages.query import Query

__all__ = [
    "JSON_CONTENT_TYPE",
    "Command",
    "Envelope",
    "Event",
    "Message",
    "Metadata",
    "Position",
    "Query",
    "Receipt",
]
