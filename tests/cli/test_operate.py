"""The operator's commands: each does what the SQL function of its name does."""

import getpass
from uuid import uuid4

import engine
import pytest
from commands import Ended, chimewayd

from chimewayd.models import Status

pytestmark = pytest.mark.anyio

WHY = ("--reason", "no longer wanted")


async def operate(dsn: str, *arguments: object) -> Ended:
    return await chimewayd("--dsn", dsn, *map(str, arguments))


@pytest.mark.parametrize(
    ("verb", "begin", "end"),
    [
        ("cancel", Status.PENDING, Status.CANCELLED),
        ("suppress", Status.FAILED, Status.SUPPRESSED),
    ],
)
async def test_an_ending_is_recorded_with_reason_and_actor(
    verb: str, begin: Status, end: Status, dsn: str, connection: engine.Connection
) -> None:
    await engine.configure(connection)
    delivery_id = await engine.delivery_in(connection, begin)

    ended = await operate(dsn, verb, delivery_id, *WHY, "--actor", "ops")

    assert (ended.exit_code, ended.stdout) == (0, f"{end}\n")
    row = await engine.look(connection, delivery_id)
    assert (row["status"], row["suppression_reason"]) == (end, "no longer wanted")
    (event,) = await engine.events_of(connection, delivery_id)
    assert (event["event"], event["actor"]) == (end, "ops")


async def test_the_actor_is_the_account_unless_given(
    dsn: str, connection: engine.Connection
) -> None:
    delivery_id = await engine.insert(connection)

    await operate(dsn, "hold", delivery_id, *WHY)

    (event,) = await engine.events_of(connection, delivery_id)
    assert event["actor"] == getpass.getuser()


async def test_hold_and_release_and_replay(dsn: str, connection: engine.Connection) -> None:
    await engine.configure(connection)
    waiting = await engine.insert(connection)
    finished = await engine.delivery_in(connection, Status.CANCELLED)

    held = await operate(dsn, "hold", waiting, *WHY)
    claimed_while_held = await engine.claim(connection)
    released = await operate(dsn, "release", waiting)
    replayed = await operate(dsn, "replay", finished)

    assert [held.exit_code, released.exit_code, replayed.exit_code] == [0, 0, 0]
    assert claimed_while_held == []
    claimed = await engine.claim(connection)
    assert {delivery.delivery_id for delivery in claimed} == {waiting, finished}


async def test_pause_and_resume_a_channel(dsn: str, connection: engine.Connection) -> None:
    await engine.configure(connection)
    paused = "select paused_at is not null from chimeway.channels where name = 'email'"

    first = await operate(dsn, "pause", "email", *WHY)
    paused_between = await connection.fetchval(paused)
    second = await operate(dsn, "resume", "email", "--json")

    assert (first.exit_code, first.stdout) == (0, "paused\n")
    assert paused_between
    assert second.document["changed"] is True
    assert not await connection.fetchval(paused)


async def test_what_is_terminal_stays_and_the_answer_says_so(
    dsn: str, connection: engine.Connection
) -> None:
    await engine.configure(connection)
    delivery_id = await engine.delivery_in(connection, Status.SUCCEEDED)

    ended = await operate(dsn, "cancel", delivery_id, *WHY, "--json")

    assert ended.exit_code == 0
    assert ended.document == {
        "changed": False,
        "status": "succeeded",
        "message": "already succeeded: nothing changed",
    }


async def test_a_transition_that_is_not_allowed_is_1_and_names_both_states(
    dsn: str, connection: engine.Connection
) -> None:
    await engine.configure(connection)
    delivery_id = await engine.delivery_in(connection, Status.SUCCEEDED)

    ended = await operate(dsn, "hold", delivery_id, *WHY)

    assert ended.exit_code == 1
    assert "from succeeded to held" in ended.stderr


@pytest.mark.parametrize(
    "arguments",
    [("cancel", uuid4(), *WHY), ("replay", uuid4()), ("pause", "nowhere", *WHY)],
    ids=["cancel", "replay", "pause"],
)
async def test_what_does_not_exist_is_3(arguments: tuple[object, ...], dsn: str) -> None:
    ended = await operate(dsn, *arguments)

    assert ended.exit_code == 3


async def test_a_reason_is_asked_for(dsn: str) -> None:
    missing = await operate(dsn, "cancel", uuid4())
    empty = await operate(dsn, "cancel", uuid4(), "--reason", "")

    assert missing.exit_code == empty.exit_code == 2
    assert "--reason" in missing.stderr
    assert "reason must say why" in empty.stderr
