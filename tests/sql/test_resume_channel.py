"""resume_channel: a paused channel is claimed from again, at once."""

from datetime import timedelta

import pytest
from engine import Bell, Connection, claim, configure, insert, move_clock, operate

from chimewayd.errors import DeliveryNotFound, InvalidArgument

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
async def paused_channel(unchecked: Connection) -> None:
    """Configure and pause channel email."""
    await configure(unchecked)
    await operate(unchecked, "pause_channel", "email", "relay down", "ada")


async def test_resumed_channel_is_claimed_from_and_rings(
    connection: Connection, bell: Bell
) -> None:
    await insert(connection)
    await bell.rings()
    await bell.arm()

    answer = await operate(connection, "resume_channel", "email", "ada")

    assert answer["changed"] is True
    assert await bell.rings() == 1
    assert len(await claim(connection)) == 1


async def test_resume_is_heard_by_whoever_falls_asleep_before_its_commit(
    connection: Connection, bell: Bell
) -> None:
    await insert(connection)
    await bell.ring()
    await bell.rings()

    async with connection.transaction():
        await operate(connection, "resume_channel", "email", "ada")
        await bell.arm()

    assert await bell.rings() == 1


async def test_resume_that_is_rolled_back_leaves_the_bell_armed(
    connection: Connection, bell: Bell
) -> None:
    transaction = connection.transaction()
    await transaction.start()
    await operate(connection, "resume_channel", "email", "ada")
    await transaction.rollback()

    await insert(connection)

    assert await bell.rings() == 1


async def test_resume_says_how_long_it_was_paused(connection: Connection) -> None:
    await move_clock(connection, timedelta(hours=2, seconds=0.5))

    answer = await operate(connection, "resume_channel", "email", "ada")

    assert answer["message"] == "resumed after 02:00:00"


async def test_second_resume_changes_nothing(connection: Connection) -> None:
    await operate(connection, "resume_channel", "email", "ada")

    answer = await operate(connection, "resume_channel", "email", "ada")

    assert tuple(answer) == (False, "not paused: nothing changed")


async def test_unknown_channel_is_refused(connection: Connection) -> None:
    with pytest.raises(DeliveryNotFound, match="no daemon has configured a channel fax"):
        await operate(connection, "resume_channel", "fax", "ada")


async def test_resume_wants_an_actor(connection: Connection) -> None:
    with pytest.raises(InvalidArgument, match="actor must say who"):
        await operate(connection, "resume_channel", "email", "")
