"""What a claim under way may bring counts as in hand, so that two may be under way."""

import anyio
import pytest
from deliveries import PLENTY, deliveries

from chimewayd.slots import Slots

pytestmark = pytest.mark.anyio


def test_claim_under_way_leaves_no_room_for_what_it_may_bring() -> None:
    slots = Slots(10, {"mail": 4, "hooks": 10}, PLENTY)
    asked = slots.room()

    with slots.expecting(asked, is_beside=False):
        assert not slots.has_room
        assert slots.room()[:2] == ({}, 0)
        assert not slots.room().takes_suspect

    assert slots.room() == asked


def test_claim_that_was_passed_over_for_another_is_told_when_that_one_ends() -> None:
    woken: list[str] = []
    slots = Slots(10, {"mail": 10}, PLENTY)
    slots.when_room(lambda: woken.append("room"))

    with slots.expecting(slots.room(), is_beside=False):
        pass
    assert woken == []
    with slots.expecting(slots.room(), is_beside=True):
        pass
    assert woken == ["room"]


async def test_wait_for_room_may_be_for_a_whole_batch() -> None:
    slots = Slots(10, {"mail": 10}, PLENTY)
    slots.take(batch := deliveries(12, "mail"))
    slots.queue(batch)
    said: list[str] = []

    async def wait() -> None:
        await slots.wait_for_room(10)
        said.append("room")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        said.append("too little")
        done = [one for one in (slots.next(), slots.next()) if one]
        for one in done:
            slots.finish(one)
        slots.free(done)

    assert said == ["too little", "room"]
