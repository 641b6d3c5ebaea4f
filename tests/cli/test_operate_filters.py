"""The operator's commands on all deliveries that pass filters: which, and how many."""

import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

import anyio
import engine
import pytest
from commands import COMMAND, DEADLINE_SECONDS, Ended, chimewayd, clean_environment

from chimewayd.models import Status

pytestmark = pytest.mark.anyio

WHY = ("--reason", "no longer wanted")
MANY = """
insert into chimeway.deliveries (channel, recipient, payload)
select 'email', 'ada', '{}' from generate_series(1, $1)
"""
STATUSES = "select status, count(*) from chimeway.deliveries group by status"


async def operate(dsn: str, *arguments: object) -> Ended:
    return await chimewayd("--dsn", dsn, *map(str, arguments))


async def statuses(connection: engine.Connection) -> dict[str, int]:
    return {row[0]: row[1] for row in await connection.fetch(STATUSES)}


async def old(connection: engine.Connection) -> UUID:
    """Insert a delivery three hours ago."""
    await connection.execute("set session_replication_role = replica")
    delivery_id = await engine.insert(
        connection, inserted_at=datetime.now(UTC) - timedelta(hours=3), recipient="old"
    )
    await connection.execute("reset session_replication_role")
    return delivery_id


async def bounced(connection: engine.Connection) -> UUID:
    return await engine.ended(connection, "bounced")


FILTERS: dict[str, tuple[Callable[[engine.Connection], Awaitable[UUID]], str]] = {
    "--channel push": (partial(engine.insert, channel="push"), "cancel"),
    "--status failed": (partial(engine.delivery_in, status=Status.FAILED), "cancel"),
    "--with-reason bounced": (bounced, "replay"),
    "--recipient bob": (partial(engine.insert, recipient="bob"), "cancel"),
    "--tenant acme": (partial(engine.insert, tenant_id="acme"), "cancel"),
}


@pytest.mark.parametrize("given", FILTERS)
async def test_a_filter_means_what_passes_it_and_nothing_else(
    given: str, dsn: str, connection: engine.Connection
) -> None:
    make, verb = FILTERS[given]
    await engine.configure(connection)
    meant = await make(connection)
    other = await engine.insert(connection)
    cancelled = await engine.delivery_in(connection, Status.CANCELLED)
    reason = WHY if verb == "cancel" else ()

    ended = await operate(dsn, verb, *given.split(), *reason, "--json", "--actor", "ops")

    assert ended.exit_code == 0
    assert (ended.document["changed"], ended.document["ids"]) == (1, [str(meant)])
    last = (await engine.events_of(connection, meant))[-1]
    assert (last["event"].startswith(verb), last["actor"]) == (True, "ops")
    assert await engine.events_of(connection, other) == []
    assert len(await engine.events_of(connection, cancelled)) == 1


async def test_since_is_a_moment_or_a_while_ago(dsn: str, connection: engine.Connection) -> None:
    before, lately = await old(connection), await engine.insert(connection)
    an_hour_ago = (datetime.now(UTC) - timedelta(hours=1)).isoformat()

    found = [
        (await operate(dsn, "hold", "--since", since, *WHY, "--dry-run", "--json")).document["ids"]
        for since in ("2h", "4h", an_hour_ago)
    ]

    assert found == [[str(lately)], sorted([str(before), str(lately)]), [str(lately)]]


async def test_filters_together_mean_what_passes_all(
    dsn: str, connection: engine.Connection
) -> None:
    both = await engine.insert(connection, recipient="bob", tenant_id="acme")
    await engine.insert(connection, recipient="bob")
    await engine.insert(connection, tenant_id="acme")

    ended = await operate(dsn, "cancel", "--recipient", "bob", "--tenant", "acme", *WHY)

    assert (ended.exit_code, ended.stdout) == (0, f"{both}  cancelled\n")
    assert await statuses(connection) == {"pending": 2, "cancelled": 1}


async def test_a_dry_run_tells_states_and_ids_and_changes_nothing(
    dsn: str, connection: engine.Connection
) -> None:
    await engine.configure(connection)
    failed = await engine.delivery_in(connection, Status.FAILED)
    await engine.delivery_in(connection, Status.SUCCEEDED)
    await connection.execute(MANY, 150)
    before = await statuses(connection)

    people = await operate(dsn, "cancel", "--channel", "email", *WHY, "--dry-run")
    program = await operate(dsn, "cancel", "--channel", "email", *WHY, "--dry-run", "--json")

    assert people.exit_code == program.exit_code == 0
    head, first, *_, more = people.stdout.splitlines()
    assert (head, first) == ("would cancel 151: failed 1, pending 150", str(failed))
    assert more == "… and 131 more"
    assert people.stderr == "chimewayd: left out what cannot be cancelled: succeeded 1\n"
    ids = program.document["ids"]
    assert (len(ids), ids) == (100, sorted(ids))
    assert program.document == {
        "matched": 151,
        "changed": 0,
        "unchanged": 0,
        "refused": 0,
        "skipped": 1,
        "dry_run": True,
        "ids": ids,
        "by_status": {"failed": 1, "pending": 150},
    }
    assert await statuses(connection) == before


async def test_a_hundred_are_done_without_asking(dsn: str, connection: engine.Connection) -> None:
    await connection.execute(MANY, 100)

    ended = await operate(dsn, "cancel", "--channel", "email", *WHY)

    assert ended.exit_code == 0
    assert ended.stdout == "cancel: 100 matched, 100 changed, 0 unchanged, 0 refused\n"


async def test_more_than_a_hundred_want_a_yes(dsn: str, connection: engine.Connection) -> None:
    await connection.execute(MANY, 101)

    without = await operate(dsn, "cancel", "--channel", "email", *WHY)
    between = await statuses(connection)
    with_yes = await operate(dsn, "cancel", "--channel", "email", *WHY, "--yes", "--json")

    assert (without.exit_code, without.stdout, between) == (2, "", {"pending": 101})
    assert "101 deliveries match" in without.stderr
    assert "--yes" in without.stderr
    assert (with_yes.exit_code, with_yes.document["changed"]) == (0, 101)
    assert len(with_yes.document["ids"]) == 100
    assert await statuses(connection) == {"cancelled": 101}


@pytest.mark.parametrize(
    ("answer", "exit_code", "left"), [(b"y\n", 0, "cancelled"), (b"n\n", 1, "pending")]
)
async def test_a_terminal_is_asked_and_sees_the_progress_of_several_pages(
    answer: bytes, exit_code: int, left: str, dsn: str, connection: engine.Connection
) -> None:
    await connection.execute(MANY, 501)
    terminal, its_end = os.openpty()
    os.write(terminal, answer)

    with anyio.fail_after(DEADLINE_SECONDS):
        ended = await anyio.run_process(
            [str(COMMAND), "--dsn", dsn, "cancel", "--channel", "email", *WHY],
            stdin=its_end,
            stderr=its_end,
            env=clean_environment(),
            check=False,
        )
    seen = os.read(terminal, 65536).decode()
    os.close(terminal)
    os.close(its_end)

    assert ended.returncode == exit_code
    assert "cancel 501 deliveries? [y/N]" in seen
    assert ("100%" in seen) == (exit_code == 0)
    assert await statuses(connection) == {left: 501}


async def test_the_second_run_matches_nothing(dsn: str, connection: engine.Connection) -> None:
    await engine.insert(connection)
    await operate(dsn, "cancel", "--channel", "email", *WHY)

    by_state = await operate(dsn, "cancel", "--status", "pending", *WHY)
    by_channel = await operate(dsn, "cancel", "--channel", "email", *WHY, "--json")

    assert (by_state.exit_code, by_state.stdout) == (3, "")
    assert by_state.stderr == "chimewayd: nothing matched\n"
    assert by_channel.exit_code == 3
    assert (by_channel.document["matched"], by_channel.document["skipped"]) == (0, 1)
    assert by_channel.stderr == (
        "chimewayd: nothing matched: left out what cannot be cancelled: cancelled 1\n"
    )


async def test_replay_leaves_out_successes_unless_forced(
    dsn: str, connection: engine.Connection
) -> None:
    await engine.configure(connection)
    success = await engine.delivery_in(connection, Status.SUCCEEDED)
    failure = await engine.delivery_in(connection, Status.CANCELLED)

    plain = await operate(dsn, "replay", "--channel", "email")
    forced = await operate(dsn, "replay", "--channel", "email", "--force", "--json")

    assert plain.exit_code == 0
    assert plain.stdout == f"{failure}  was cancelled, is pending again\n"
    assert plain.stderr.splitlines() == [
        "chimewayd: left out what cannot be replayed: succeeded 1",
        "hint: --force sends again what has succeeded, too",
    ]
    assert (forced.document["ids"], forced.document["skipped"]) == ([str(success)], 1)
    assert await statuses(connection) == {"pending": 2}


async def test_hold_and_release_touch_what_waits(dsn: str, connection: engine.Connection) -> None:
    await engine.configure(connection)
    await engine.delivery_in(connection, Status.SUCCEEDED)
    waiting = await engine.insert(connection)

    held = await operate(dsn, "hold", "--channel", "email", *WHY)
    claimed_while_held = await engine.claim(connection)
    again = await operate(dsn, "hold", "--channel", "email", *WHY, "--json")
    released = await operate(dsn, "release", "--channel", "email")

    assert [held.stdout, released.stdout] == [f"{waiting}  held\n", f"{waiting}  released\n"]
    assert claimed_while_held == []
    assert (again.exit_code, again.document["unchanged"], again.document["skipped"]) == (0, 1, 1)
    assert [each.delivery_id for each in await engine.claim(connection)] == [waiting]
