"""
An event: something that has happened, in the past tense.
"""

from collections.abc import Sequence
from typing import ClassVar

from eventbus.errors import DefinitionError
from eventbus.messages.message import Message, checked_aliases, place


class Event(Message):
    """
    Something that has happened; published to a topic, where whoever is interested reads it.

    Class keywords beyond `name`, `version` and `extra`
        topic      where it is published or found. Needed only where no aggregate of the application records it:
                   an aggregate's events go to the aggregate's topic
        key        the field whose value is the record's key, so that events of one key keep their order.
                   An aggregate's events are keyed by its id
        aliases    names that it had before: what was written under them is read as this class, and its versions are
                   counted on through the rename
    `topic` and `key` are inherited: a service's events can share a class that names their topic.
    Errors         DefinitionError when the class is created: *key* is no field, *topic* is empty, a wrong alias
    """

    event_topic: ClassVar[str | None] = None
    event_key: ClassVar[str | None] = None
    event_aliases: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(
        cls,
        *,
        name: str | None = None,
        version: int = 1,
        topic: str | None = None,
        key: str | None = None,
        aliases: Sequence[str] = (),
    ) -> None:
        super().__init_subclass__(name=name, version=version)
        cls.event_aliases = checked_aliases(cls, cls.message_name, aliases)
        if topic is not None:
            if not topic:
                raise DefinitionError(f"{place(cls)}: topic='' is no topic")
            cls.event_topic = topic
        if key is not None:
            cls.event_key = key

    @classmethod
    def __pydantic_init_subclass__(cls, **keywords: object) -> None:
        super().__pydantic_init_subclass__()
        if cls.event_key is not None and cls.event_key not in cls.model_fields:
            fields = ", ".join(cls.model_fields) or "none"
            raise DefinitionError(f"{place(cls)}: key={cls.event_key!r} is no field of it; its fields: {fields}")

    @classmethod
    def event_names(cls) -> tuple[str, ...]:
        """Every name under which it may be found in a log: today's, then those of before."""
        return (cls.message_name, *cls.event_aliases)

    def partition_key(self) -> str | None:
        """The value of the key field as text; None without one: such events have no order among themselves."""
        return None if self.event_key is None else str(getattr(self, self.event_key))
