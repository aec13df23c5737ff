from collections.abc import Callable
from decimal import Decimal

import pytest

from eventbus.domain import Aggregate, Decider, applies, decider_of
from eventbus.errors import DefinitionError
from eventbus.messages import Event


class Opened(Event):
    owner: str


class Deposited(Event):
    amount: Decimal


class Closed(Event, key="account_id"):
    account_id: str


class Elsewhere(Event, topic="elsewhere"):
    pass


class Account(Aggregate, topic="accounts"):
    owner: str | None = None
    balance: Decimal = Decimal(0)
    deposits: tuple[Decimal, ...] = ()

    def open(self, owner: str) -> None:
        self.record(Opened(owner=owner))

    def deposit(self, amount: Decimal) -> None:
        self.record(Deposited(amount=amount))

    @applies(Opened)
    def _opened(self, event: Opened) -> None:
        self.owner = event.owner

    @applies(Deposited)
    def _deposited(self, event: Deposited) -> None:
        self.balance += event.amount
        self.deposits += (event.amount,)

    @applies(Closed)
    def _closed(self, event: Closed) -> None:
        self.owner = None


class SavingsAccount(Account, name="Savings"):
    def _deposited(self, event: Deposited) -> None:
        self.balance += event.amount * 2


def test_what_is_recorded_is_applied_at_once_and_kept() -> None:
    """The next decision of the same handler sees it."""
    account = Account("a-1")
    account.open("Ann")
    account.deposit(Decimal(5))
    assert (account.owner, account.balance) == ("Ann", 5)
    assert account.recorded_events == (Opened(owner="Ann"), Deposited(amount=Decimal(5)))
    assert account.stream_version == 0


def test_taken_events_count_as_appended() -> None:
    """What is recorded afterwards is expected behind them."""
    account = Account("a-1")
    account.open("Ann")
    assert account.take_recorded() == [Opened(owner="Ann")]
    assert (account.stream_version, account.recorded_events) == (1, ())


def test_replaying_gives_the_state_and_records_nothing() -> None:
    """A stream is folded in place."""
    account = Account("a-1").replay([Opened(owner="Ann"), Deposited(amount=Decimal(2)), Deposited(amount=Decimal(3))])
    assert (account.balance, account.deposits) == (5, (2, 3))
    assert (account.stream_version, account.recorded_events) == (3, ())


def test_instances_do_not_share_state() -> None:
    """Two ids in one handler are two things."""
    one, other = Account("a-1"), Account("a-2")
    one.deposit(Decimal(5))
    assert other.balance == 0
    assert Account.balance == 0


def test_the_stream_is_the_name_and_the_id() -> None:
    """It is found again by both."""
    assert Account("a-1").stream == "Account-a-1"
    assert SavingsAccount("a-1").stream == "Savings-a-1"


def test_a_derived_aggregate_inherits_the_topic_and_overrides_by_name() -> None:
    """As methods do."""
    account = SavingsAccount("a-1")
    account.deposit(Decimal(5))
    assert account.balance == 10
    assert account.aggregate_topic == "accounts"


def test_an_event_that_nothing_applies_is_refused_when_it_is_recorded() -> None:
    """With the class, the event and the line to write; and it is not kept."""
    account = Account("a-1")
    with pytest.raises(
        DefinitionError, match=r"Account has no method for Elsewhere: mark one by @applies\(Elsewhere\)"
    ):
        account.record(Elsewhere())
    assert account.recorded_events == ()


def test_an_event_whose_key_field_is_not_the_id_is_refused() -> None:
    """An aggregate's events are keyed by its id, or their order would be lost."""
    account = Account("a-1")
    account.record(Closed(account_id="a-1"))
    with pytest.raises(DefinitionError, match=r"Account 'a-1' records a Closed whose key field 'account_id' is 'a-2'"):
        account.record(Closed(account_id="a-2"))


def test_an_empty_id_is_refused() -> None:
    """All things without an id would be one."""
    with pytest.raises(ValueError, match="an id of Account must not be empty"):
        Account("")


@pytest.mark.parametrize("default", [[], {}, set(), bytearray()])
def test_a_mutable_default_is_refused(default: object) -> None:
    """It would be shared by every instance."""
    with pytest.raises(DefinitionError, match=r"would be shared by every Bad: use a tuple or frozenset"):
        type("Bad", (Account,), {"items": default})


def test_an_aggregate_without_a_topic_is_refused() -> None:
    """Its events would go nowhere."""
    with pytest.raises(DefinitionError, match=r'say where its events go: class Bad\(Aggregate, topic="…"\)'):
        type("Bad", (Aggregate,), {})


def test_a_misspelt_keyword_is_refused() -> None:
    """`topik=` says so at once."""
    with pytest.raises(TypeError, match="topik"):
        type("Bad", (Aggregate,), {}, topik="orders")  # type: ignore[call-overload]


def test_a_name_with_a_dash_is_refused() -> None:
    """The dash ends the category in a stream's name."""
    with pytest.raises(DefinitionError, match="the name 'a-b' must be letters"):
        type("Bad", (Aggregate,), {}, topic="t", name="a-b")  # type: ignore[call-overload]


def test_an_event_applied_by_two_methods_is_refused() -> None:
    """Which one would count?"""

    def first(self: Account, event: Opened) -> None: ...
    def second(self: Account, event: Opened) -> None: ...

    with pytest.raises(DefinitionError, match="Opened is applied by first and by second"):
        type("Bad", (Account,), {"first": applies(Opened)(first), "second": applies(Opened)(second)})


def test_an_event_that_names_another_topic_is_refused() -> None:
    """An aggregate's events go to one topic."""

    def apply(self: Account, event: Elsewhere) -> None: ...

    with pytest.raises(DefinitionError, match=r"go to the topic 'accounts', and Elsewhere says 'elsewhere'"):
        type("Bad", (Account,), {"apply": applies(Elsewhere)(apply)})


def test_applies_refuses_what_is_no_event() -> None:
    """Also for those who run no type checker."""
    with pytest.raises(DefinitionError, match="not a class derived from Event"):
        applies(int)  # type: ignore[type-var]


def test_an_aggregate_is_a_decider() -> None:
    """The class is sugar on three functions."""
    decider: Decider[Callable[[Account], None], Event, Account] = decider_of(Account, "a-1")
    state = decider.fold([Opened(owner="Ann"), Deposited(amount=Decimal(5))])
    assert state.balance == 5
    assert decider.decide(state, lambda account: account.deposit(Decimal(1))) == [Deposited(amount=Decimal(1))]
    assert decider.initial().balance == 0


def test_folding_a_long_stream_copies_nothing() -> None:
    """The state is the same object throughout."""
    account = Account("a-1")
    assert account.replay([Opened(owner="Ann")] * 10_000) is account
    assert account.stream_version == 10_000
