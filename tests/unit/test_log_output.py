"""A log that nobody can write to: lines are left out and counted, and nothing else happens."""

import errno
import io
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import structlog
from deliveries import delivery
from loglines import lines, restored_logging, started

from chimewayd import log
from chimewayd.adapters import make
from chimewayd.log import Event
from chimewayd.log_output import lines_lost
from chimewayd.models import Succeeded, Unavailable


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    with restored_logging():
        yield


class Disk(io.BytesIO):
    """Is full for a while."""

    def __init__(self) -> None:
        super().__init__()
        self.is_full = False
        self.takes = 0
        """Bytes that still fit."""

    def write(self, data: Any) -> int:
        if self.is_full:
            super().write(data[: self.takes])
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


def test_lines_that_cannot_be_written_are_counted_and_said_once_when_they_can_be_again() -> None:
    disk = Disk()
    started(out=disk)

    disk.is_full = True
    structlog.get_logger().info(Event.DAEMON_READY)
    log.emit_many("info", Event.ATTEMPT_RECORDED, [{"attempt": n} for n in range(3)])
    disk.is_full = False
    log.say_left_out()
    log.say_left_out()

    [said] = [line for line in disk.getvalue().splitlines() if line]
    assert lines(io.BytesIO(said))[0].items() >= {"event": "lines_lost", "count": 4}.items()
    assert lines_lost() == 4


def test_loss_that_cannot_be_told_of_is_told_of_later() -> None:
    disk = Disk()
    started(out=disk)

    disk.is_full = True
    structlog.get_logger().info(Event.DAEMON_READY)
    log.say_left_out()
    disk.is_full = False
    log.say_left_out()

    assert b'"count":2' in disk.getvalue()


def test_line_after_half_a_line_begins_anew() -> None:
    disk = Disk()
    started(out=disk)

    disk.is_full, disk.takes = True, 10
    structlog.get_logger().info(Event.DAEMON_READY)
    disk.is_full = False
    structlog.get_logger().info(Event.DAEMON_STOPPED)

    half, whole = disk.getvalue().splitlines()
    assert len(half) == 10
    assert lines(io.BytesIO(whole))[0]["event"] == "daemon_stopped"


def test_what_was_lost_is_still_counted_after_a_reload() -> None:
    disk = Disk()
    started(out=disk)
    disk.is_full = True
    structlog.get_logger().info(Event.DAEMON_READY)

    out = started()
    log.say_left_out()

    assert [line["event"] for line in lines(out)] == ["lines_lost"]
    assert lines_lost() == 1


@pytest.mark.anyio
async def test_channel_of_the_log_is_unavailable_while_nothing_can_be_written() -> None:
    disk = Disk()
    started(out=disk)

    async with make("audit", "log", {}, timedelta(seconds=5)) as adapter:
        disk.is_full = True
        lost = await adapter.deliver(delivery())
        disk.is_full = False
        written = await adapter.deliver(delivery())

    assert isinstance(lost, Unavailable)
    assert isinstance(written, Succeeded)
