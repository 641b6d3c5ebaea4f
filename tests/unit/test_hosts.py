"""Hosts: who may begin, who waits in line, and who goes back for how long."""

from itertools import pairwise

import pytest
from deliveries import delivery

from chimewayd.hosts import KNOWN_HOSTS, LONGEST_DEFERRAL_SECONDS, Hosts, host_of
from chimewayd.models import Delivery, Unsent
from chimewayd.state import share

SLOW, FAST = "https://slow.example/hook", "https://fast.example/hook"


def to(url: str) -> Delivery:
    return delivery(recipient=url)


def waits(hosts: Hosts, count: int, now: float) -> list[float]:
    """Admit so many for the slow host; return the waits of those that go back."""
    places = [hosts.admit(to(SLOW), now) for _ in range(count)]
    return [
        place.wait.total_seconds() for place in places if isinstance(place, Unsent) and place.wait
    ]


def busy(hosts: Hosts, now: float) -> list[Delivery]:
    """Begin as many calls of the slow host as there may be."""
    calls = [to(SLOW) for _ in range(hosts.limit)]
    for call in calls:
        assert hosts.admit(call, now) is True
        hosts.start(call, now)
    return calls


@pytest.mark.parametrize(
    ("recipient", "host"),
    [
        ("https://Shop.Example/a?b", "shop.example"),
        ("https://u:p@shop.example:8443/", "shop.example"),
        ("http://[2001:db8::1]/", "2001:db8::1"),
        ("http://[broken/", "http://[broken/"),
        ("ada@Example.org", "example.org"),
        ("Ada <ada@example.org>", "example.org"),
        ("+4912345", "+4912345"),
        ("", ""),
    ],
)
def test_host_is_what_recipients_share(recipient: str, host: str) -> None:
    assert host_of(recipient) == host


def test_host_has_no_more_calls_than_its_limit_and_as_many_wait_in_line() -> None:
    hosts = Hosts(2)
    busy(hosts, 0)

    places = [hosts.admit(to(SLOW), 10) for _ in range(3)]

    assert places[:2] == [False, False]
    assert isinstance(places[2], Unsent)
    assert places[2].reason.startswith("host_concurrency: its host has all of its 2 calls")


def test_host_without_a_pace_is_trusted_until_it_shows_one() -> None:
    hosts = Hosts(2)
    busy(hosts, 0)
    assert waits(hosts, 50, 0) == []

    assert hosts.shed(0.001) == []
    shed = hosts.shed(0.2)

    assert len(shed) == 48
    assert hosts.shed(0.2) == []


def test_first_in_line_are_the_last_to_be_sent_away() -> None:
    hosts = Hosts(1)
    busy(hosts, 0)
    in_line = [to(SLOW) for _ in range(4)]
    for following in in_line:
        hosts.admit(following, 0)

    assert [unsent.delivery for unsent in hosts.shed(1)] == in_line[1:]


def test_other_hosts_are_not_concerned() -> None:
    hosts = Hosts(1)
    waits(hosts, 50, 0)

    assert hosts.admit(to(FAST), 0) is True


def test_call_that_ends_lets_the_first_in_line_begin() -> None:
    hosts = Hosts(1)
    (call,) = busy(hosts, 0)
    following = to(SLOW)
    assert hosts.admit(following, 0) is False

    assert hosts.finish(call, 1) == following
    hosts.start(following, 1)
    assert hosts.finish(following, 1) is None
    assert hosts.admit(to(SLOW), 1) is True


def test_call_that_was_not_made_says_nothing_of_the_pace() -> None:
    hosts = Hosts(1)
    (call,) = busy(hosts, 0)
    hosts.finish(call, 10)
    for _ in range(6):
        (call,) = busy(hosts, 10)
        hosts.finish(call, 10, was_made=False)
    busy(hosts, 10)

    assert waits(hosts, 2, 10) == [pytest.approx(16)]  # after the one under way and one in line


def test_those_that_go_back_return_one_by_one_at_the_hosts_pace() -> None:
    hosts = Hosts(5)
    busy(hosts, 0)

    sent_away = waits(hosts, 25, 10)  # calls of 10 s at least, five at a time: one each 2 s

    steps = [later - earlier for earlier, later in pairwise(sent_away)]
    assert len(sent_away) == 20
    assert sent_away[0] >= 8
    assert steps == pytest.approx([1.6] * 19)


def test_wait_has_a_limit_however_many_there_are() -> None:
    hosts = Hosts(1)
    busy(hosts, 0)

    assert max(waits(hosts, 10_000, 15)) == LONGEST_DEFERRAL_SECONDS


def test_quick_host_keeps_more_in_line() -> None:
    hosts = Hosts(2)
    for call in busy(hosts, 0):
        hosts.finish(call, 0.004)
    busy(hosts, 0.004)

    assert waits(hosts, 40, 0.004) == []


def test_host_that_recovers_does_not_send_newcomers_to_the_end() -> None:
    hosts = Hosts(1)
    (call,) = busy(hosts, 0)
    waits(hosts, 100, 15)
    following = hosts.finish(call, 15)
    for n in range(8):
        quick = following or to(SLOW)
        assert following or hosts.admit(quick, 15 + n) is True
        hosts.start(quick, 15 + n)
        following = hosts.finish(quick, 15 + n + 0.01)
    busy(hosts, 30)

    assert 0 < max(waits(hosts, 10, 30)) < 5


def test_only_busy_hosts_are_remembered_beyond_a_number() -> None:
    hosts = Hosts(1)
    (call,) = busy(hosts, 0)
    for n in range(KNOWN_HOSTS + 5):
        gone = to(f"https://h{n}.example/")
        hosts.admit(gone, 0)
        hosts.start(gone, 0)
        hosts.finish(gone, 0)

    assert len(hosts._hosts) <= KNOWN_HOSTS
    assert hosts.admit(to(SLOW), 0) is False
    assert hosts.finish(call, 1) is not None


def test_lines_can_be_given_up() -> None:
    hosts = Hosts(1)
    busy(hosts, 0)
    in_line = to(SLOW)
    hosts.admit(in_line, 0)

    assert hosts.give_up_lines() == [in_line]
    assert hosts.give_up_lines() == []


def test_limit_that_is_raised_lets_those_first_in_line_begin() -> None:
    hosts = Hosts(1)
    busy(hosts, 0)
    in_line = [to(SLOW) for _ in range(4)]
    for following in in_line:
        hosts.admit(following, 0)

    assert hosts.allow(3) == in_line[:2]
    assert hosts.admit(to(SLOW), 0) is False


def test_limit_that_is_lowered_lets_nobody_begin_until_enough_have_ended() -> None:
    hosts = Hosts(3)
    calls = busy(hosts, 0)
    in_line = to(SLOW)
    hosts.admit(in_line, 0)

    assert hosts.allow(1) == []
    assert [hosts.finish(call, 1) for call in calls] == [None, None, in_line]


@pytest.mark.parametrize(
    ("limit", "daemons", "ours"), [(6, 1, 6), (6, 2, 3), (5, 2, 2), (2, 3, 1), (None, 3, None)]
)
def test_daemons_share_a_limit_in_equal_parts_and_none_stands_still(
    limit: int | None, daemons: int, ours: int | None
) -> None:
    assert share(limit, daemons) == ours


def test_short_waits_are_not_worth_it() -> None:
    hosts = Hosts(5)
    busy(hosts, 0)

    assert min(waits(hosts, 30, 0.11)) == 0.25
