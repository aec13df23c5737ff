"""
`@handles`: marks a function as the handler of a message type. It registers nothing: an application finds the marked
functions in the modules that it is given.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Concatenate, Final, Literal, ParamSpec, Protocol, TypeVar, overload

from eventbus.errors import DefinitionError
from eventbus.handlers.retry_later import RetryLater
from eventbus.messages import Command, Event, Message
from eventbus.messages.query import Answered

C = TypeVar("C", bound=Command)
E = TypeVar("E", bound=Event)
Q = TypeVar("Q")
R = TypeVar("R")
M = TypeVar("M")
P = ParamSpec("P")

MARK: Final = "__eventbus_handles__"
Start = Literal["beginning", "now"]
OnFailure = Literal["park", "dead-letter"] | RetryLater
TransactionScope = Literal["batch", "each"]
CONCURRENCY_MAX: Final = 24
"""As many connections as a process may have at work on events."""


@dataclass(frozen=True, slots=True)
class HandlerOptions:
    """What `@handles` was told."""

    start: Start = "beginning"
    """Where a new handler of an event begins: at the first event of its topic, or at what comes after its start."""
    attempts: int = 5
    """How often an event is tried in place before it is given up; 1: no second try."""
    backoff_seconds: float = 0.2
    """The wait before the second attempt; doubled for each further one."""
    backoff_seconds_max: float = 30.0
    retries_on_conflict: int = 3
    """How often a command or event is handled again because somebody else appended to the stream first."""
    on_failure: OnFailure = "park"
    """What becomes of an event when its attempts are used up."""
    dead_letter_topic: str | None = None
    """Where a copy of each dead letter is published."""
    concurrency: int = 1
    """How many keys of a partition are handled at the same time."""
    transaction: TransactionScope = "batch"
    """Whether an event shares its transaction with others."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One `@handles(message_type, …)`."""

    message_type: type[Message]
    options: HandlerOptions


class Handles(Protocol[M]):
    """The decorator for a command's or an event's handler: nothing is returned."""

    @overload
    def __call__(
        self, function: Callable[Concatenate[M, P], Coroutine[Any, Any, None]], /
    ) -> Callable[Concatenate[M, P], Coroutine[Any, Any, None]]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[M, P], None], /) -> Callable[Concatenate[M, P], None]: ...


class Answers(Protocol[M, R]):
    """The decorator for a query's handler: what the query says is returned."""

    @overload
    def __call__(
        self, function: Callable[Concatenate[M, P], Coroutine[Any, Any, R]], /
    ) -> Callable[Concatenate[M, P], Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[M, P], R], /) -> Callable[Concatenate[M, P], R]: ...


@overload
def handles(command: type[C], /, *, retries_on_conflict: int = 3) -> Handles[C]: ...
@overload
def handles(
    event: type[E],
    /,
    *,
    start: Start = "beginning",
    attempts: int = 5,
    backoff_seconds: float = 0.2,
    backoff_seconds_max: float = 30.0,
    retries_on_conflict: int = 3,
    on_failure: OnFailure = "park",
    dead_letter_topic: str | None = None,
    concurrency: int = 1,
    transaction: TransactionScope = "batch",
) -> Handles[E]: ...
@overload
def handles(query: Answered[Q, R], /) -> Answers[Q, R]: ...
def handles(
    message_type: object,
    /,
    *,
    start: Start = "beginning",
    attempts: int = 5,
    backoff_seconds: float = 0.2,
    backoff_seconds_max: float = 30.0,
    retries_on_conflict: int = 3,
    on_failure: OnFailure = "park",
    dead_letter_topic: str | None = None,
    concurrency: int = 1,
    transaction: TransactionScope = "batch",
) -> object:
    """
    Marks a function, `async def` or plain `def` (which runs in a worker thread), as handler of a message type.

    Its first parameter is the message; the others are provided by their types. An event is tried *attempts* times, with
    growing waits; then it is given up, as *on_failure* says:

    "park"           it is a dead letter, and later events of its key wait behind it, for this handler, in order, until
                     somebody has it retried or discards it (`eventbus dead-letters`)
    "dead-letter"    it is a dead letter, and later events of its key are handled
    retry_later(…)   it is tried again after each of these delays, from topics of their own, out of order; then it is a
                     dead letter

    With *concurrency* events of so many keys of a partition are handled at the same time, each in a transaction of its
    own over some of them; events of one key are handled in their order, as ever.

    *transaction* "batch": an event shares its transaction with others, which is what makes them quick. "each": it has
    its own; say so where the handler waits for anything but the database. What it does elsewhere it may do again:
    `Metadata.id` is the same then.

    Raises DefinitionError for what is no message type, or an option out of its range.
    """
    if not (isinstance(message_type, type) and issubclass(message_type, Message)):
        raise DefinitionError(f"@handles({message_type!r}): not a class derived from Command, Event or Query")
    for option, value, least in (("attempts", attempts, 1), ("retries_on_conflict", retries_on_conflict, 0)):
        if value < least:
            raise DefinitionError(f"@handles({message_type.__name__}, {option}={value}): must be at least {least}")
    if not 0 <= backoff_seconds <= backoff_seconds_max:
        raise DefinitionError(
            f"@handles({message_type.__name__}): backoff_seconds={backoff_seconds} must lie between 0 and "
            f"backoff_seconds_max={backoff_seconds_max}"
        )
    if start not in {"beginning", "now"}:
        raise DefinitionError(f'@handles({message_type.__name__}, start={start!r}): must be "beginning" or "now"')
    if not isinstance(on_failure, RetryLater) and on_failure not in {"park", "dead-letter"}:
        raise DefinitionError(
            f'@handles({message_type.__name__}, on_failure={on_failure!r}): must be "park", "dead-letter" or '
            'retry_later("10s", …)'
        )
    if not 1 <= concurrency <= CONCURRENCY_MAX:
        raise DefinitionError(
            f"@handles({message_type.__name__}, concurrency={concurrency}): must lie between 1 and {CONCURRENCY_MAX}"
        )
    if transaction not in {"batch", "each"}:
        raise DefinitionError(
            f'@handles({message_type.__name__}, transaction={transaction!r}): must be "batch" or "each"'
        )
    if dead_letter_topic == "":
        raise DefinitionError(f"@handles({message_type.__name__}, dead_letter_topic=''): must name a topic")
    options = HandlerOptions(
        start,
        attempts,
        backoff_seconds,
        backoff_seconds_max,
        retries_on_conflict,
        on_failure,
        dead_letter_topic,
        concurrency,
        transaction,
    )
    made = Mark(message_type, options)

    def mark(function: Callable[..., object]) -> Callable[..., object]:
        other: Mark | None = getattr(function, MARK, None)
        if other is not None:
            # Its name stands for it in checkpoints and dead letters, and could not say which of them is meant.
            raise DefinitionError(
                f"{function.__module__}.{function.__qualname__} handles {other.message_type.__name__} already, and is "
                f"marked for {message_type.__name__} too: write a function for each"
            )
        setattr(function, MARK, made)
        return function

    return mark
