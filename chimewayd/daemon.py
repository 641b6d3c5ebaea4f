"""One running daemon: builds the stages, joins them, and takes them down in order.

    start   connect ─▶ schema right? ─▶ configure channels ─▶ listen ─▶ first look ─▶ ready
    stop    intake ends ─▶ run ends (grace) ─▶ record ends ─▶ sessions close
            a second signal: everything ends at once, and leases run out by themselves

Shutdown is closing the first stream: each stage ends when its input does.
"""

import gc
import math
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress

import anyio
import structlog
from anyio.streams.memory import MemoryObjectReceiveStream

from chimewayd import db, failpoints
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
from chimewayd.readiness import Readiness
from chimewayd.record import Desk, record, release
from chimewayd.run import Calls, Channel, run
from chimewayd.session import describe_error
from chimewayd.signals import heed_overrun, heed_signals
from chimewayd.slots import Slots
from chimewayd.startup import Sessions, join, make_adapters
from chimewayd.sweep import sweep

COLLECT_AFTER_OBJECTS = 50_000
"""Container objects made, less those freed, before Python looks for cycles; its own default is
700. Deliveries form none, and each look walks every batch in hand: a tenth of the CPU went there.
"""

MIB = 1024 * 1024

FLUSH_SECONDS = 5.0
"""How long the last outcomes may take to be recorded once every call has ended."""

log = structlog.get_logger()


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
        sessions, me = await join(stack, settings)
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
        await everything.start(heed_signals, stop, everything.cancel_scope)
        everything.start_soon(heed_overrun, calls, stop)
        await _deliver(settings, sessions, me, calls, stop)
        everything.cancel_scope.cancel()


def _in_hand(settings: Settings, channels: Mapping[str, Channel]) -> Calls:
    limits = {name: channel.concurrency for name, channel in settings.channels.items()}
    rated = [name for name, channel in settings.channels.items() if channel.rate]
    return Calls(
        channels=channels,
        slots=Slots(settings.concurrency, limits, settings.payload_budget_mib * MIB, rated),
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
