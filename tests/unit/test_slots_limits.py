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
