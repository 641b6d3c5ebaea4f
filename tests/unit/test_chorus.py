"""How the parent of several daemons speaks for them."""

import pytest

from chimewayd.chorus import Chorus
from chimewayd.figures import Figures
from chimewayd.systemd import Notifier


@pytest.fixture
def said() -> list[str]:
    """What a service manager has heard."""
    return []


@pytest.fixture
def chorus(said: list[str]) -> Chorus:
    """Two daemons."""
    return Chorus(["a", "b"], Notifier(lambda message: said.extend(message.decode().split("\n"))))


def test_parent_is_ready_when_the_last_of_them_is(chorus: Chorus, said: list[str]) -> None:
    chorus.hear("a", b"READY=1\n", 0)
    before = list(said)
    chorus.hear("b", b"READY=1\n", 0)
    chorus.hear("b", b"READY=1\n", 0)

    assert before == []
    assert said.count("READY=1") == 1


def test_one_that_was_replaced_is_no_news(chorus: Chorus, said: list[str]) -> None:
    for name in ("a", "b"):
        chorus.hear(name, b"READY=1\n", 0)
    chorus.forget("a")
    missing = chorus.status()
    chorus.hear("a", b"READY=1\n", 0)

    assert missing.startswith("1 of 2 daemons serve")
    assert chorus.status().startswith("2 of 2 daemons serve")
    assert said.count("READY=1") == 1


def test_reload_ends_when_all_have_reloaded(chorus: Chorus, said: list[str]) -> None:
    for name in ("a", "b"):
        chorus.hear(name, b"READY=1\n", 0)

    chorus.reload()
    chorus.hear("a", b"RELOADING=1\nREADY=1\n", 0)
    before = said.count("READY=1")
    chorus.hear("b", b"READY=1\n", 0)

    assert (before, said.count("READY=1"), said.count("RELOADING=1")) == (1, 2, 1)


def test_figures_are_added_up_and_trouble_is_named(chorus: Chorus) -> None:
    well, ill = Figures(1, 2, 30, 4.5), Figures(10, 20, 300, 0.5, troubled=1)
    chorus.hear("a", f"READY=1\nSTATUS=serving\n{well.written()}\n".encode(), 0)
    chorus.hear("b", f"READY=1\nSTATUS=the database is away\n{ill.written()}\n".encode(), 0)

    assert chorus.status() == (
        "2 of 2 daemons serve: 11 calls under way, 22 deliveries in hand, 330 done, "
        "5.0 a second; b: the database is away"
    )


def test_status_is_said_again_only_when_it_has_changed(chorus: Chorus, said: list[str]) -> None:
    chorus.speak()
    chorus.speak()

    assert sum(line.startswith("STATUS=") for line in said) == 1
    assert said.count("WATCHDOG=1") == 2


def test_one_is_silent_only_after_it_has_spoken(chorus: Chorus) -> None:
    chorus.hear("a", b"WATCHDOG=1\n", 10)

    assert chorus.silent(12, 3) == []
    assert chorus.silent(14, 3) == ["a"]


def test_manager_hears_how_long_each_of_them_may_take_to_stop(
    chorus: Chorus, said: list[str]
) -> None:
    chorus.hear("a", b"STOPPING=1\nEXTEND_TIMEOUT_USEC=45000000\n", 0)
    chorus.hear("b", b"STOPPING=1\nEXTEND_TIMEOUT_USEC=135000000\n", 0)

    assert [line for line in said if line] == [
        "EXTEND_TIMEOUT_USEC=45000000",
        "EXTEND_TIMEOUT_USEC=135000000",
    ]
