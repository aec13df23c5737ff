"""
A command: something that one handler is to do, in the imperative.
"""

from pydantic import BaseModel, ConfigDict

from eventbus.messages.message import Message


class Command(Message):
    """Something to be done, by exactly one handler. Answered by a Receipt, not by data: ask a query for those."""


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
