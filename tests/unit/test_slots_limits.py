"""Slots of channels with a limit beside their concurrency: what may wait in hand."""

from deliveries import PLENTY, deliveries

from chimewayd.slots import Slots


def test_nothing_waits_in_hand_on_a_channel_with_a_rate() -> None:
    slots = Slots(10, {"mail": 4}, PLENTY, rated=["mail"])
    assert slots.room().channels == {"mail": 4}
    batch = deliveries(4, "mail")
    slots.take(batch)
    slots.queue(batch)
    assert slots.room().channels == {}

    for _ in range(2):
        started = slots.next()
        assert started is not None
        slots.finish(started)

    assert slots.room().channels == {"mail": 2}


def test_host_that_is_busy_keeps_its_calls_and_the_rest_goes_back() -> None:
    slots = Slots(10, {"hooks": 10}, PLENTY, host_limits={"hooks": 2})
    slow = deliveries(6, recipient="https://slow.example/")
    fast = deliveries(2, recipient="https://fast.example/")
    slots.take(slow + fast)

    slots.queue(slow + fast)
    started = list(iter(slots.next, None))

    assert started == slow[:2] + fast
    assert (slots.waiting, slots.in_hand) == (0, 8)
    assert slots.room().limit == 16


def test_call_that_ends_lets_the_next_of_its_host_begin() -> None:
    slots = Slots(10, {"hooks": 10}, PLENTY, host_limits={"hooks": 1})
    slow = deliveries(2, recipient="https://slow.example/")
    slots.take(slow)
    slots.queue(slow)
    assert slots.next() == slow[0]
    assert slots.next() is None

    slots.finish(slow[0])

    assert slots.waiting == 1
    assert slots.next() == slow[1]


def test_what_waits_for_its_host_is_given_up_as_well() -> None:
    slots = Slots(10, {"hooks": 10}, PLENTY, host_limits={"hooks": 2})
    slow = deliveries(4, recipient="https://slow.example/")
    slots.take(slow)
    slots.queue(slow)
    slots.next()

    assert slots.give_up_waiting() == slow[1:]
    assert (slots.waiting, slots.next()) == (0, None)
    slots.free(slow[1:])
    slots.finish(slow[0])
    slots.free(slow[:1])
    assert slots.room().limit == 20


def test_limit_of_hosts_that_is_taken_away_lets_everything_begin() -> None:
    slots = Slots(10, {"hooks": 10}, PLENTY, host_limits={"hooks": 1})
    slow = deliveries(2, recipient="https://slow.example/")
    slots.take(slow)
    slots.queue(slow)

    slots.configure(10, {"hooks": 10}, PLENTY, [], {})

    assert list(iter(slots.next, None)) == slow


def test_limit_of_hosts_that_comes_later_counts_only_calls_that_begin_under_it() -> None:
    slots = Slots(10, {"hooks": 10}, PLENTY)
    before = deliveries(3, recipient="https://slow.example/")
    slots.take(before)
    slots.queue(before)
    for _ in before:
        slots.next()

    slots.configure(10, {"hooks": 10}, PLENTY, [], {"hooks": 1})
    after = deliveries(2, recipient="https://slow.example/")
    slots.take(after)
    slots.queue(after)
    for delivery in before:
        slots.finish(delivery)

    assert list(iter(slots.next, None)) == after[:1]


def test_limit_of_hosts_that_comes_later_is_not_loosened_by_those_that_waited_before() -> None:
    slots = Slots(10, {"hooks": 10}, PLENTY)
    before = deliveries(2, recipient="https://slow.example/")
    slots.take(before)
    slots.queue(before)

    slots.configure(10, {"hooks": 10}, PLENTY, [], {"hooks": 1})
    after = deliveries(3, recipient="https://slow.example/")
    slots.take(after)
    slots.queue(after)
    assert list(iter(slots.next, None)) == [*before, after[0]]
    for delivery in before:
        slots.finish(delivery)

    assert slots.next() is None
    slots.finish(after[0])
    assert list(iter(slots.next, None)) == after[1:2]


def test_delivery_that_is_called_again_during_its_first_call_gives_back_both_calls() -> None:
    slots = Slots(10, {"hooks": 10}, PLENTY, host_limits={"hooks": 2})
    (first,) = deliveries(1, recipient="https://slow.example/", claim_id=1)
    again = first._replace(claim_id=2, attempt_number=2)  # its lease was lost and rescued
    for one in (first, again):
        slots.take([one])
        slots.queue([one])
        assert slots.next() is one

    for one in (first, again):
        slots.finish(one)
    others = deliveries(2, recipient="https://slow.example/")
    slots.take(others)
    slots.queue(others)

    assert [slots.next(), slots.next()] == others


def test_no_more_is_claimed_of_a_rate_while_others_have_the_slots_that_its_calls_wait_for() -> None:
    """Else each gap would bring one more, and all of them begin in one moment."""
    slots = Slots(2, {"bulk": 2, "sms": 2}, PLENTY, rated=["sms"])
    bulk, sms = deliveries(2, "bulk"), deliveries(1, "sms")
    for batch in (bulk, sms):
        slots.take(batch)
        slots.queue(batch)
    rings: list[str] = []
    slots.when_room(lambda: rings.append("rung"))
    assert [slots.next(), slots.next()] == [bulk[0], sms[0]]
    slots.finish(sms[0])
    assert slots.next() == bulk[1]
    more = deliveries(1, "sms")
    slots.take(more)
    slots.queue(more)
    assert "sms" not in slots.room().channels
    rings.clear()

    slots.finish(bulk[0])
    assert slots.next() == more[0]

    assert rings == ["rung"]
    assert slots.room().channels["sms"] == 1
