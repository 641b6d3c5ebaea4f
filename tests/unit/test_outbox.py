"""Batches between two stages."""

from collections.abc import Callable

import anyio
import pytest

from chimewayd.outbox import Outbox

pytestmark = pytest.mark.anyio


async def test_take_brings_what_came_meanwhile_in_order() -> None:
    outbox = Outbox[int]()
    outbox.put(1)
    outbox.put_all([2, 3])

    assert await outbox.take(10) == [1, 2, 3]


async def test_take_brings_no_more_than_asked_for_and_keeps_the_rest() -> None:
    outbox = Outbox[int]()
    outbox.put_all(range(5))

    assert await outbox.take(3) == [0, 1, 2]
    assert await outbox.take(3) == [3, 4]


async def test_take_beside_takes_whole_batches_and_leaves_the_rest_to_take() -> None:
    outbox = Outbox[int]()
    beside: list[list[int]] = []

    async def take_beside() -> None:
        while batch := await outbox.take_beside(2):
            beside.append(batch)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(take_beside)
        await anyio.wait_all_tasks_blocked()
        outbox.put(1)
        await anyio.wait_all_tasks_blocked()
        assert beside == []
        outbox.put_all([2, 3])
        await anyio.wait_all_tasks_blocked()
        assert await outbox.take(10) == [3]
        outbox.close()

    assert beside == [[1, 2]]


async def test_both_who_take_hear_of_an_item_and_of_the_end() -> None:
    outbox = Outbox[int]()
    taken: list[list[int]] = []

    async def take() -> None:
        taken.append(await outbox.take(10))

    async def take_beside() -> None:
        taken.append(await outbox.take_beside(10))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(take)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(take_beside)
        await anyio.wait_all_tasks_blocked()
        outbox.put(1)
        await anyio.wait_all_tasks_blocked()
        assert taken == [[1]]
        outbox.close()

    assert taken == [[1], []]


@pytest.mark.parametrize("put", [lambda box: box.put(1), lambda box: box.put_all([1])])
async def test_take_waits_for_the_first_item(put: Callable[[Outbox[int]], None]) -> None:
    outbox = Outbox[int]()
    taken: list[list[int]] = []

    async def take() -> None:
        taken.append(await outbox.take(10))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(take)
        await anyio.wait_all_tasks_blocked()
        outbox.put_all([])
        await anyio.wait_all_tasks_blocked()
        assert taken == []
        put(outbox)

    assert taken == [[1]]


async def test_closed_outbox_hands_out_the_rest_and_then_nothing() -> None:
    outbox = Outbox[int]()
    outbox.put_all([1, 2])
    outbox.close()

    assert await outbox.take(1) == [1]
    assert await outbox.take(1) == [2]
    assert await outbox.take(1) == []
    assert await outbox.take(1) == []


async def test_closing_ends_a_take_that_waits() -> None:
    outbox = Outbox[int]()
    taken: list[list[int]] = []

    async def take() -> None:
        taken.append(await outbox.take(10))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(take)
        await anyio.wait_all_tasks_blocked()
        outbox.close()

    assert taken == [[]]


async def test_cancelled_take_loses_nothing() -> None:
    outbox = Outbox[int]()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(outbox.take, 10)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    outbox.put(1)

    assert await outbox.take(10) == [1]


async def test_take_now_brings_what_is_there_and_waits_for_nothing() -> None:
    outbox = Outbox[int]()
    outbox.put_all(range(3))

    assert outbox.take_now(2) == [0, 1]
    assert outbox.take_now(2) == [2]
    assert outbox.take_now(2) == []
