"""What may be claimed and started next, given what is in hand."""

import anyio
import pytest
from deliveries import PLENTY, deliveries
from hypothesis import given
from hypothesis import strategies as st

from chimewayd.models import Delivery
from chimewayd.slots import CLAIM_LIMIT, LARGEST_BYTES, Slots

pytestmark = pytest.mark.anyio


def take(slots: Slots, *batches: list[Delivery]) -> None:
    for batch in batches:
        slots.take(batch)
        slots.queue(batch)


def start_all(slots: Slots) -> list[Delivery]:
    return list(iter(slots.next, None))


def test_room_is_twice_what_may_run() -> None:
    slots = Slots(10, {"mail": 3, "hooks": 4}, PLENTY)

    rooms, limit, _ = slots.room()

    assert rooms == {"mail": 6, "hooks": 8}
    assert limit == 20


def test_room_is_never_more_than_one_claim_may_bring() -> None:
    slots = Slots(10_000, {"mail": 10_000}, PLENTY)

    _, limit, _ = slots.room()

    assert limit == CLAIM_LIMIT


def test_channel_cannot_run_more_than_all_may() -> None:
    slots = Slots(2, {"mail": 50}, PLENTY)

    rooms, *_ = slots.room()

    assert rooms == {"mail": 4}


def test_channels_take_turns_at_the_front_of_the_claim() -> None:
    slots = Slots(10, {"mail": 1, "hooks": 1, "log": 1}, PLENTY)

    firsts = {next(iter(slots.room()[0])) for _ in range(3)}

    assert firsts == {"mail", "hooks", "log"}


def test_room_passes_over_a_channel_that_is_almost_full() -> None:
    slots = Slots(20, {"mail": 4, "hooks": 4}, PLENTY)
    take(slots, deliveries(7, "mail"))

    rooms, limit, _ = slots.room()

    assert rooms == {"hooks": 8}
    assert limit == 33


def test_next_starts_no_more_of_a_channel_than_its_limit() -> None:
    slots = Slots(10, {"mail": 2, "hooks": 3}, PLENTY)
    take(slots, deliveries(4, "mail"), deliveries(4, "hooks"))

    started = start_all(slots)

    assert sorted(d.channel for d in started) == ["hooks"] * 3 + ["mail"] * 2


def test_next_starts_no_more_than_the_concurrency() -> None:
    slots = Slots(3, {"mail": 3, "hooks": 3}, PLENTY)
    take(slots, deliveries(3, "mail"), deliveries(3, "hooks"))

    assert len(start_all(slots)) == 3


def test_next_lets_channels_take_turns() -> None:
    slots = Slots(4, {"mail": 4, "hooks": 4}, PLENTY)
    take(slots, deliveries(8, "mail"), deliveries(8, "hooks"))

    started = start_all(slots)

    assert sorted(d.channel for d in started) == ["hooks", "hooks", "mail", "mail"]


def test_next_keeps_the_order_of_a_channel() -> None:
    slots = Slots(4, {"mail": 4}, PLENTY)
    batch = deliveries(4, "mail")
    take(slots, batch)

    assert start_all(slots) == batch


def test_finished_call_lets_the_next_one_start() -> None:
    slots = Slots(1, {"mail": 1}, PLENTY)
    first, second = batch = deliveries(2, "mail")
    take(slots, batch)
    assert start_all(slots) == [first]

    slots.finish(first)

    assert start_all(slots) == [second]


def end(slots: Slots, count: int) -> list[Delivery]:
    """Start and end so many calls; their outcomes are still in hand."""
    ended = []
    for _ in range(count):
        ended.append(started := slots.next())
        assert started is not None
        slots.finish(started)
    return [delivery for delivery in ended if delivery]


def test_half_of_what_waits_is_called_before_there_is_room_again() -> None:
    slots = Slots(4, {"mail": 4}, PLENTY)
    take(slots, deliveries(8, "mail"))

    said = []
    for _ in range(4):
        end(slots, 1)
        said.append(slots.has_room)

    assert said == [False, True, True, True]
    assert slots.room()[:2] == ({"mail": 4}, 4)


def test_outcomes_that_are_not_recorded_leave_no_room_for_more_than_two_batches() -> None:
    slots = Slots(2, {"mail": 2}, PLENTY)
    take(slots, deliveries(4, "mail"))
    first = end(slots, 4)
    assert slots.room()[:2] == ({"mail": 4}, 4)
    take(slots, deliveries(4, "mail"))
    end(slots, 4)
    assert not slots.has_room

    slots.free(first[:1])

    assert slots.room()[:2] == ({"mail": 1}, 1)


def test_given_up_deliveries_are_those_that_were_not_started() -> None:
    slots = Slots(2, {"mail": 2, "hooks": 2}, PLENTY)
    batch = deliveries(4, "mail")
    take(slots, batch, hooks := deliveries(1, "hooks"))
    started = start_all(slots)

    given_up = slots.give_up_waiting()

    assert sorted(given_up + started) == sorted(batch + hooks)
    assert start_all(slots) == []
    assert slots.in_hand == 5


def test_channel_that_hangs_leaves_room_for_another() -> None:
    slots = Slots(10, {"hangs": 6, "mail": 6}, PLENTY)
    take(slots, deliveries(12, "hangs"))
    start_all(slots)

    assert slots.has_room
    assert slots.room()[:2] == ({"mail": 12}, 8)


def test_channel_has_no_room_while_others_use_all_the_concurrency() -> None:
    slots = Slots(4, {"hangs": 4, "mail": 4}, PLENTY)
    take(slots, deliveries(7, "hangs"))
    start_all(slots)

    assert not slots.has_room


def test_claim_is_woken_when_a_full_channel_may_be_refilled() -> None:
    woken = []
    slots = Slots(10, {"mail": 2, "hooks": 2}, PLENTY)
    slots.when_room(lambda: woken.append(slots.in_hand))
    take(slots, deliveries(4, "mail"))

    end(slots, 4)

    assert woken == [4]


@pytest.mark.parametrize("last_step", ["a call ends", "an outcome is recorded"])
async def test_wait_for_room_ends_with(last_step: str) -> None:
    slots = Slots(2, {"mail": 2}, PLENTY)
    take(slots, deliveries(4, "mail"))
    ended: list[Delivery] = []
    if last_step == "an outcome is recorded":
        ended = end(slots, 4)
        take(slots, deliveries(4, "mail"))
        end(slots, 4)
    said: list[str] = []

    async def wait() -> None:
        await slots.wait_for_room()
        said.append("room")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        said.append("full")
        if ended:
            slots.free(ended[:1])
        else:
            end(slots, 1)

    assert said == ["full", "room"]


def test_budget_that_is_used_up_leaves_no_room_until_something_is_recorded() -> None:
    slots = Slots(10, {"mail": 10}, 3_000)
    batch = deliveries(4, "mail", payload_json="x" * 1_000)
    take(slots, batch)
    ended = end(slots, 4)
    said = [slots.has_room]

    slots.free(ended[:2])

    said.append(slots.has_room)
    assert said == [False, True]
    assert slots.room()[:2] == ({"mail": 20}, 1)


def test_claim_reckons_with_payloads_as_large_as_those_of_the_one_before() -> None:
    slots = Slots(10, {"mail": 10}, 10 * LARGEST_BYTES)
    assert slots.room()[:2] == ({"mail": 20}, 10)

    take(slots, small := deliveries(2, "mail"))
    assert slots.room()[:2] == ({"mail": 18}, 18)

    slots.free(end(slots, len(small)))
    take(slots, deliveries(1, "mail", payload_json="x" * (4 * LARGEST_BYTES)))
    assert slots.room()[:2] == ({"mail": 19}, 1)


def test_one_suspect_is_in_hand_at_a_time() -> None:
    woken = []
    slots = Slots(10, {"mail": 10}, PLENTY)
    slots.when_room(lambda: woken.append(slots.room().takes_suspect))
    assert slots.room().takes_suspect
    take(slots, deliveries(1, "mail", lost_count=1))
    assert slots.room().takes_suspect

    take(slots, suspects := deliveries(1, "mail", lost_count=2))
    said = slots.room().takes_suspect
    end(slots, 2)
    slots.free(suspects)

    assert (said, woken) == (False, [True])


LIMITS = {"mail": 1, "hooks": 3, "log": 7}
STEPS = ["claim", "start", "start", "end", "end", "record"]


@given(
    concurrency=st.integers(1, 8),
    steps=st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 99)), max_size=200),
)
def test_limits_hold_and_nothing_is_lost_or_doubled(
    concurrency: int, steps: list[tuple[str, int]]
) -> None:
    slots = Slots(concurrency, LIMITS, PLENTY)
    taken: list[Delivery] = []
    started: list[Delivery] = []
    running: list[Delivery] = []
    ended: list[Delivery] = []

    for step, pick in steps:
        if step == "claim" and slots.has_room:
            rooms, limit, _ = slots.room()
            batch = [d for name, room in rooms.items() for d in deliveries(room, name)][:limit]
            assert batch, "room was promised"
            take(slots, batch)
            taken += batch
        elif step == "start" and (delivery := slots.next()):
            started.append(delivery)
            running.append(delivery)
        elif step == "end" and running:
            ended.append(running.pop(pick % len(running)))
            slots.finish(ended[-1])
        elif step == "record" and ended:
            slots.free([ended.pop(pick % len(ended))])
        assert len(running) <= concurrency
        assert all(sum(d.channel == name for d in running) <= LIMITS[name] for name in LIMITS)
        assert slots.in_hand <= 4 * concurrency

    assert sorted(started + slots.give_up_waiting()) == sorted(taken)
