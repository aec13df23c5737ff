"""Invariants of transactions: 4, 5, 7, 8 and 11."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator

from tests.crash.log.facts import Facts, Transaction
from tests.crash.log.history import Begin, Bounds, Commit, End, Init, Operation, Poll, Seen, Send, Watch


def _committed_reads(facts: Facts) -> Iterator[tuple[Operation, Poll, Seen]]:
    for operation, poll in facts.polls:
        if poll.isolation == "committed" and operation.result is not None:
            for seen in operation.result.records or ():
                yield operation, poll, seen


def aborted_reads(facts: Facts) -> Iterator[str]:
    """4: read_committed gives nothing of an aborted transaction; one that ended is there as a whole or not at all."""
    for _, poll, seen in _committed_reads(facts):
        transaction = facts.transaction_of.get(seen.value or "")
        if transaction is None:
            continue
        log = facts.logs.get(seen.place)
        ending = log.endings.get(seen.offset) if log is not None else None
        if transaction.told == "abort" or ending == "abort":
            yield f"{poll.consumer} got {seen.place}@{seen.offset} {seen.value!r} of the aborted {transaction.name}"
    for transaction in facts.transactions.values():
        endings = {ending for _, _, _, ending in facts.stored(transaction)}
        if len(endings) > 1:
            yield f"{transaction.name} has ended in parts: {sorted(facts.stored(transaction))[:6]}"


def own_reads(facts: Facts) -> Iterator[str]:
    """5: a reader of the transaction's own process gets nothing of it before its end was asked for."""
    for operation, poll, seen in _committed_reads(facts):
        transaction = facts.transaction_of.get(seen.value or "")
        if transaction is None or transaction.begin.worker != operation.worker:
            continue
        if transaction.earliest_end > operation.completed:
            yield f"{poll.consumer} got {seen.place}@{seen.offset} {seen.value!r} inside of {transaction.name}"


def open_reads(facts: Facts) -> Iterator[str]:
    """7: read_committed gives nothing behind the first record of an open transaction; the LSO never goes back."""
    starts: dict[str, list[tuple[int, float, str]]] = defaultdict(list)
    for transaction in facts.transactions.values():
        for place, offset in _first_offsets(facts, transaction).items():
            starts[place].append((offset, transaction.earliest_end, transaction.name))
    longest: dict[str, list[tuple[float, str, int]]] = {}
    for place, found in starts.items():
        found.sort()
        running: list[tuple[float, str, int]] = []
        for offset, ends, name in found:
            here = (ends, name, offset)
            running.append(here if not running or running[-1] < here else running[-1])
        longest[place] = running
    for operation, poll, seen in _committed_reads(facts):
        at = bisect_right(starts.get(seen.place, []), seen.offset, key=lambda start: start[0])
        if at:
            ends, name, offset = longest[seen.place][at - 1]
            if ends > operation.completed:
                yield f"{poll.consumer} got {seen.place}@{seen.offset}, {name} was open from {offset} on"
    before: dict[str, Bounds] = {}
    for operation, _ in facts.of(Watch):
        for place, now in (operation.result.bounds or {}).items() if operation.result else ():
            then = before.get(place, now)
            before[place] = now
            if now.stable < then.stable:
                yield f"{place}: the last stable offset went back from {then.stable} to {now.stable}"


def _first_offsets(facts: Facts, transaction: Transaction) -> dict[str, int]:
    found: dict[str, int] = {}
    for operation, send in transaction.sends:
        offset = operation.result.offset if operation.outcome == "ok" and operation.result is not None else None
        if offset is not None:
            found[send.place] = min(offset, found.get(send.place, offset))
    for place, offset, _, _ in facts.stored(transaction):
        found[place] = min(offset, found.get(place, offset))
    return found


def wrong_ends(facts: Facts) -> Iterator[str]:
    """8: a transaction ends as it was said, however often it was said, and does not end before."""
    for transaction in facts.transactions.values():
        told = {end.committed for operation, end in transaction.ends if operation.outcome == "ok"}
        if len(told) > 1:
            yield f"{transaction.name} was told to be committed and aborted"
        asked = {end.committed for _, end in transaction.ends}
        for place, offset, value, ending in facts.stored(transaction):
            if transaction.told != "open" and ending != transaction.told:
                yield f"{transaction.name} ended by {transaction.told}, {place}@{offset} {value!r} by {ending}"
            elif ending == "commit" and True not in asked:
                yield f"{transaction.name} is committed at {place}@{offset} {value!r}, and nobody asked for that"


def zombies(facts: Facts) -> Iterator[str]:
    """11: who was succeeded writes, commits and aborts nothing; a producer's epoch never goes back in a log."""
    ids = {begin.producer: begin.transactional_id for _, begin in facts.of(Begin)}
    inits: dict[str, list[tuple[Operation, str]]] = defaultdict(list)
    for operation, init in facts.of(Init):
        ids[init.producer] = init.transactional_id
        if operation.outcome == "ok":
            inits[init.transactional_id].append((operation, init.producer))
    producers = {transaction.name: transaction.producer for transaction in facts.transactions.values()}
    for operation in facts.operations:
        action = operation.action
        if operation.outcome != "ok" or not isinstance(action, Send | End | Commit):
            continue
        producer = producers.get(action.transaction or "", "") if isinstance(action, Commit) else action.producer
        own = inits.get(ids.get(producer, ""), [])
        began = next((taken.completed for taken, each in own if each == producer), 0.0)
        for taken, successor in own:
            if successor != producer and taken.invoked > began and taken.completed < operation.invoked:
                yield f"{producer} was succeeded by {successor} and did {action} after that"
                break
    for place, log in facts.logs.items():
        epochs: dict[int, int] = {}
        for entry in log.entries:
            if entry.producer_id >= 0 and entry.producer_epoch < epochs.get(entry.producer_id, -1):
                yield (
                    f"{place}@{entry.offset} has epoch {entry.producer_epoch} of producer {entry.producer_id}, "
                    f"behind epoch {epochs[entry.producer_id]}"
                )
            epochs[entry.producer_id] = max(entry.producer_epoch, epochs.get(entry.producer_id, -1))
