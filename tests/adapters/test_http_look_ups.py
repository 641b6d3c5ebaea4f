"""Name servers that do not answer: they hold their own channel, and no other."""

import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import anyio
import pytest

from chimewayd.adapters import make
from chimewayd.models import Delivery, Outcome, Succeeded, TimedOut
from chimewayd.testing.receiver import HERE, receiver

pytestmark = pytest.mark.anyio

LONG = timedelta(seconds=20)
SHORT = timedelta(milliseconds=300)
SEVERAL = 40
"""Names of one channel whose servers are silent at one time."""
MANY = 100
"""More than the threads that all channels together would share."""


class SilentNames:
    """Stands in for the system's resolver: `fast.example` is known, anything else hangs."""

    def __init__(self) -> None:
        self.answer = threading.Event()

    def getaddrinfo(self, host: str, port: int, **_hints: int) -> list[Any]:
        if host != "fast.example":
            self.answer.wait(30)
            raise socket.gaierror(socket.EAI_AGAIN, "no answer")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[SilentNames]:
    silent = SilentNames()
    monkeypatch.setattr(socket, "getaddrinfo", silent.getaddrinfo)
    yield silent
    silent.answer.set()


async def test_look_ups_that_hang_do_not_keep_another_channel_waiting(
    delivery: Delivery,
    names: SilentNames,  # noqa: ARG001 - takes the resolver's place
) -> None:
    outcomes: list[Outcome] = []
    stuck = make("stuck", "webhook", HERE, LONG)
    fine = make("fine", "webhook", HERE, LONG)

    async def call(host: str) -> None:
        outcomes.append(await stuck.deliver(delivery._replace(recipient=f"http://{host}/")))

    async with receiver() as hooks, stuck, fine, anyio.create_task_group() as calls:
        for nth in range(MANY):
            calls.start_soon(call, f"silent-{nth}.example")
        await anyio.wait_all_tasks_blocked()
        url = hooks.url.replace("127.0.0.1", "fast.example")
        with anyio.fail_after(10):
            outcome = await fine.deliver(delivery._replace(recipient=url))
        calls.cancel_scope.cancel()

    assert isinstance(outcome, Succeeded)
    assert outcomes == []


async def test_several_look_ups_that_hang_do_not_keep_other_hosts_of_the_channel_waiting(
    delivery: Delivery,
    names: SilentNames,  # noqa: ARG001 - takes the resolver's place
) -> None:
    channel = make("hooks", "webhook", HERE, LONG)

    async def call(host: str) -> None:
        await channel.deliver(delivery._replace(recipient=f"http://{host}/"))

    async with receiver() as hooks, channel, anyio.create_task_group() as calls:
        for nth in range(SEVERAL):
            calls.start_soon(call, f"silent-{nth}.example")
        await anyio.wait_all_tasks_blocked()
        url = hooks.url.replace("127.0.0.1", "fast.example")
        with anyio.fail_after(10):
            outcome = await channel.deliver(delivery._replace(recipient=url))
        calls.cancel_scope.cancel()

    assert isinstance(outcome, Succeeded)


async def test_look_up_that_hangs_is_a_timeout_with_nothing_sent(
    delivery: Delivery,
    names: SilentNames,  # noqa: ARG001 - takes the resolver's place
) -> None:
    async with make("hooks", "webhook", HERE, SHORT) as adapter:
        with anyio.fail_after(10):
            outcome = await adapter.deliver(
                delivery._replace(recipient="http://silent.example/?token=t0ps3cret")
            )

    assert outcome == TimedOut(
        detail="silent.example:80: no connection in time", request_sent=False
    )
