"""The listener probes whether it would hear, and says once when it would not."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import anyio
import pytest
from loglines import lines, restored_logging, started
from stalling_proxy import Flow, proxied

from chimewayd import listen as listen_module
from chimewayd.errors import DatabaseUnavailable
from chimewayd.listen import Bell, listen
from chimewayd.session import JOB_CHANNEL, Session

pytestmark = pytest.mark.anyio

WAIT_SECONDS = 20.0


@pytest.fixture(autouse=True)
def _quick_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listen_module, "PROBE_SECONDS", 0.01)
    monkeypatch.setattr(listen_module, "DEAF_SECONDS", 0.01)


@pytest.fixture
def said() -> Iterator[Callable[[], list[str]]]:
    """What was logged, by event."""
    with restored_logging():
        stream = started()
        yield lambda: [line["event"] for line in lines(stream)]


class Counter:
    """Counts, and waits for a count."""

    def __init__(self) -> None:
        self.count = 0
        self._moved = anyio.Event()

    def add(self) -> None:
        self.count += 1
        moved, self._moved = self._moved, anyio.Event()
        moved.set()

    async def until_more(self, more: int) -> None:
        wanted = self.count + more
        with anyio.fail_after(WAIT_SECONDS):
            while self.count < wanted:
                await self._moved.wait()


class Prober(Session):
    """Sends its probes, or swallows them, or cannot send them."""

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn, "upkeep")
        self.probes = Counter()
        self.is_swallowing = False
        self.is_away = False

    async def notify(self, channel: str, payload: str) -> None:
        self.probes.add()
        if self.is_away:
            raise DatabaseUnavailable("away")
        if not self.is_swallowing:
            await super().notify(channel, payload)


class Listener:
    """A running listener, seen from outside."""

    def __init__(self, dsn: str) -> None:
        self.prober = Prober(dsn)
        self.bell = Bell()
        self.subscriptions = Counter()


@asynccontextmanager
async def listening(dsn: str, listen_dsn: str | None = None) -> AsyncIterator[Listener]:
    """Run a listener until the context is left."""
    listener = Listener(dsn)
    async with listener.prober, anyio.create_task_group() as tasks:
        tasks.start_soon(
            listen,
            listen_dsn or dsn,
            listener.bell,
            listener.subscriptions.add,
            listener.prober,
        )
        await listener.subscriptions.until_more(1)
        yield listener
        tasks.cancel_scope.cancel()


async def test_probes_that_are_heard_change_nothing(
    dsn: str, said: Callable[[], list[str]]
) -> None:
    async with listening(dsn) as listener:
        await listener.prober.probes.until_more(5)

    assert listener.subscriptions.count == 1
    assert said() == ["listener_connected"]


async def test_probe_rings_no_bell(dsn: str) -> None:
    async with listening(dsn) as listener:
        assert await listener.bell.wait(WAIT_SECONDS)  # the subscription itself
        await listener.prober.probes.until_more(5)

        assert not await listener.bell.wait(0)


async def test_deafness_is_said_once_however_many_sessions_are_deaf(
    dsn: str, empty_dsn: str, said: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listen_module, "HEARING_SECONDS", 0.2)

    async with listening(dsn, empty_dsn) as listener:
        await listener.subscriptions.until_more(3)

    assert said() == ["listener_connected", "listener_deaf"]


async def test_hearing_that_comes_back_is_said(
    dsn: str, said: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listen_module, "HEARING_SECONDS", 0.2)

    async with listening(dsn) as listener:
        listener.prober.is_swallowing = True
        await listener.subscriptions.until_more(2)
        listener.prober.is_swallowing = False
        await listener.prober.probes.until_more(3)

    assert said() == ["listener_connected", "listener_deaf", "listener_connected"]


async def test_one_probe_that_is_lost_is_no_deafness(
    dsn: str, said: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listen_module, "HEARING_SECONDS", 0.5)

    async with listening(dsn) as listener:
        listener.prober.is_swallowing = True
        await listener.prober.probes.until_more(1)
        listener.prober.is_swallowing = False
        await listener.prober.probes.until_more(5)

    assert listener.subscriptions.count == 1
    assert said() == ["listener_connected"]


async def test_listener_is_not_blamed_for_a_probe_that_could_not_be_sent(
    dsn: str, said: Callable[[], list[str]]
) -> None:
    async with listening(dsn) as listener:
        listener.prober.is_away = True
        await listener.prober.probes.until_more(5)

    assert listener.subscriptions.count == 1
    assert said() == ["listener_connected"]


@pytest.mark.parametrize("is_prober_away", [False, True])
async def test_silent_session_is_lost_and_the_next_one_hears(
    dsn: str,
    said: Callable[[], list[str]],
    monkeypatch: pytest.MonkeyPatch,
    is_prober_away: bool,
) -> None:
    monkeypatch.setattr(listen_module, "HEARING_SECONDS", 0.5)

    async with proxied(dsn) as proxy, listening(dsn, proxy.dsn) as listener:
        await listener.prober.probes.until_more(1)
        listener.prober.is_away = is_prober_away
        [silent] = proxy.links("chimewayd/listener")
        silent.set(Flow.STALL)
        await listener.subscriptions.until_more(1)
        await listener.prober.probes.until_more(2)

        assert await listener.bell.wait(WAIT_SECONDS)  # the subscription itself
        producer = Session(dsn, "records")
        await producer.notify(JOB_CHANNEL, "")
        assert await listener.bell.wait(WAIT_SECONDS)
        producer.drop()

    assert said() == ["listener_connected", "listener_lost", "listener_connected"]
