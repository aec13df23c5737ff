"""
A command: something that one handler is to do, in the imperative.
"""

from collections.abc import Sequence
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from eventbus.messages.message import Message, checked_aliases


class Command(Message):
    """
    Something to be done, by exactly one handler. Answered by a Receipt, not by data: ask a query for those.

    Class keyword beyond `name`, `version` and `extra`
        aliases    names that it had before: an id under which it was sent then is known now, and answers the first
                   receipt. Releases of both names side by side do not see what the other has under way
    Errors         DefinitionError when the class is created: a wrong alias
    """

    command_aliases: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, *, name: str | None = None, version: int = 1, aliases: Sequence[str] = ()) -> None:
        super().__init_subclass__(name=name, version=version)
        cls.command_aliases = checked_aliases(cls, cls.message_name, aliases)

    @classmethod
    def command_names(cls) -> tuple[str, ...]:
        """Every name under which it may have been sent: today's, then those of before."""
        return (cls.message_name, *cls.command_aliases)


class Receipt(BaseModel):
    """
    What a command has led to, once it is committed.

    It stands for the events, which a view may not have seen yet: `ask(query, at_least=receipt)` waits for that.
    """

    model_config = ConfigDict(frozen=True)

    command_id: str
    """The id given to `send`, or a fresh one."""
    event_ids: tuple[str, ...]
    """The ids of the events that were committed, in order; empty when nothing happened."""
