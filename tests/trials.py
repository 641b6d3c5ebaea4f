"""What can be tried on a delivery: every state it can be in, and every function with its cases."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from engine import LEASE, Connection, claim, insert, jobs_of, look, operate, record
from frozen_clock import START, set_clock

from chimewayd.models import Delivery, Status

SCHEDULED_AT = START + timedelta(hours=1)
RETRY_AT = START + timedelta(seconds=30)
EXPIRES_AT = START + timedelta(days=1)
REASON = "no longer wanted"

STATES = (
    "pending",
    "pending, due later",
    "pending, held",
    "dispatched",
    "dispatched, cancel requested",
    "failed",
    "failed, due later",
    "failed, held",
    "succeeded",
    "suppressed",
    "cancelled",
)


class Subject(NamedTuple):
    """A delivery in one of STATES, and what its daemons believe to hold."""

    delivery_id: UUID
    earlier: Delivery
    """A claim that was given back."""
    latest: Delivery
    """The last claim: the token of the row while it is dispatched."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One row of the matrix: a call, and the circumstances it meets."""

    call: Callable[[Connection, Subject], Awaitable[str | None]]
    """Makes the call; returns what it said, if it says anything."""
    at: datetime = START
    """When: not before, and not before the state could be reached."""
    policy: Mapping[str, Any] = field(default_factory=dict)
    given: str = "select"
    """SQL that makes the circumstances."""
    breaks_invariants: bool = False


async def bring_to(connection: Connection, state: str) -> Subject:
    """Bring a new delivery into a state by the functions that lead there."""
    scheduled_at = SCHEDULED_AT if state == "pending, due later" else START
    delivery_id = await insert(connection, scheduled_at=scheduled_at, expires_at=EXPIRES_AT)
    if scheduled_at > START:
        never_claimed = Delivery._make([delivery_id, 0, *[None] * (len(Delivery._fields) - 2)])
        return Subject(delivery_id, never_claimed, never_claimed)

    (earlier,) = await claim(connection)
    await give_back(connection, earlier)
    status, _, circumstance = state.partition(", ")
    if status in {Status.PENDING, Status.SUPPRESSED}:
        latest = earlier
    else:
        (latest,) = await claim(connection)

    endings = {"failed": "temporary", "succeeded": "succeeded", "cancelled": "permanent"}
    if status in endings:
        await record(connection, latest, endings[status])
        if state == "failed":
            await set_clock(connection, RETRY_AT)
    elif status == Status.SUPPRESSED:
        await operate(connection, "suppress", delivery_id, REASON, "ops")
    if circumstance == "held":
        await operate(connection, "hold", delivery_id, REASON, "ops")
    elif circumstance == "cancel requested":
        await operate(connection, "cancel", delivery_id, REASON, "ops")
    return Subject(delivery_id, earlier, latest)


async def state_of(connection: Connection, delivery_id: UUID) -> str:
    """Name the state a delivery is in, in the words of STATES, and why it ended."""
    row, jobs = await look(connection, delivery_id), await jobs_of(connection, delivery_id)
    now = await connection.fetchval("select chimeway.clock()")
    state: str = row["status"]
    if row["suppression_reason"]:
        return f"{state}: {row['suppression_reason']}"
    if row["requested_status"]:
        verb = "cancel" if row["requested_status"] == Status.CANCELLED else "suppress"
        return f"{state}, {verb} requested"
    for job in jobs:
        if job["due"] == "infinity":
            return f"{state}, held"
        if job["due"] != "-infinity" and job["due_at"] > now:
            return f"{state}, due later"
    return state


async def give_back(connection: Connection, delivery: Delivery) -> None:
    await connection.execute(
        "select chimeway.release_unsent('d1', $1, $2, 'stopping')",
        [delivery.delivery_id],
        [delivery.claim_id],
    )


def recording(kind: str) -> Callable[[Connection, Subject], Awaitable[str]]:
    async def call(connection: Connection, subject: Subject) -> str:
        return (await record(connection, subject.latest, kind)).verdict

    return call


def operating(verb: str, *arguments: Any) -> Callable[[Connection, Subject], Awaitable[str]]:
    async def call(connection: Connection, subject: Subject) -> str:
        answer = await operate(connection, verb, subject.delivery_id, *arguments)
        message: str = answer["message"]
        return message

    return call


def executing(statement: str) -> Callable[[Connection, Subject], Awaitable[None]]:
    async def call(connection: Connection, _: Subject) -> None:
        await connection.execute(statement)

    return call


async def claiming(connection: Connection, _: Subject) -> None:
    await claim(connection)


async def recording_stale(connection: Connection, subject: Subject) -> str:
    return (await record(connection, subject.earlier, "succeeded")).verdict


async def releasing(connection: Connection, subject: Subject) -> None:
    await give_back(connection, subject.latest)


async def deferring(connection: Connection, subject: Subject) -> None:
    await connection.execute(
        "select chimeway.release_unsent('d1', $1, $2, 'busy', array[interval '10 s'])",
        [subject.latest.delivery_id],
        [subject.latest.claim_id],
    )


async def releasing_stale(connection: Connection, subject: Subject) -> None:
    await give_back(connection, subject.earlier)


LATE = EXPIRES_AT + timedelta(days=1)
LEASE_OVER = START + LEASE
LAST = {"max_attempts": 1}
HOLD = {"on_uncertain": "hold"}
RESCUE = executing("select chimeway.rescue(10)")
EXPIRE = executing("select chimeway.expire('-infinity', 10)")
BY_OWNER = """
update chimeway.deliveries
set status = 'pending', claim_id = null, finished_at = null, suppression_reason = null
"""

TRIALS: dict[str, Trial] = {
    "claim": Trial(claiming),
    "claim, channel paused": Trial(
        claiming, given="select chimeway.pause_channel('email', 'maintenance', 'ops')"
    ),
    "claim, after expires_at": Trial(claiming, at=LATE),
    "claim, recipient suppressed": Trial(
        claiming,
        given="insert into chimeway.suppressions (recipient, actor)"
        " values ('ada@example.org', 'ops')",
    ),
    "claim, channel disabled": Trial(
        claiming, given="update chimeway.channels set enabled = false"
    ),
    **{
        f"record {kind}": Trial(recording(kind))
        for kind in ("succeeded", "temporary", "throttled", "permanent", "bounced")
    },
    "record temporary, last attempt": Trial(recording("temporary"), policy=LAST),
    "record temporary, retry beyond max_age": Trial(
        recording("temporary"), policy={"max_age": timedelta(seconds=10)}
    ),
    **{
        f"record {kind}, on_uncertain {policy}": Trial(
            recording(kind), policy={"on_uncertain": policy}
        )
        for kind in ("uncertain", "timeout_after_send")
        for policy in ("retry", "hold")
    },
    "record timeout, on_uncertain hold": Trial(recording("timeout"), policy=HOLD),
    "record unclassified": Trial(recording("unclassified")),
    "record unclassified, last attempt": Trial(recording("unclassified"), policy=LAST),
    "record succeeded, stale token": Trial(recording_stale),
    "release_unsent": Trial(releasing),
    "release_unsent, with a wait": Trial(deferring),
    "release_unsent, stale token": Trial(releasing_stale),
    "rescue, lease running": Trial(RESCUE),
    "rescue": Trial(RESCUE, at=LEASE_OVER),
    "rescue, on_uncertain hold": Trial(RESCUE, at=LEASE_OVER, policy=HOLD),
    "rescue, last attempt": Trial(RESCUE, at=LEASE_OVER, policy=LAST),
    "expire, before expires_at": Trial(EXPIRE),
    "expire": Trial(EXPIRE, at=LATE),
    "cancel": Trial(operating("cancel", REASON, "ops")),
    "suppress": Trial(operating("suppress", REASON, "ops")),
    "replay": Trial(operating("replay", "ops")),
    "replay, force": Trial(operating("replay", "ops", True)),  # noqa: FBT003 - SQL's own parameter
    "hold": Trial(operating("hold", REASON, "ops")),
    "release": Trial(operating("release", "ops")),
    "update by the owner": Trial(executing(BY_OWNER), breaks_invariants=True),
}
