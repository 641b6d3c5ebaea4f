"""What a daemon makes of breakers that it hears of: what counts, and what it says."""

from datetime import UTC, datetime, timedelta

from deliveries import deliveries
from structlog.testing import capture_logs

from chimewayd.breakers import Breakers
from chimewayd.config_channel import BreakerPolicy
from chimewayd.models import OpenBreaker, Outcome, Report, Succeeded, Temporary

OPENED_AT = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = BreakerPolicy(failure_ratio=0.5, min_calls=10)


def opened(at: datetime = OPENED_AT) -> OpenBreaker:
    return OpenBreaker("hooks", at, "one", "down", at + timedelta(seconds=30), 0)


def calls(count: int, outcome: Outcome) -> list[Report]:
    return [Report(one, outcome, 0.0, 0.0) for one in deliveries(count)]


def watched() -> tuple[Breakers, list[str]]:
    """Return breakers of channel hooks, and the channels whose deliveries went back."""
    given_back: list[str] = []
    breakers = Breakers({"hooks": POLICY}, lambda channel, _: given_back.append(channel))
    return breakers, given_back


def test_failures_from_before_it_opened_do_not_stop_the_channel_again() -> None:
    breakers, _ = watched()
    assert breakers.judge(calls(9, Temporary()), 0) == {}
    breakers.note([opened()])
    assert breakers.judge(calls(9, Temporary()), 1) == {}

    breakers.note([])

    assert breakers.judge(calls(1, Succeeded()), 2) == {}
    assert breakers.judge(calls(9, Temporary()), 3).keys() == {"hooks"}


def test_call_that_worked_on_a_stopped_channel_is_reason_to_look() -> None:
    breakers, _ = watched()
    assert not breakers.may_have_closed(calls(1, Succeeded()))

    breakers.note([opened()])

    assert breakers.may_have_closed(calls(1, Succeeded()))
    assert not breakers.may_have_closed(calls(1, Temporary()))


def test_breaker_that_opened_anew_between_two_looks_is_told_and_gives_back() -> None:
    breakers, given_back = watched()
    breakers.note([opened()])

    with capture_logs() as lines:
        breakers.note([opened(OPENED_AT + timedelta(seconds=5))])

    assert [line["event"] for line in lines] == ["breaker_opened"]
    assert given_back == ["hooks", "hooks"]


def test_breaker_of_a_channel_that_a_reload_took_away_is_not_said_to_have_closed() -> None:
    breakers, _ = watched()
    breakers.note([opened()])

    with capture_logs() as lines:
        breakers.configure({})
        breakers.note([])

    assert lines == []
