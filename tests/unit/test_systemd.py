"""How a service manager is told, and what it wants of whom."""

import os
import socket
from pathlib import Path

import pytest

from chimewayd.systemd import Notifier, for_children, to_manager, to_parent, watchdog_seconds


def test_message_is_one_datagram_with_a_line_for_each_assignment(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(address)

        is_taken = to_manager({"NOTIFY_SOCKET": address}).tell("READY=1", "STATUS=wählt → bereit")

        assert is_taken
        assert ear.recv(1000).decode() == "READY=1\nSTATUS=wählt → bereit\n"


def test_value_cannot_begin_an_assignment_of_its_own() -> None:
    said: list[bytes] = []

    Notifier(said.append).tell("STATUS=x\nMAINPID=1")

    assert said == [b"STATUS=x MAINPID=1\n"]


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "relative/path"])
def test_address_that_is_no_unix_socket_is_nobody(address: str) -> None:
    notifier = to_manager({"NOTIFY_SOCKET": address})

    assert not notifier.is_heard
    assert not notifier.ready()


def test_manager_that_is_gone_is_no_error(tmp_path: Path) -> None:
    assert not to_manager({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()


def test_manager_that_does_not_read_is_waited_for_only_briefly(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(address)
        notifier = to_manager({"NOTIFY_SOCKET": address})

        taken = 0
        while notifier.alive():
            taken += 1

    assert taken > 0


def test_parent_hears_on_the_lifeline_and_one_that_is_gone_is_no_error() -> None:
    ours, theirs = socket.socketpair()
    notifier = to_parent(theirs.fileno())

    notifier.alive()
    said = ours.recv(100)
    ours.close()

    assert said == b"WATCHDOG=1\n"
    assert not notifier.alive()
    theirs.close()


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_watchdog_is_that_of_this_process(
    environment: dict[str, str], seconds: float | None
) -> None:
    assert watchdog_seconds(environment) == seconds


def test_children_get_the_time_of_our_watchdog_and_not_our_socket() -> None:
    ours = {"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "5", "WATCHDOG_PID": str(os.getpid()), "A": "b"}

    assert for_children(ours) == {"WATCHDOG_USEC": "5", "A": "b"}


def test_children_do_not_get_a_watchdog_that_is_somebody_else_s() -> None:
    assert for_children({"WATCHDOG_USEC": "5", "WATCHDOG_PID": "1"}) == {}
