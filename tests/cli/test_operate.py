"""The operator's commands, on deliveries named by id and on channels."""

import getpass
from uuid import UUID, uuid4

import engine
import pytest
from click.testing import CliRunner
from commands import Ended, chimewayd

from chimewayd import cli
from chimewayd.models import Status

pytestmark = pytest.mark.anyio

WHY = ("--reason", "no longer wanted")
SOME_ID = UUID("0199c2a4-7e11-7abc-9def-0123456789ab")


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

    assert (ended.exit_code, ended.stdout, ended.stderr) == (0, f"{end}\n", "")
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

    ended = await operate(dsn, "cancel", delivery_id, *WHY)

    assert ended.exit_code == 0
    assert ended.stdout == "already succeeded: nothing changed\n"


async def test_a_document_counts_and_names_the_deliveries(
    dsn: str, connection: engine.Connection
) -> None:
    await engine.configure(connection)
    done = await engine.delivery_in(connection, Status.SUCCEEDED)
    waiting = await engine.insert(connection)

    ended = await operate(dsn, "cancel", done, waiting, waiting, *WHY, "--json")

    assert ended.exit_code == 0
    assert ended.document == {
        "matched": 2,
        "changed": 1,
        "unchanged": 1,
        "refused": 0,
        "skipped": 0,
        "dry_run": False,
        "ids": sorted([str(done), str(waiting)]),
    }


async def test_a_transition_that_is_not_allowed_is_1_and_names_both_states(
    dsn: str, connection: engine.Connection
) -> None:
    await engine.configure(connection)
    delivery_id = await engine.delivery_in(connection, Status.SUCCEEDED)

    ended = await operate(dsn, "hold", delivery_id, *WHY)

    assert (ended.exit_code, ended.stdout) == (1, "")
    assert "from succeeded to held" in ended.stderr


async def test_a_success_is_replayed_with_force_only(
    dsn: str, connection: engine.Connection
) -> None:
    await engine.configure(connection)
    delivery_id = await engine.delivery_in(connection, Status.SUCCEEDED)

    refused = await operate(dsn, "replay", delivery_id)
    status_between = (await engine.look(connection, delivery_id))["status"]
    forced = await operate(dsn, "replay", delivery_id, "--force")

    assert (refused.exit_code, status_between) == (1, "succeeded")
    assert refused.stderr.splitlines()[1:] == ["hint: --force sends again what has succeeded, too"]
    assert (forced.exit_code, forced.stdout) == (0, "was succeeded, is pending again\n")
    assert (await engine.look(connection, delivery_id))["status"] == "pending"


async def test_one_that_refuses_and_one_that_is_unknown_do_not_stop_the_others(
    dsn: str, connection: engine.Connection
) -> None:
    await engine.configure(connection)
    refusing = await engine.delivery_in(connection, Status.SUCCEEDED)
    waiting = [await engine.insert(connection) for _ in range(3)]

    ended = await operate(dsn, "hold", waiting[0], refusing, SOME_ID, *waiting[1:], *WHY)

    assert ended.exit_code == 1
    assert ended.stdout.splitlines() == [f"{each}  held" for each in sorted(waiting)]
    unknown, refused = ended.stderr.splitlines()
    assert unknown == f"chimewayd: there is no delivery {SOME_ID}"
    assert refused.startswith(f"chimewayd: delivery {refusing} cannot move from succeeded to held")


@pytest.mark.parametrize(
    "arguments",
    [("cancel", SOME_ID, *WHY), ("cancel", SOME_ID, *WHY, "--dry-run"), ("replay", SOME_ID)],
    ids=["cancel", "dry-run", "replay"],
)
async def test_a_delivery_that_does_not_exist_is_3(arguments: tuple[object, ...], dsn: str) -> None:
    ended = await operate(dsn, *arguments)

    assert (ended.exit_code, ended.stdout) == (3, "")
    assert ended.stderr == f"chimewayd: nothing matched: there is no delivery {SOME_ID}\n"


async def test_a_channel_that_does_not_exist_is_3(dsn: str) -> None:
    ended = await operate(dsn, "pause", "nowhere", *WHY)

    assert ended.exit_code == 3


async def test_another_tenants_delivery_does_not_exist(
    dsn: str, connection: engine.Connection
) -> None:
    theirs = await engine.insert(connection, tenant_id="acme")
    nobodys = await engine.insert(connection)
    ours = await engine.insert(connection, tenant_id="ours")

    alone = await operate(dsn, "cancel", theirs, *WHY, "--tenant", "ours", "--json")
    mixed = await operate(dsn, "cancel", theirs, nobodys, ours, *WHY, "--tenant", "ours")

    assert (alone.exit_code, alone.document["matched"]) == (3, 0)
    assert alone.stderr.startswith("chimewayd: nothing matched: ")
    assert (mixed.exit_code, mixed.stdout) == (1, f"{ours}  cancelled\n")
    assert [
        (await engine.look(connection, each))["status"] for each in (theirs, nobodys, ours)
    ] == [*("pending", "pending", "cancelled")]


async def test_a_dry_run_of_ids_changes_nothing(dsn: str, connection: engine.Connection) -> None:
    await engine.configure(connection)
    done = await engine.delivery_in(connection, Status.SUCCEEDED)
    waiting = await engine.insert(connection)

    ended = await operate(dsn, "cancel", done, waiting, *WHY, "--dry-run")

    assert ended.exit_code == 0
    assert ended.stdout.splitlines() == ["would cancel 1: pending 1", str(waiting)]
    assert ended.stderr == "chimewayd: left out what cannot be cancelled: succeeded 1\n"
    assert (await engine.look(connection, waiting))["status"] == "pending"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("cancel", SOME_ID), "--reason"),
        (("cancel", SOME_ID, "--reason", " "), "--reason"),
        (("cancel", SOME_ID, *WHY, "--actor", " "), "--actor"),
        (("cancel", "7", *WHY), "'7' is not a valid UUID"),
        (("cancel", *WHY), "say which deliveries"),
        (("cancel", SOME_ID, "--channel", "email", *WHY), "either IDs or filters"),
        (("replay", "--status", "ended"), "--status"),
        (("replay", "--since", "yesterday"), "--since"),
        (("replay", "--since", "2030-01-31T09:00"), "offset from UTC"),
        (("replay", "--since", "9999999d"), "--since"),
        (("hold", "--force", SOME_ID, *WHY), "--force"),
        (("pause", "email", *WHY, "--actor", ""), "--actor"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_wrong_usage_is_2_and_says_what_is_wrong(arguments: tuple[object, ...], named: str) -> None:
    ended = CliRunner().invoke(cli.chimewayd, list(map(str, arguments)))

    assert (ended.exit_code, ended.stdout) == (2, "")
    assert named in ended.stderr.splitlines()[-1]


async def test_an_actor_that_is_too_long_is_2(dsn: str) -> None:
    ended = await operate(dsn, "cancel", uuid4(), *WHY, "--actor", "x" * 256)

    assert ended.exit_code == 2
    assert "actor must say who asks for it" in ended.stderr
