"""The whole matrix of state and verb: the new state, or the SQLSTATE that refuses it."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from engine import (
    Connection,
    attempts_of,
    claim,
    configure,
    delivery_in,
    events_of,
    insert,
    jobs_of,
    look,
    move_clock,
    operate,
)

from chimewayd.errors import DeliveryNotFound, InvalidArgument, TransitionRefused
from chimewayd.models import Status

pytestmark = pytest.mark.anyio

NOBODY = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
VERBS: dict[str, tuple[Any, ...]] = {
    "cancel": ("no longer wanted", "ops"),
    "suppress": ("no longer wanted", "ops"),
    "replay": ("ops",),
    "replay by force": ("ops", True),
    "hold": ("wait", "ops"),
    "release": ("ops",),
}
REFUSED = "NC002"

# "!" marks a change; without it the call says that nothing changed.
MATRIX = {
    # cancel, suppress, replay, replay by force, hold, release
    "pending": ("cancelled!", "suppressed!", REFUSED, REFUSED, "pending!", "pending"),
    "dispatched": ("dispatched!", "dispatched!", REFUSED, REFUSED, REFUSED, "dispatched"),
    "failed": ("cancelled!", "suppressed!", REFUSED, REFUSED, "failed!", "failed"),
    "succeeded": ("succeeded", "succeeded", REFUSED, "pending!", REFUSED, "succeeded"),
    "suppressed": ("suppressed", "suppressed", "pending!", "pending!", REFUSED, "suppressed"),
    "cancelled": ("cancelled", "cancelled", "pending!", "pending!", REFUSED, "cancelled"),
}
CASES = [
    (Status(status), verb, end)
    for status, ends in MATRIX.items()
    for verb, end in zip(VERBS, ends, strict=True)
]
TERMINAL = [Status.SUCCEEDED, Status.SUPPRESSED, Status.CANCELLED]


@pytest.fixture(autouse=True)
async def channel(unchecked: Connection) -> None:
    """Configure channel email."""
    await configure(unchecked)


async def everything_about(connection: Connection, delivery_id: UUID) -> list[object]:
    return [
        await look(connection, delivery_id),
        await jobs_of(connection, delivery_id),
        await attempts_of(connection, delivery_id),
        await events_of(connection, delivery_id),
    ]


@pytest.mark.parametrize(("status", "verb", "end"), CASES)
async def test_verb_moves_the_delivery_or_refuses_or_says_that_nothing_changed(
    connection: Connection, status: Status, verb: str, end: str
) -> None:
    delivery_id = await delivery_in(connection, status)
    before = await everything_about(connection, delivery_id)
    function, arguments = verb.partition(" ")[0], VERBS[verb]

    if end == REFUSED:
        with pytest.raises(TransitionRefused, match=f"{delivery_id} cannot move from {status} to "):
            await operate(connection, function, delivery_id, *arguments)
        assert await everything_about(connection, delivery_id) == before
        return
    answer = await operate(connection, function, delivery_id, *arguments)

    changed = end.endswith("!")
    assert (answer["changed"], answer["status"]) == (changed, end.rstrip("!"))
    assert (await look(connection, delivery_id))["status"] == end.rstrip("!")
    assert (await everything_about(connection, delivery_id) != before) == changed
    assert ("nothing changed" in answer["message"]) == (not changed)
    if changed:
        assert (await events_of(connection, delivery_id))[-1]["actor"] == "ops"


@pytest.mark.parametrize("status", TERMINAL)
async def test_nothing_the_daemons_do_touches_a_terminal_delivery(
    connection: Connection, status: Status
) -> None:
    delivery_id = await delivery_in(connection, status)
    before = await everything_about(connection, delivery_id)
    await move_clock(connection, timedelta(days=30))

    assert await claim(connection) == []
    assert await connection.fetch("select * from chimeway.rescue(10)") == []
    assert await connection.fetch("select * from chimeway.expire(now() - interval '1 y', 10)") == []

    assert await everything_about(connection, delivery_id) == before


@pytest.mark.parametrize("verb", VERBS)
async def test_verb_on_an_unknown_delivery_says_so(connection: Connection, verb: str) -> None:
    with pytest.raises(DeliveryNotFound, match=str(NOBODY)):
        await operate(connection, verb.partition(" ")[0], NOBODY, *VERBS[verb])


@pytest.mark.parametrize("actor", ["", "   ", None, "x" * 256])
@pytest.mark.parametrize("verb", ["cancel", "suppress", "replay", "hold", "release"])
async def test_verb_refuses_to_work_for_nobody(
    connection: Connection, verb: str, actor: str | None
) -> None:
    delivery_id = await insert(connection)

    with pytest.raises(InvalidArgument, match=rf"chimeway\.{verb}: actor must say who"):
        await operate(connection, verb, delivery_id, *VERBS[verb][:-1], actor)


@pytest.mark.parametrize("reason", ["", " ", None, "x" * 1001])
@pytest.mark.parametrize("verb", ["cancel", "suppress", "hold"])
async def test_verb_refuses_to_work_without_a_reason(
    connection: Connection, verb: str, reason: str | None
) -> None:
    delivery_id = await insert(connection)

    with pytest.raises(InvalidArgument, match=rf"chimeway\.{verb}: reason must say why"):
        await operate(connection, verb, delivery_id, reason, "ops")


async def test_refusals_carry_our_own_sqlstates(connection: Connection) -> None:
    states = []
    for verb, arguments in (
        ("cancel", (NOBODY, "why", "ops")),
        ("replay", (await insert(connection), "ops")),
        ("cancel", (NOBODY, "why", "")),
    ):
        with pytest.raises(asyncpg.PostgresError) as refused:
            await operate(connection, verb, *arguments)
        states.append(refused.value.sqlstate)

    assert states == ["NC001", "NC002", "NC003"]
