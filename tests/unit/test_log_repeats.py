"""Warnings that repeat: a few are said, the others are counted, and none is forgotten."""

import io
import logging
from collections.abc import Iterator

import pytest
import structlog
from loglines import lines, restored_logging, started

from chimewayd import log
from chimewayd.log import Event
from chimewayd.log_repeats import BURST, MOST_KINDS, PERIOD_SECONDS, HeldBack, Repeats


class Clock:
    """Stands until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    monkeypatch.setattr("chimewayd.log_repeats.Repeats.__init__.__defaults__", ((), clock))
    with restored_logging():
        yield clock


def warn(times: int, event: Event = Event.LISTENER_LOST, **fields: object) -> None:
    for _ in range(times):
        structlog.get_logger().warning(event, **fields)


def test_first_few_are_said_and_the_next_after_a_while_says_how_many_were_not(
    clock: Clock,
) -> None:
    out = started()

    warn(BURST + 7)
    clock.now += PERIOD_SECONDS
    warn(1)

    said = lines(out)
    assert len(said) == BURST + 1
    assert [line.get("held_back") for line in said] == [None] * BURST + [7]
    assert log.lines_held_back() == 7


def test_what_was_held_back_is_said_where_none_follows(clock: Clock) -> None:
    out = started()

    warn(BURST + 3, channel="hooks")
    log.say_left_out()
    early = lines(out)
    clock.now += PERIOD_SECONDS
    log.say_left_out()
    log.say_left_out()

    assert len(early) == BURST
    [last] = lines(out)[BURST:]
    assert (last["event"], last["of"]) == ("lines_held_back", "listener_lost")
    assert (last["about"], last["count"]) == ("hooks", 3)


@pytest.mark.usefixtures("clock")
def test_each_channel_and_each_logger_is_a_kind_of_its_own() -> None:
    out = started()

    warn(BURST + 1, channel="a")
    warn(BURST + 1, channel="b")
    for _ in range(BURST + 1):
        logging.getLogger("one").warning("again")
        logging.getLogger("two").warning("again")

    assert len(lines(out)) == 4 * BURST


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("fmt", ["json", "console"])
def test_lines_of_deliveries_are_never_held_back(fmt: str) -> None:
    out = started(fmt)

    log.emit_many("warning", Event.ATTEMPT_RECORDED, [{"attempt": n} for n in range(100)])
    for _ in range(100):
        structlog.get_logger().info(Event.DELIVERY_ENDED)

    assert len(out.getvalue().splitlines()) == 200


def test_second_set_up_goes_on_counting(clock: Clock) -> None:
    out = io.BytesIO()
    started(out=out)
    warn(BURST + 1)

    started(out=out)
    warn(1)
    clock.now += PERIOD_SECONDS
    log.say_left_out()

    assert lines(out)[-1]["count"] == 2


def test_kinds_are_bounded(clock: Clock) -> None:
    repeats = Repeats((), clock)
    logger = object()

    for n in range(2 * MOST_KINDS):
        repeats(logger, "warning", {"event": "e", "channel": str(n)})

    assert len(repeats._kinds) == MOST_KINDS
    assert repeats.take_unsaid() == []
    assert HeldBack("e", None, 1).count == 1
