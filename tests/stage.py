"""The run stage between two streams, with adapters that do what a test says.

async with stage(scripted(hang, succeed), timeout_seconds=0.02) as running:
    running.put(*deliveries(2))
    reports = await running.reports(2)
"""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import ClassVar

import anyio
import pytest
from anyio.streams.memory import MemoryObjectSendStream
from deliveries import PLENTY

from chimewayd import run as run_module
from chimewayd.adapters.base import AdapterSettings, HoldsNothing
from chimewayd.leases import Leases
from chimewayd.models import Delivery, Outcome, Report, Succeeded
from chimewayd.outbox import Outbox
from chimewayd.run import Calls, Channel, run
from chimewayd.slots import Slots

WAIT_SECONDS = 5
Deed = Callable[[Delivery], Awaitable[object]]


class Scripted(HoldsNothing):
    """Does each deed once, in turn, and then the last one for ever."""

    Settings: ClassVar[type[AdapterSettings]] = AdapterSettings

    def __init__(self, settings: AdapterSettings, timeout: timedelta) -> None:  # noqa: ARG002 - the protocol's
        self.deeds: list[Deed] = []
        self.called: list[Delivery] = []

    async def deliver(self, delivery: Delivery) -> Outcome:
        self.called.append(delivery)
        deed = self.deeds.pop(0) if len(self.deeds) > 1 else self.deeds[0]
        return await deed(delivery)  # type: ignore[return-value] # broken promises are its purpose

    async def until_called(self, count: int = 1) -> None:
        """Wait until so many calls have begun."""
        with anyio.fail_after(WAIT_SECONDS):
            while len(self.called) < count:
                await anyio.lowlevel.checkpoint()


def scripted(*deeds: Deed) -> Scripted:
    adapter = Scripted(AdapterSettings(), timedelta(seconds=1))
    adapter.deeds = list(deeds)
    return adapter


@dataclass
class Stage:
    """The stage under test, and both of its ends."""

    calls: Calls
    claimed: MemoryObjectSendStream[list[Delivery]]
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)

    def put(self, *batch: Delivery) -> None:
        self.calls.leases.begin(list(batch), asyncio.get_running_loop().time())
        self.calls.slots.take(batch)
        self.claimed.send_nowait(list(batch))

    async def reports(self, count: int) -> list[Report]:
        """Take this many reports, as the next stage would."""
        taken: list[Report] = []
        with anyio.fail_after(WAIT_SECONDS):
            while len(taken) < count:
                taken += await self.calls.reports.take(count)
        return taken

    async def unsent(self) -> list[Delivery]:
        with anyio.fail_after(WAIT_SECONDS):
            return [unsent.delivery for unsent in await self.calls.unsent.take(100)]


@asynccontextmanager
async def stage(
    adapter: Scripted,
    *,
    concurrency: int = 1,
    timeout_seconds: float = 60,
    lease_seconds: float = 3600,
    grace_seconds: float = 0,
) -> AsyncIterator[Stage]:
    """Run the stage; it stops, as the daemon would stop it, at the end of the context."""
    send, receive = anyio.create_memory_object_stream[list[Delivery]](math.inf)
    calls = Calls(
        channels={"hooks": Channel(adapter, timeout_seconds)},
        slots=Slots(concurrency, {"hooks": concurrency}, PLENTY),
        leases=Leases(lease_seconds),
        reports=Outbox(),
        unsent=Outbox(),
    )
    running = Stage(calls, send)

    async def run_within_scope() -> None:
        with running.scope:
            await run(receive, calls, lambda: grace_seconds)

    with send, receive, anyio.fail_after(2 * WAIT_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run_within_scope)
            yield running
            send.close()


def wait_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the stage's own waits: a deadline is the adapter's, a cut call has 50 ms."""
    monkeypatch.setattr(run_module, "DEADLINE_GRACE_SECONDS", 0.0)
    monkeypatch.setattr(run_module, "DEADLINE_CHECK_SECONDS", 0.005)
    monkeypatch.setattr(run_module, "CUT_GRACE_SECONDS", 0.05)


async def until_only(tasks: "set[asyncio.Task[object]]") -> None:
    """Wait until no task lives but these."""
    with anyio.fail_after(WAIT_SECONDS):
        while asyncio.all_tasks() - tasks:
            await anyio.lowlevel.checkpoint()


async def succeed(_: Delivery) -> Outcome:
    return Succeeded()


async def hang(_: Delivery) -> Outcome:
    await anyio.sleep_forever()
    raise AssertionError("unreachable")


class Stubborn:
    """A call that will not be cut until the test lets it go."""

    def __init__(self) -> None:
        self.cut = anyio.Event()
        self.release = asyncio.Event()

    async def __call__(self, _: Delivery) -> Outcome:
        while not self.release.is_set():
            try:
                await self.release.wait()
            except asyncio.CancelledError:
                self.cut.set()
        return Succeeded()
