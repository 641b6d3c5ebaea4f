"""One running daemon: builds the stages, joins them, and takes them down in order.

    start   connect ─▶ schema right? ─▶ configure channels ─▶ listen ─▶ first look ─▶ ready
    reload  a changed configuration comes into force while deliveries go on
    stop    intake ends ─▶ run ends (grace) ─▶ record ends ─▶ sessions close
            a second signal: everything ends at once, and leases run out by themselves

Shutdown is closing the first stream: each stage ends when its input does.
"""

import gc
import math
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import replace

import anyio
import structlog
from anyio.streams.memory import MemoryObjectReceiveStream

from chimewayd import db, failpoints, host_shares
from chimewayd.breakers import watch
from chimewayd.claim import Intake, claim, claim_beside
from chimewayd.config import Settings
from chimewayd.endpoint import answer, open_door
from chimewayd.errors import ChimewaydError, ConfigError, ConfigErrors, DatabaseUnavailable
from chimewayd.heartbeat import keep_leases
from chimewayd.listen import listen
from chimewayd.log import Event
from chimewayd.models import Delivery
from chimewayd.open_channels import OpenChannels, open_channels
from chimewayd.prune import prune
from chimewayd.record import Desk, record, record_beside, release
from chimewayd.reload import heed_reloads
from chimewayd.run import run
from chimewayd.session import describe_error
from chimewayd.signals import heed_overrun, heed_signals
from chimewayd.startup import join, make_adapters
from chimewayd.state import State, begin
from chimewayd.sweep import sweep
from chimewayd.systemd import Notifier
from chimewayd.tracing import tracing
from chimewayd.vitals import tell, watch_loop

COLLECT_AFTER_OBJECTS = 50_000
"""Container objects made, less those freed, before Python looks for cycles; its own default is
700. Deliveries form none, and each look walks every batch in hand: a tenth of the CPU went there.
"""

FLUSH_SECONDS = 5.0
"""How long the last outcomes may take to be recorded once every call has ended."""

LAST_SECONDS = 15.0
"""More than a daemon needs to end once the grace of its calls is over."""

log = structlog.get_logger()


async def serve(
    settings: Settings,
    reread: Callable[[], Settings],
    notifier: Notifier,
    watchdog_seconds: float | None = None,
) -> int:
    """Deliver until a stop signal comes; return how many calls had to be left behind.

    `reread` reads the settings anew, for a reload.

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
        listening = open_door(stack, settings)
        sessions, me = await join(stack, settings)
        state = begin(settings, reread, sessions, me, {}, notifier)
        await host_shares.look(state, sessions.upkeep)
        state.trace = await stack.enter_async_context(tracing(settings))
        try:
            async with open_channels() as opened:
                for name, channel in settings.channels.items():
                    state.channels[name] = await opened.open(name, made[name], channel.timeout)
                await _until_stopped(state, opened, listening, watchdog_seconds)
        except ExceptionGroup as errors:
            raise _failure(errors) from errors
        # Without a database, too, we leave; the others notice that we are silent.
        with anyio.move_on_after(FLUSH_SECONDS, shield=True), suppress(DatabaseUnavailable):
            await db.forget_daemons(sessions.upkeep, me.daemon_id, settings.lease * 10)
    log.info(Event.DAEMON_STOPPED, abandoned_calls=state.calls.abandoned)
    return state.calls.abandoned


def _failure(errors: ExceptionGroup[Exception]) -> Exception:
    causes = _causes(errors)
    if isinstance(causes[0], ConfigError | ConfigErrors):
        return causes[0]
    log.critical(Event.DAEMON_FAILED, exc_info=errors)
    return ChimewaydError(f"the daemon failed: {'; '.join(describe_error(e) for e in causes)}")


def _causes(error: Exception) -> list[Exception]:
    if isinstance(error, ExceptionGroup):
        return [cause for part in error.exceptions for cause in _causes(part)]
    return [error]


async def _until_stopped(
    state: State,
    opened: OpenChannels,
    listening: socket.socket | None,
    watchdog_seconds: float | None,
) -> None:
    async with anyio.create_task_group() as everything:
        await everything.start(heed_signals, state, everything.cancel_scope)
        everything.start_soon(heed_overrun, state)
        everything.start_soon(tell, state, watchdog_seconds)
        everything.start_soon(watch_loop)
        if listening is not None:
            everything.start_soon(answer, state, listening)
        await _deliver(state, opened)
        everything.cancel_scope.cancel()


async def _deliver(state: State, opened: OpenChannels) -> None:
    """Run the stages; once told to stop, end them from the first to the last."""
    sessions, calls, outage, me = state.sessions, state.calls, state.outage, state.me
    counts = state.counts
    intake_end, run_end = anyio.create_memory_object_stream[list[Delivery]](math.inf)
    ends = (calls.slots, calls.leases, outage)
    async with anyio.create_task_group() as upkeep:
        upkeep.start_soon(keep_leases, sessions.upkeep, me, calls.leases, outage, counts)
        upkeep.start_soon(sweep, sessions.upkeep, me, calls.leases, outage, counts)
        upkeep.start_soon(watch, sessions.upkeep, me, state.breakers, outage)
        upkeep.start_soon(host_shares.watch, state)
        upkeep.start_soon(prune, sessions.upkeep, me, outage)
        async with anyio.create_task_group() as pipeline:
            desk = Desk(
                *(sessions.records, me, *ends),
                *(state.max_attempts, state.bell, state.breakers, counts, state.trace),
                beside=sessions.records_beside,
            )
            beside = replace(desk, session=sessions.records_beside)
            pipeline.start_soon(record, desk, calls.reports)
            pipeline.start_soon(record_beside, beside, calls.reports)
            pipeline.start_soon(release, desk, calls.unsent)
            pipeline.start_soon(_run, run_end, state, pipeline.cancel_scope)
            async with anyio.create_task_group() as intake:
                intake.start_soon(_listen, state)
                taking = Intake(
                    *(me, calls.slots, calls.leases, state.bell, outage, intake_end),
                    lambda: state.settings.poll_interval,
                    state.readiness.looked,
                    counts=counts,
                )
                intake.start_soon(claim, taking, sessions.claims)
                intake.start_soon(claim_beside, taking, sessions.claims_beside)
                intake.start_soon(heed_reloads, state, opened)
                await state.stop.wait()
                state.notifier.stopping(_grace_seconds(state) + LAST_SECONDS)
                log.info(Event.DAEMON_DRAINING, in_hand=calls.slots.in_hand)
                if failpoints.armed:
                    await failpoints.reach(failpoints.Point.ON_DRAIN)
                intake.cancel_scope.cancel()
            intake_end.close()
        upkeep.cancel_scope.cancel()


async def _listen(state: State) -> None:
    settings = state.settings
    dsn = (settings.listen_dsn or settings.dsn).get_secret_value()
    await listen(
        dsn,
        state.bell,
        state.readiness.listening,
        state.sessions.upkeep,
        state.counts.listening,
    )


async def _run(
    claimed: MemoryObjectReceiveStream[list[Delivery]],
    state: State,
    pipeline: anyio.CancelScope,
) -> None:
    await run(claimed, state.calls, lambda: _grace_seconds(state))
    # A database that is away must not keep us: what is not recorded now is rescued later.
    pipeline.deadline = anyio.current_time() + FLUSH_SECONDS


def _grace_seconds(state: State) -> float:
    return state.settings.shutdown_grace.total_seconds()
