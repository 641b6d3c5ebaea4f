"""explain: for every delivery, in any state, what happened, why, and what comes next."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from engine import (
    Connection,
    claim,
    claim_one,
    configure,
    ended,
    insert,
    move_clock,
    operate,
    record,
)

from chimewayd.errors import DeliveryNotFound

pytestmark = pytest.mark.anyio

NOBODY = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
FORCE = True


@pytest.fixture(autouse=True)
async def channel(unchecked: Connection) -> None:
    """Configure channel email."""
    await configure(unchecked)


async def timeline(connection: Connection, delivery_id: UUID) -> list[dict[str, Any]]:
    """Return the rows, and make sure of what all timelines have in common."""
    rows = [
        dict(row)
        for row in await connection.fetch("select * from chimeway.explain($1)", delivery_id)
    ]
    moments = [row["happened_at"] for row in rows[:-1]]
    assert [row["step"] for row in rows] == list(range(1, len(rows) + 1))
    assert moments == sorted(moments)
    assert all(row["what"] for row in rows)
    assert all(isinstance(json.loads(row["facts"]), dict) for row in rows)
    assert rows[0]["event"] == "inserted"
    assert [row["event"] for row in rows].index("next") == len(rows) - 1
    return rows


async def story(connection: Connection, delivery_id: UUID) -> list[str]:
    return [row["what"] for row in (await timeline(connection, delivery_id))[:-1]]


async def decision(connection: Connection, delivery_id: UUID) -> tuple[str, str]:
    """Return what the last attempt led to, and why."""
    decided = [r for r in await timeline(connection, delivery_id) if r["event"] == "decided"][-1]
    return decided["what"], decided["why"]


async def test_life_is_told_in_order(connection: Connection) -> None:
    delivery = await claim_one(connection)
    await record(connection, delivery, "temporary", status_code=503, detail="busy")
    await move_clock(connection, timedelta(hours=1))
    await operate(connection, "hold", delivery.delivery_id, "ask legal", "ada")
    await operate(connection, "release", delivery.delivery_id, "bob")
    (retry,) = await claim(connection)
    await record(connection, retry, "permanent")
    await move_clock(connection, timedelta(hours=2))
    await operate(connection, "replay", delivery.delivery_id, "ada")

    assert await story(connection, delivery.delivery_id) == [
        "inserted for channel email",
        "attempt 1: failed (temporary)",
        "due again in 30 s",
        "held by ada",
        "released by bob",
        "attempt 2: rejected (permanent)",
        "cancelled: permanent_failure",
        "replayed by ada",
    ]


async def test_attempt_shows_its_evidence(connection: Connection) -> None:
    delivery = await claim_one(connection)
    await record(
        connection, delivery, "throttled", status_code=429, detail="slow down", response="later",
        retry_after=timedelta(minutes=5), started_ago=0.0002, finished_ago=0.0001,
    )  # fmt: skip

    _, attempt, decided, _ = await timeline(connection, delivery.delivery_id)

    facts = json.loads(attempt["facts"])
    assert attempt["why"] == "slow down"
    assert (facts["status_code"], facts["response"], facts["daemon"]) == (429, "later", "d1")
    assert facts["claim_id"] == delivery.claim_id
    assert facts["duration_ms"] == pytest.approx(0.1, abs=0.001)
    assert "the provider asked for 5 min" in decided["why"]


async def test_wait_that_was_asked_for_beyond_the_cap_names_the_cap(
    connection: Connection,
) -> None:
    delivery = await claim_one(connection)
    await record(connection, delivery, "throttled", retry_after=timedelta(days=3))

    what, why = await decision(connection, delivery.delivery_id)

    assert what == "due again in 24 h"
    assert why.endswith("; the provider asked for 3 days, retry_after_cap is 24 h")


async def test_insert_for_later_says_so(connection: Connection) -> None:
    delivery_id = await insert(connection, scheduled_at=datetime(2100, 1, 1, tzinfo=UTC))

    first, _ = await timeline(connection, delivery_id)

    assert first["why"] == "not to be sent before 2100-01-01 00:00:00 UTC"


ENDS = pytest.mark.parametrize(
    ("kind", "policy", "what", "why"),
    [
        ("temporary", {}, "due again in 30 s",
         "failure 1 of at most 5; backoff 30 s \N{MULTIPLICATION SIGN} 2^0, at most 6 h, ± 0 %"),
        ("temporary", {"backoff_schedule": [timedelta(minutes=2)]}, "due again in 2 min",
         "failure 1 of at most 5; wait 1 of the schedule: 2 min, ± 0 %"),
        ("temporary", {"max_attempts": 1}, "cancelled: retries_exhausted",
         "failure 1 of at most 1"),
        ("temporary", {"max_age": timedelta(seconds=9)}, "cancelled: retries_exhausted",
         "the next retry would come later than max_age 9 s allows"),
        ("uncertain", {"on_uncertain": "hold"}, "cancelled: outcome_unknown",
         "the channel's on_uncertain is hold: nobody knows whether it was sent"),
        ("permanent", {}, "cancelled: permanent_failure", "permanent failures are never retried"),
        ("bounced", {}, "cancelled: bounced", "bounces are never retried"),
        ("succeeded", {}, "succeeded", "the provider accepted it"),
    ],
)  # fmt: skip


@ENDS
async def test_decision_names_its_rule_and_numbers(
    connection: Connection, kind: str, policy: dict[str, Any], what: str, why: str
) -> None:
    await configure(connection, **policy)

    assert await decision(connection, await ended(connection, kind)) == (what, why)


@ENDS
async def test_decision_stays_the_same_when_the_delivery_is_replayed(
    connection: Connection, kind: str, policy: dict[str, Any], what: str, why: str
) -> None:
    await configure(connection, **policy)
    delivery_id = await ended(connection, kind)
    if kind == "temporary" and not policy.keys() & {"max_attempts", "max_age"}:
        await operate(connection, "cancel", delivery_id, "changed my mind", "ada")

    for _ in range(2):
        await operate(connection, "replay", delivery_id, "ada", FORCE)
        (again,) = await claim(connection)
        await record(connection, again, "permanent")

    decided = [
        (row["what"], row["why"])
        for row in await timeline(connection, delivery_id)
        if row["event"] == "decided"
    ]
    refused = ("cancelled: permanent_failure", "permanent failures are never retried")
    assert decided == [(what, why), refused, refused]


async def test_first_loss_is_due_again_at_once_and_says_why(connection: Connection) -> None:
    delivery = await claim_one(connection)
    await move_clock(connection, timedelta(hours=1))
    await connection.execute("select chimeway.rescue(10)")

    assert await decision(connection, delivery.delivery_id) == (
        "due again at once",
        "failure 1 of at most 5; a first loss says nothing of the delivery",
    )


async def test_exhaustion_is_told_though_more_attempts_are_allowed_now(
    connection: Connection,
) -> None:
    await configure(connection, max_attempts=1)
    delivery_id = await ended(connection, "temporary")
    await configure(connection, max_attempts=3)

    assert await decision(connection, delivery_id) == (
        "cancelled: retries_exhausted",
        "failure 1 was the last allowed; now 3 are",
    )


@pytest.mark.parametrize("reason", ["changed my mind", "retries_exhausted", "outcome_unknown"])
@pytest.mark.parametrize("is_replayed", [False, True])
async def test_decision_after_a_cancel_names_the_operator(
    connection: Connection, reason: str, *, is_replayed: bool
) -> None:
    delivery = await claim_one(connection)
    await operate(connection, "cancel", delivery.delivery_id, reason, "ada")
    await record(connection, delivery, "temporary")
    if is_replayed:
        await operate(connection, "replay", delivery.delivery_id, "ada")

    assert await decision(connection, delivery.delivery_id) == (
        f"cancelled: {reason}",
        "an operator asked for the end while the call was in flight",
    )


async def told(connection: Connection, delivery_id: UUID, event: str) -> tuple[str, str | None]:
    """Return what is said of the one event of this kind."""
    (row,) = [row for row in await timeline(connection, delivery_id) if row["event"] == event]
    return row["what"], row["why"]


@pytest.mark.parametrize("wait", [None, timedelta(minutes=1)])
async def test_release_that_ends_a_delivery_says_so(
    connection: Connection, wait: timedelta | None
) -> None:
    delivery = await claim_one(connection)
    await operate(connection, "cancel", delivery.delivery_id, "changed my mind", "ada")
    await connection.execute(
        "select chimeway.release_unsent('d1', $1, $2, 'the daemon stops', $3)",
        [delivery.delivery_id],
        [delivery.claim_id],
        [wait],
    )

    assert await told(connection, delivery.delivery_id, "released_unsent") == (
        "released unsent by daemon d1, which ends it as cancelled: changed my mind",
        "the daemon stops",
    )


async def test_late_outcome_says_which(connection: Connection) -> None:
    delivery = await claim_one(connection)
    await move_clock(connection, timedelta(hours=1))
    await connection.execute("select chimeway.rescue(10)")
    await record(connection, delivery)

    assert await told(connection, delivery.delivery_id, "late_outcome") == (
        "late outcome by daemon d1: succeeded",
        "its lease was lost before: the state stays as it is",
    )


async def test_expiry_names_its_moment_and_a_replay_that_it_is_gone(
    connection: Connection,
) -> None:
    delivery_id = await insert(connection, expires_at=datetime(2026, 1, 1, tzinfo=UTC))
    await claim(connection)

    expired = await told(connection, delivery_id, "expired")
    await operate(connection, "replay", delivery_id, "ada")

    assert expired == (
        "expired by daemon d1",
        "it was not to be sent after 2026-01-01 00:00:00 UTC",
    )
    assert await told(connection, delivery_id, "replayed") == (
        "replayed by ada",
        "expired; its expires_at 2026-01-01 00:00:00 UTC had passed and counts no more",
    )


async def test_redaction_is_told_though_its_age_is_not_set_any_more(
    connection: Connection,
) -> None:
    delivery_id = await ended(connection, "permanent")
    retain = "select chimeway.configure_retention('email', $1, null)"
    await connection.execute(retain, timedelta(days=7))
    await move_clock(connection, timedelta(days=8))
    await connection.execute("select chimeway.prune(null, null, 100)")

    with_age = await told(connection, delivery_id, "redacted")
    await connection.execute(retain, None)

    assert with_age[1] == "the channel's redact_after is 7 days"
    without = await told(connection, delivery_id, "redacted")
    assert without[1] == "the channel's redact_after of that time had passed"


async def test_failure_stands_before_the_fallback_that_came_of_it(connection: Connection) -> None:
    await configure(connection, "sms")
    await configure(connection, fallback="sms")

    rows = await timeline(connection, await ended(connection, "bounced"))

    assert [row["event"] for row in rows] == ["inserted", "attempt", "decided", "fell_back", "next"]


async def test_unknown_delivery_is_refused(connection: Connection) -> None:
    with pytest.raises(DeliveryNotFound, match=f"there is no delivery {NOBODY}"):
        await connection.execute("select * from chimeway.explain($1)", NOBODY)
