"""explain_next: whatever a delivery waits for, its last row says what comes, why, and when."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest
from engine import Connection, claim_one, configure, delivery_in, insert, move_clock, operate

from chimewayd.models import Status

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
async def channel(unchecked: Connection) -> None:
    """Configure channel email."""
    await configure(unchecked)


async def serve(connection: Connection) -> None:
    await connection.execute("select chimeway.register_daemon('d1', '0.1', array['email'])")


async def outlook(connection: Connection, delivery_id: UUID) -> asyncpg.Record:
    """Return the last row of the timeline."""
    row = (await connection.fetch("select * from chimeway.explain($1)", delivery_id))[-1]
    assert row["event"] == "next"
    return row


async def test_due_delivery_waits_for_a_slot(connection: Connection) -> None:
    await serve(connection)

    row = await outlook(connection, await insert(connection))

    assert row["what"] == "attempt 1, as soon as there is a free slot"
    assert row["why"] == "it is due"
    assert row["happened_at"] is not None


async def test_scheduled_delivery_waits_for_its_moment(connection: Connection) -> None:
    await serve(connection)
    later = datetime(2100, 1, 1, tzinfo=UTC)

    row = await outlook(connection, await insert(connection, scheduled_at=later))

    assert row["what"].startswith("attempt 1 in ")
    assert row["why"] == "not due until 2100-01-01 00:00:00 UTC"
    assert row["happened_at"] == later


async def test_failed_delivery_waits_for_its_retry(connection: Connection) -> None:
    await serve(connection)

    row = await outlook(connection, await delivery_in(connection, Status.FAILED))

    assert row["what"].startswith("attempt 2 in ")
    assert row["why"].startswith("not due until ")


async def test_paused_channel_is_named_with_who_and_why(connection: Connection) -> None:
    await serve(connection)
    await operate(connection, "pause_channel", "email", "relay down", "ada")

    row = await outlook(connection, await insert(connection))

    assert row["what"] == "it waits for its channel to be resumed"
    assert "was paused by ada" in row["why"]
    assert "relay down" in row["why"]
    assert row["happened_at"] is None


async def test_channel_that_nobody_ever_served_raises_the_question_of_its_name(
    connection: Connection,
) -> None:
    row = await outlook(connection, await insert(connection, channel="emial"))

    assert row["what"] == "it waits for a daemon that serves its channel"
    assert row["why"] == "nobody serves channel emial, and nobody ever did: is the name right?"


async def test_channel_that_nobody_serves_now_says_since_when(connection: Connection) -> None:
    await serve(connection)
    delivery_id = await insert(connection)
    await move_clock(connection, timedelta(minutes=10))

    row = await outlook(connection, delivery_id)

    assert row["what"] == "it waits for a daemon that serves its channel"
    assert row["why"] == "nobody serves channel email now; last served 10 min ago"


async def test_configured_channel_without_any_daemon_says_so(connection: Connection) -> None:
    row = await outlook(connection, await insert(connection))

    assert row["why"] == "nobody serves channel email now"


async def test_held_delivery_waits_for_its_release(connection: Connection) -> None:
    await serve(connection)
    delivery_id = await insert(connection)
    await operate(connection, "hold", delivery_id, "ask legal", "ada")

    row = await outlook(connection, delivery_id)

    assert row["what"] == "it is held until chimeway.release(id, actor)"
    assert row["happened_at"] is None


async def test_expired_delivery_is_about_to_end(connection: Connection) -> None:
    await serve(connection)
    expires_at = datetime(2026, 1, 1, tzinfo=UTC)

    row = await outlook(connection, await insert(connection, expires_at=expires_at))

    assert row["what"] == "it ends as cancelled: expired"
    assert row["why"] == "it expired at 2026-01-01 00:00:00 UTC"


async def test_missing_job_is_named(unchecked: Connection) -> None:
    await serve(unchecked)
    delivery_id = await insert(unchecked)
    await unchecked.execute("delete from chimeway.jobs")

    row = await outlook(unchecked, delivery_id)

    assert row["what"] == "it is not in the queue: chimewayd doctor --repair mends that"


async def test_call_in_flight_names_its_daemon_and_lease(connection: Connection) -> None:
    await serve(connection)
    daemon_id = await connection.fetchval("select id from chimeway.daemons")
    delivery = await claim_one(connection)
    await connection.execute("update chimeway.claims set daemon_id = $1", daemon_id)

    row = await outlook(connection, delivery.delivery_id)

    lease_until = await connection.fetchval("select expires_at from chimeway.claims")
    assert row["what"] == "daemon d1 records how attempt 1 ends"
    assert row["why"].startswith("the daemon was last seen ")
    assert row["happened_at"] == lease_until


async def test_call_in_flight_of_an_unknown_daemon_says_what_happens(
    connection: Connection,
) -> None:
    delivery_id = await delivery_in(connection, Status.DISPATCHED)

    row = await outlook(connection, delivery_id)

    assert row["why"] == (
        "the daemon is not known any more; if its lease runs out, the attempt is recorded as lost"
    )


async def test_end_that_was_asked_for_during_a_call_is_announced(connection: Connection) -> None:
    delivery_id = await delivery_in(connection, Status.DISPATCHED)
    await operate(connection, "cancel", delivery_id, "changed my mind", "ada")

    row = await outlook(connection, delivery_id)

    assert row["what"] == (
        "daemon d1 records how attempt 1 ends; instead of a retry it ends as cancelled: "
        "changed my mind"
    )


@pytest.mark.parametrize(
    ("is_served", "who"),
    [
        (True, "whichever daemon looks next does it, within seconds"),
        (False, "no daemon runs: the first that starts does it"),
    ],
)
async def test_lease_that_ran_out_is_told_with_who_sees_to_it(
    connection: Connection, who: str, *, is_served: bool
) -> None:
    delivery = await claim_one(connection)
    ended_at = await connection.fetchval(
        "select chimeway.moment(expires_at) from chimeway.claims where id = $1", delivery.claim_id
    )
    await move_clock(connection, timedelta(hours=3))
    if is_served:
        await serve(connection)

    row = await outlook(connection, delivery.delivery_id)

    assert row["what"] == "attempt 1 is recorded as lost"
    assert row["why"] == f"the lease of daemon d1 ran out at {ended_at}; {who}"
    assert (row["happened_at"] is not None) == is_served


@pytest.mark.parametrize(
    ("status", "replay"),
    [
        (Status.SUCCEEDED, "chimeway.replay(id, actor, force => true)"),
        (Status.SUPPRESSED, "chimeway.replay(id, actor)"),
        (Status.CANCELLED, "chimeway.replay(id, actor)"),
    ],
)
async def test_terminal_delivery_has_nothing_to_come(
    connection: Connection, status: Status, replay: str
) -> None:
    row = await outlook(connection, await delivery_in(connection, status))

    assert row["what"] == f"nothing: {status} is terminal"
    assert row["why"] == f"{replay} would begin a new series of attempts"
    assert row["happened_at"] is None


async def test_replay_in_vain_is_told(connection: Connection) -> None:
    delivery_id = await delivery_in(connection, Status.CANCELLED)
    await suppress_ada(connection)

    row = await outlook(connection, delivery_id)

    assert row["why"] == "chimeway.replay(id, actor) would end as suppressed: recipient_suppressed"


@pytest.mark.parametrize("why", ["unserved", "unknown", "paused", "held", "limited"])
async def test_what_keeps_it_waiting_says_that_it_expires(connection: Connection, why: str) -> None:
    if why not in {"unserved", "unknown"}:
        await serve(connection)
    delivery_id = await insert(
        connection,
        channel="emial" if why == "unknown" else "email",
        expires_at=datetime(2099, 1, 1, tzinfo=UTC),
    )
    match why:
        case "paused":
            await operate(connection, "pause_channel", "email", "relay down", "ada")
        case "held":
            await operate(connection, "hold", delivery_id, "ask legal", "ada")
        case "limited":
            await connection.execute(
                "select chimeway.open_breaker('email', 'down', 'd1', '1 min', '1 min', '{}')"
            )

    row = await outlook(connection, delivery_id)

    assert row["what"].endswith(", or it expires at 2099-01-01 00:00:00 UTC")


async def suppress_ada(connection: Connection) -> None:
    await connection.execute(
        "insert into chimeway.suppressions (recipient, actor) values ('ada@example.org', 'ops')"
    )


async def test_suppressed_recipient_is_told_before_the_claim_finds_it(
    connection: Connection,
) -> None:
    await serve(connection)
    delivery_id = await insert(connection)
    await connection.execute(
        "insert into chimeway.suppressions (recipient, actor) values ('ada@example.org', 'ops')"
    )

    row = await outlook(connection, delivery_id)

    assert row["what"] == "it ends as suppressed: recipient_suppressed"
    assert row["why"] == "recipient is in chimeway.suppressions"


async def test_delivery_that_expires_before_it_is_due_says_so(connection: Connection) -> None:
    await serve(connection)
    later = datetime(2100, 1, 1, tzinfo=UTC)
    sooner = datetime(2099, 1, 1, tzinfo=UTC)

    row = await outlook(connection, await insert(connection, scheduled_at=later, expires_at=sooner))

    assert row["what"] == "it ends as cancelled: expired"
    assert row["why"] == (
        "it is not due before 2100-01-01 00:00:00 UTC, and expires at 2099-01-01 00:00:00 UTC"
    )
    assert row["happened_at"] == sooner
