"""Tells the service manager how the daemon is: ready, what it does, and that it turns.

    ready ─▶ READY=1 ─▶ every few seconds ─┬─▶ STATUS=…     if it has changed
                                           └─▶ WATCHDOG=1   unless a stage stands still

A loop that does not turn tells nothing either. Without a manager the look at the stages is all
that is left: a stage that stands still is an error in the log.
"""

import anyio
import structlog

from chimewayd.figures import Figures
from chimewayd.log import Event, say_left_out
from chimewayd.progress import Watch, limit_seconds, to_do
from chimewayd.state import State
from chimewayd.systemd import PINGS_PER_WATCHDOG, STATUS_SECONDS

LOOP_LOOK_SECONDS = 0.5
LOOP_LATE_SECONDS = 2.0
"""Late by this, a look was kept waiting by more than a busy moment."""

log = structlog.get_logger()


async def tell(state: State, watchdog_seconds: float | None) -> None:
    """Tell for ever, once the daemon is ready."""
    await state.readiness.ready.wait()
    state.notifier.ready()
    interval = min(STATUS_SECONDS, (watchdog_seconds or STATUS_SECONDS) / PINGS_PER_WATCHDOG)
    watch = Watch(limit_seconds(state.settings.poll_interval))
    said_at, done, told = anyio.current_time(), 0, ""
    while True:
        say_left_out()
        now = anyio.current_time()
        _look(state, watch, now)
        if not state.standing:
            state.notifier.alive()
        if now >= said_at + STATUS_SECONDS or not told:
            figures = _figures(state, done, now - said_at)
            said_at, done = now, figures.done
            if (status := describe(state, figures, now)) != told:
                state.notifier.tell(f"STATUS={status}", figures.written())
                told = status
        await anyio.sleep(interval)


async def watch_loop() -> None:
    """Say for ever when the event loop stood: then no deadline is kept, by no fault of a stage."""
    while True:
        due = anyio.current_time() + LOOP_LOOK_SECONDS
        await anyio.sleep(LOOP_LOOK_SECONDS)
        if (late := anyio.current_time() - due) > LOOP_LATE_SECONDS:
            log.warning(
                Event.LOOP_BLOCKED,
                seconds=round(late, 1),
                reason="an adapter blocks, or the machine is overrun",
            )


def describe(state: State, figures: Figures, now: float) -> str:
    """Say in one line what the daemon does."""
    if state.stop.is_set():
        doing = "stopping"
    elif state.standing:
        doing = f"standing still ({', '.join(state.standing)})"
    elif state.outage.since is not None:
        doing = f"the database is away since {now - state.outage.since:.0f} s"
    else:
        count = len(state.channels)
        doing = f"serving {count} channel{'' if count == 1 else 's'}"
    refused = "" if state.is_config_current else "; THE LAST RELOAD WAS REFUSED, see the log"
    return f"{doing}: {figures}{refused}"


def _look(state: State, watch: Watch, now: float) -> None:
    watch.limit_seconds = limit_seconds(state.settings.poll_interval)
    marks = to_do(state.calls.slots, state.outboxes, state.outage, state.readiness)
    if state.stop.is_set():
        marks.pop("claim", None)
    standing = watch.look(now, marks)
    if new := [stage for stage in standing if stage not in state.standing]:
        log.error(Event.STAGE_STALLED, stages=new, seconds=round(watch.limit_seconds))
    state.standing = standing


def _figures(state: State, done_before: int, seconds: float) -> Figures:
    slots = state.calls.slots
    per_second = (slots.done - done_before) / seconds if seconds else 0.0
    is_well = state.outage.since is None and not state.standing and state.is_config_current
    return Figures(slots.running, slots.in_hand, slots.done, round(per_second, 1), int(not is_well))
