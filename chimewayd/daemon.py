"""One running daemon: builds the stages, joins them, and takes them down in order.

    start   connect ─▶ schema right? ─▶ configure channels ─▶ listen ─▶ first look ─▶ ready
    stop    intake ends ─▶ run ends (grace) ─▶ record ends ─▶ sessions close
            a second signal: everything ends at once, and leases run out by themselves

Shutdown is closing the first stream: each stage ends when its input does.
"""

import gc
import math
import os
import signal
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field

import anyio
import structlog
from anyio.abc import TaskStatus
from anyio.streams.memory import MemoryObjectReceiveStream

from chimewayd import __version__, adapters, db, dsn, failpoints, migrate
from chimewayd.adapters.base import Adapter
from chimewayd.claim import Intake, claim
from chimewayd.config import Settings
from chimewayd.errors import ChimewaydError, DatabaseUnavailable
from chimewayd.heartbeat import keep_leases
from chimewayd.leases import Leases
from chimewayd.listen import Bell, listen
from chimewayd.log import Event
from chimewayd.models import Delivery, Report
from chimewayd.outage import Outage
from chimewayd.outbox import Outbox
from chimewayd.record import Desk, record, release
from chimewayd.run import Calls, Channel, run
from chimewayd.session import Session, connect, describe_error
from chimewayd.slots import Slots
from chimewayd.sweep import sweep

COLLECT_AFTER_OBJECTS = 50_000
"""Container objects made, less those freed, before Python looks for cycles; its own default is
700. Deliveries form none, and each look walks every batch in hand: a tenth of the CPU went there.
"""

MIB = 1024 * 1024

FLUSH_SECONDS = 5.0
"""How long the last outcomes may take to be recorded once every call has ended."""

log = structlog.get_logger()


@dataclass(slots=True)
class Readiness:
    """Counts down to the moment when a delivery that is inserted now goes out."""

    is_listening: bool = False
    has_looked: bool = False
    ready: anyio.Event = field(default_factory=anyio.Event)

    def listening(self) -> None:
        self.is_listening = True
        self._settle()

    def looked(self) -> None:
        if not self.has_looked:
            self.has_looked = True
            self._settle()

    def _settle(self) -> None:
        if self.is_listening and self.has_looked and not self.ready.is_set():
            log.info(Event.DAEMON_READY)
            self.ready.set()


@dataclass(frozen=True, slots=True)
class Sessions:
    """The database sessions of a daemon; see db.py for why there are several."""

    claims: Session
    records: Session
    upkeep: Session


def make_adapters(settings: Settings) -> dict[str, Adapter]:
    """Make the adapter of each channel.

    Raises:
        ConfigError, ConfigErrors: a channel's adapter or one of its settings is wrong.
    """
    return {
        name: adapters.make(name, channel.adapter, channel.settings, channel.timeout)
        for name, channel in settings.channels.items()
    }


async def serve(settings: Settings) -> int:
    """Deliver until a stop signal comes; return how many calls had to be left behind.

    Raises:
        ConfigError, ConfigErrors: a channel cannot be served as it is configured.
        DatabaseUnavailable: the database did not answer at the start; later it is waited for.
        SchemaMismatch, MigrationDrift: the database is not at this release.
        ChimewaydError: a stage failed in a way that waiting does not help.
    """
    made = make_adapters(settings)
    # What is loaded by now stays for good, and need not be walked again.
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER_OBJECTS)
    async with AsyncExitStack() as stack:
        sessions, me = await _connect(stack, settings)
        channels = {
            name: Channel(
                await stack.enter_async_context(made[name]), channel.timeout.total_seconds()
            )
            for name, channel in settings.channels.items()
        }
        calls = _in_hand(settings, channels)
        try:
            await _until_stopped(settings, sessions, me, calls)
        except ExceptionGroup as errors:
            log.critical(Event.DAEMON_FAILED, exc_info=errors)
            reasons = "; ".join(describe_error(error) for error in _causes(errors))
            raise ChimewaydError(f"the daemon failed: {reasons}") from errors
        # Without a database, too, we leave; the others notice that we are silent.
        with anyio.move_on_after(FLUSH_SECONDS, shield=True), suppress(DatabaseUnavailable):
            await db.forget_daemons(sessions.upkeep, me.daemon_id, settings.lease * 10)
    log.info(Event.DAEMON_STOPPED, abandoned_calls=calls.abandoned)
    return calls.abandoned


def _causes(error: Exception) -> list[Exception]:
    if isinstance(error, ExceptionGroup):
        return [cause for part in error.exceptions for cause in _causes(part)]
    return [error]


async def _until_stopped(
    settings: Settings, sessions: Sessions, me: db.Identity, calls: Calls
) -> None:
    async with anyio.create_task_group() as everything:
        stop = anyio.Event()
        await everything.start(_heed_signals, stop, everything.cancel_scope)
        everything.start_soon(_heed_overrun, calls, stop)
        await _deliver(settings, sessions, me, calls, stop)
        everything.cancel_scope.cancel()


async def _connect(stack: AsyncExitStack, settings: Settings) -> tuple[Sessions, db.Identity]:
    """Open the sessions, check the schema, and make ourselves and our channels known."""
    url = settings.dsn.get_secret_value()
    if dropped := dsn.parse(url, os.environ).dropped:
        log.warning(Event.CONFIG_DROPPED_OPTION, setting="dsn", options=list(dropped))
    connection = await connect(url)
    try:
        await migrate.check(connection)
        if asked_for := os.environ.get(failpoints.VARIABLE):
            failpoints.arm(asked_for, await connection.fetchval(failpoints.IS_TEST))
    finally:
        connection.terminate()
    roles = ("claims", "records", "upkeep")
    opened = [await stack.enter_async_context(Session(url, role)) for role in roles]
    sessions = Sessions(*opened)
    for name, channel in settings.channels.items():
        await db.configure_channel(sessions.upkeep, name, channel)
    names = tuple(sorted(settings.channels))
    daemon_id = await db.register_daemon(sessions.upkeep, settings.name, __version__, names)
    log.info(
        Event.DAEMON_STARTED,
        name=settings.name,
        version=__version__,
        database=dsn.describe(url),
        channels=list(names),
        concurrency=settings.concurrency,
    )
    return sessions, db.Identity(daemon_id, settings.name, __version__, names, settings.lease)


def _in_hand(settings: Settings, channels: Mapping[str, Channel]) -> Calls:
    limits = {name: channel.concurrency for name, channel in settings.channels.items()}
    return Calls(
        channels=channels,
        slots=Slots(settings.concurrency, limits, settings.payload_budget_mib * MIB),
        leases=Leases(settings.lease.total_seconds()),
        reports=Outbox[Report](),
        unsent=Outbox[Delivery](),
    )


def _max_attempts(settings: Settings) -> dict[str, int]:
    return {name: channel.retry.max_attempts for name, channel in settings.channels.items()}


async def _deliver(
    settings: Settings, sessions: Sessions, me: db.Identity, calls: Calls, stop: anyio.Event
) -> None:
    """Run the stages; once `stop` is set, end them from the first to the last."""
    outage, bell, readiness = Outage(), Bell(), Readiness()
    listen_dsn = (settings.listen_dsn or settings.dsn).get_secret_value()
    intake_end, run_end = anyio.create_memory_object_stream[list[Delivery]](math.inf)
    ends = (calls.slots, calls.leases, outage)
    async with anyio.create_task_group() as upkeep:
        upkeep.start_soon(keep_leases, sessions.upkeep, me, calls.leases, outage)
        upkeep.start_soon(sweep, sessions.upkeep, me, outage)
        async with anyio.create_task_group() as pipeline:
            desk = Desk(sessions.records, me, *ends, _max_attempts(settings), bell)
            pipeline.start_soon(record, desk, calls.reports)
            pipeline.start_soon(release, sessions.records, me, calls.unsent, *ends)
            pipeline.start_soon(_run, run_end, calls, settings, pipeline.cancel_scope)
            async with anyio.create_task_group() as intake:
                # Another server may be away while this one is not.
                listener_outage = outage if settings.listen_dsn is None else Outage()
                intake.start_soon(
                    listen, listen_dsn, bell, listener_outage, readiness.listening, sessions.upkeep
                )
                intake.start_soon(
                    claim,
                    Intake(
                        sessions.claims,
                        me,
                        calls.slots,
                        calls.leases,
                        bell,
                        outage,
                        intake_end,
                        settings.poll_interval,
                        readiness.looked,
                    ),
                )
                await stop.wait()
                log.info(Event.DAEMON_DRAINING, in_hand=calls.slots.in_hand)
                if failpoints.armed:
                    await failpoints.reach(failpoints.Point.ON_DRAIN)
                intake.cancel_scope.cancel()
            intake_end.close()
        upkeep.cancel_scope.cancel()


async def _run(
    claimed: MemoryObjectReceiveStream[list[Delivery]],
    calls: Calls,
    settings: Settings,
    pipeline: anyio.CancelScope,
) -> None:
    await run(claimed, calls, settings.shutdown_grace.total_seconds())
    # A database that is away must not keep us: what is not recorded now is rescued later.
    pipeline.deadline = anyio.current_time() + FLUSH_SECONDS


async def _heed_signals(
    stop: anyio.Event,
    everything: anyio.CancelScope,
    *,
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as received:
        task_status.started()
        async for _ in received:
            if stop.is_set():
                everything.cancel()
            stop.set()


async def _heed_overrun(calls: Calls, stop: anyio.Event) -> None:
    await calls.overrun.wait()
    stop.set()
