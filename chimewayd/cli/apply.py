"""Applies a verb to deliveries, a page a statement, each statement its own transaction.

    survey ── Plan ──▶ (asks, if it is large) ── apply ──▶ Tally
                                                  │ ▲
           page of ids, ascending: the lock order ▼ │ replies
                                             chimeway.cancel(id, …) of each

What a stop leaves undone is found again by the same command: it is still in a state that matches.
One delivery that refuses fails its whole statement; the page is then halved until it stands alone.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from chimewayd import db_commands
from chimewayd.cli.selection import Filters, resolve
from chimewayd.cli.tally import IDS_IN_DOCUMENT, Kind, Plan, Reply, Tally
from chimewayd.errors import DeliveryNotFound, TransitionRefused
from chimewayd.session import allow_long_statements

PAGE = 500
"""Deliveries a statement: so many rows stay locked while it runs."""


@dataclass(frozen=True, slots=True)
class Order:
    """What to do: a verb, its arguments after the id, and the states in which it may act."""

    verb: str
    arguments: tuple[object, ...]
    statuses: Sequence[str]
    hint: str | None = None
    """How to have it done in other states as well."""


async def survey(
    connection: asyncpg.Connection, order: Order, filters: Filters, *, wants_ids: bool
) -> tuple[Plan, db_commands.Selection]:
    """Count what matches; the selection is that of this moment."""
    await allow_long_statements(connection)
    selection = await resolve(connection, filters)
    found = await db_commands.count_deliveries(connection, selection)
    ids: list[UUID] = []
    if wants_ids and any(status in order.statuses for status in found):
        ids = await _first_ids(connection, order, selection)
    return _plan(order, found, ids), selection


async def look_up(
    connection: asyncpg.Connection, order: Order, ids: Sequence[UUID], tenant: str | None
) -> Plan:
    """Say what the verb would do to these; another tenant's are as good as unknown."""
    found = await db_commands.look_up(connection, ids, tenant)
    counts: dict[str, int] = {}
    for status in found.values():
        counts[status] = counts.get(status, 0) + 1
    meant = [each for each in ids if found.get(each) in order.statuses]
    unknown = [_unknown(each, tenant) for each in ids if each not in found]
    return _plan(order, counts, meant, unknown)


async def apply_to_ids(
    connection: asyncpg.Connection,
    order: Order,
    ids: Sequence[UUID],
    tenant: str | None,
    tally: Tally,
) -> None:
    """Apply the verb to these deliveries; `tally` is right at any moment, also after an error."""
    await allow_long_statements(connection)
    known = set(ids)
    # In one look: each that is unknown would halve its page until it stands alone.
    if tenant is not None or len(ids) > 1:
        known &= set(await db_commands.look_up(connection, ids, tenant))
        tally.add(_unknown(each, tenant) for each in ids if each not in known)
    ordered = sorted(known)
    for start in range(0, len(ordered), PAGE):
        tally.add(await _replies(connection, order, ordered[start : start + PAGE]))


async def apply_to_selection(
    connection: asyncpg.Connection,
    order: Order,
    selection: db_commands.Selection,
    tally: Tally,
    advance: Callable[[int], None],
) -> None:
    """Apply the verb to what matches; `advance` hears how many more it was applied to."""
    await allow_long_statements(connection)
    async for ids in _pages(connection, order, selection):
        tally.add(await _replies(connection, order, ids))
        advance(len(ids))


def _plan(
    order: Order, found: dict[str, int], ids: Sequence[UUID], unknown: Sequence[Reply] = ()
) -> Plan:
    may = {status: count for status, count in found.items() if status in order.statuses}
    may_not = {status: count for status, count in found.items() if status not in may}
    return Plan(order.verb, may, may_not, order.hint, ids, unknown)


async def _pages(
    connection: asyncpg.Connection, order: Order, selection: db_commands.Selection
) -> AsyncIterator[list[UUID]]:
    last: UUID | None = None
    is_last_page = False
    while not is_last_page:
        page = await db_commands.find_deliveries(connection, last, PAGE, selection, order.statuses)
        is_last_page = len(page) < PAGE
        if ids := [delivery_id for delivery_id, is_selected in page if is_selected]:
            yield ids
        last = page[-1][0] if page else None


async def _first_ids(
    connection: asyncpg.Connection, order: Order, selection: db_commands.Selection
) -> list[UUID]:
    first: list[UUID] = []
    async for ids in _pages(connection, order, selection):
        first += ids
        if len(first) >= IDS_IN_DOCUMENT:
            break
    return first[:IDS_IN_DOCUMENT]


async def _replies(
    connection: asyncpg.Connection, order: Order, ids: Sequence[UUID]
) -> list[Reply]:
    try:
        answers = await db_commands.operate(connection, order.verb, ids, *order.arguments)
    except (DeliveryNotFound, TransitionRefused, asyncpg.DeadlockDetectedError) as error:
        if len(ids) == 1:
            return [_reply(ids[0], order, error)]
        half = len(ids) // 2
        first = await _replies(connection, order, ids[:half])
        return first + await _replies(connection, order, ids[half:])
    kinds = {True: Kind.CHANGED, False: Kind.UNCHANGED}
    return [Reply(each.delivery_id, kinds[each.changed], each.message) for each in answers]


def _reply(delivery_id: UUID, order: Order, error: asyncpg.PostgresError) -> Reply:
    match error:
        case DeliveryNotFound():
            return _unknown(delivery_id, None)
        case TransitionRefused():
            hint = error.hint and (order.hint or error.hint)
            return Reply(delivery_id, Kind.REFUSED, str(error.args[0]), hint)
        case _:
            raise error


def _unknown(delivery_id: UUID, tenant: str | None) -> Reply:
    owner = "" if tenant is None else f" of tenant {tenant}"
    return Reply(delivery_id, Kind.UNKNOWN, f"there is no delivery {delivery_id}{owner}")
