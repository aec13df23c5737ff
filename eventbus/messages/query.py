"""
A query: a question that one handler answers and that changes nothing.
"""

from types import GenericAlias
from typing import TYPE_CHECKING, Generic, Protocol, Self, TypeVar

from eventbus.messages.message import Message

R_co = TypeVar("R_co", covariant=True)
Q_co = TypeVar("Q_co", covariant=True)


class Query(Message, Generic[R_co]):
    """
    A question with an answer of type R: `class GetOrder(Query["OrderSummary | None"])`.

    The answer may be given as a string where its class is defined later or elsewhere: it serves the type checkers
    and is never evaluated, so that the messages of a service need not import its read models.
    """

    if TYPE_CHECKING:

        @classmethod
        def _answered(cls) -> "tuple[Self, R_co]":
            """See Answered."""
            ...

    else:

        def __class_getitem__(cls, answer: object) -> GenericAlias:
            # Not pydantic's: that makes a class per answer, and evaluates it. A query has no field of the type R.
            return GenericAlias(cls, (answer,))


class Answered(Protocol[Q_co, R_co]):
    """
    For type checkers alone: the class object of a query Q, seen with its answer R.

    `type[Query[R]]` would tell R and forget which query it is; a class matches this protocol by its classmethod, and
    both are known: so `@handles(GetOrder)` can hold the handler to its parameter and to its answer.
    """

    def _answered(self) -> "tuple[Q_co, R_co]": ...
