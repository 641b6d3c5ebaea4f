"""configure_channel: policy comes from the configuration, state from operators."""

from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from engine import POLICY, Connection, configure, operate

pytestmark = pytest.mark.anyio


async def channel(connection: Connection) -> dict[str, Any]:
    row = await connection.fetchrow("select * from chimeway.channels where name = 'email'")
    assert row is not None
    return dict(row)


async def test_new_channel_has_the_policy_and_is_open(connection: Connection) -> None:
    await configure(connection, max_age=timedelta(days=2))

    row = await channel(connection)
    expected = {name: value for name, value in POLICY.items() if "rate" not in name}
    expected["max_age"] = timedelta(days=2)
    assert {name: row[name] for name in expected} == expected
    assert (row["enabled"], row["paused_at"]) == (True, None)


async def test_new_configuration_replaces_the_whole_policy(connection: Connection) -> None:
    await configure(connection)
    changed: dict[str, Any] = {
        "adapter": "webhook",
        "max_attempts": 9,
        "backoff_base": timedelta(seconds=1),
        "backoff_factor": 3.0,
        "backoff_cap": timedelta(minutes=1),
        "backoff_jitter": 0.5,
        "backoff_schedule": [timedelta(seconds=7)],
        "retry_after_cap": timedelta(hours=1),
        "max_age": timedelta(hours=2),
        "on_uncertain": "hold",
        "fallback": "sms",
    }

    await configure(connection, **changed)

    row = await channel(connection)
    assert {name: row[name] for name in changed} == changed


async def test_operators_state_is_never_overwritten(connection: Connection) -> None:
    await configure(connection)
    await operate(connection, "pause_channel", "email", "relay down", "ada")
    await connection.execute("update chimeway.channels set enabled = false")

    await configure(connection, max_attempts=9)

    row = await channel(connection)
    assert row["max_attempts"] == 9
    assert (row["paused_by"], row["pause_reason"]) == ("ada", "relay down")
    assert row["paused_at"] is not None
    assert row["enabled"] is False


@pytest.mark.parametrize(
    ("policy", "check"),
    [
        ({"on_uncertain": "panic"}, "on_uncertain_is_known"),
        ({"backoff_jitter": 1.0}, "jitter_is_a_share"),
    ],
)
async def test_nonsense_is_refused(
    connection: Connection, policy: dict[str, Any], check: str
) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match=check):
        await configure(connection, **policy)


async def test_policy_that_is_the_same_waits_for_nobodys_lock(
    connection: Connection, other: Connection
) -> None:
    """A daemon starts anew, also while somebody has not committed a pause yet."""
    schedule = [timedelta(seconds=1), timedelta(hours=2)]
    await configure(connection, backoff_schedule=schedule, max_age=timedelta(days=1))
    await connection.execute("set lock_timeout = '1s'")

    async with other.transaction():
        await operate(other, "pause_channel", "email", "relay down", "ada")
        await configure(connection, backoff_schedule=schedule, max_age=timedelta(days=1))
        with pytest.raises(asyncpg.LockNotAvailableError):
            await configure(connection, backoff_schedule=schedule)

    assert (await channel(connection))["paused_by"] == "ada"


async def test_rate_that_is_the_same_waits_for_nobodys_claim(
    connection: Connection, other: Connection
) -> None:
    """A daemon that is stopped while it reads what it claimed lets no other one start, else."""
    rate: dict[str, Any] = {"rate_calls": 1, "rate_per": timedelta(seconds=1), "rate_burst": 1}
    await configure(connection, **rate)
    await connection.execute("set lock_timeout = '1s'")

    async with other.transaction():
        await other.execute("select from chimeway.rates for update")

        await configure(connection, **rate)
        with pytest.raises(asyncpg.LockNotAvailableError):
            await configure(connection, **rate | {"rate_calls": 2})
