"""Takes over a changed configuration while deliveries go on.

    SIGHUP ─▶ read ─▶ what has changed? ─▶ open new adapters ─▶ tell the database ─▶ in force
                │                              │                                      │
                └──── wrong: the old one ◀─────┘            old adapters leave when their calls end

Between the old and the new configuration there is no moment: the last step awaits nothing. What
is in hand of a channel that is gone, or has a rate only now, and was not begun is given back; calls
end as they began.
"""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import structlog

from chimewayd import adapters, db
from chimewayd import log as logging
from chimewayd.adapters.bounded_threads import BoundedThreads
from chimewayd.config import Settings, calls_longer_than_lease
from chimewayd.config_channel import ChannelConfig
from chimewayd.errors import ChimewaydError, wrong
from chimewayd.log import Event
from chimewayd.models import Delivery, Unsent
from chimewayd.open_channels import OpenChannels
from chimewayd.run import Calls, Channel, call_hands
from chimewayd.startup import make_adapters
from chimewayd.state import State, breaker_policies, limits, max_attempts

RELOADABLE = frozenset(
    {
        *("channels", "concurrency", "payload_budget_mib", "poll_interval", "shutdown_grace"),
        *("log_level", "log_format"),
    }
)

HINT = "the old configuration stays in force: `chimewayd config check`, then reload again"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Change:
    """What a new configuration changes."""

    settings: Settings
    """What is to be in force."""
    added: list[str]
    removed: list[str]
    changed: list[str]
    """Channels that are served before and after, otherwise."""
    reopened: list[str]
    """Channels that need a new adapter: its settings are others, or what stands in their files."""
    applied: list[str]
    needs_restart: list[str]
    """Settings that are different now and read at the start alone."""


def plan(old: Settings, new: Settings) -> Change:
    """Decide what changes.

    Raises:
        ConfigError, ConfigErrors: with a lease that holds until the restart, new calls are too
            long.
    """
    differ = [name for name in Settings.model_fields if getattr(old, name) != getattr(new, name)]
    applied = [name for name in differ if name in RELOADABLE]
    needs_restart = [name for name in differ if name not in RELOADABLE]
    settings = new.model_copy(update={name: getattr(old, name) for name in needs_restart})
    if errors := list(calls_longer_than_lease(settings)):
        raise wrong(errors)
    before, after = old.channels, settings.channels
    kept = [name for name in sorted(after) if name in before]
    return Change(
        settings=settings,
        added=sorted(after.keys() - before.keys()),
        removed=sorted(before.keys() - after.keys()),
        changed=[name for name in kept if after[name] != before[name]],
        reopened=[name for name in kept if _is_reopened(before[name], after[name])],
        applied=[name for name in applied if name != "channels"],
        needs_restart=needs_restart,
    )


async def heed_reloads(state: State, opened: OpenChannels) -> None:
    """Reload whenever asked, for ever."""
    await state.readiness.ready.wait()
    # A file system that gives no answer must not keep the daemon from ending.
    threads = BoundedThreads(1, "reload")
    while True:
        await state.reload.wait(math.inf)
        state.notifier.reloading()
        try:
            change = plan(state.settings, await threads.run(state.reread, lambda: None))
            await apply(state, opened, change)
        except Exception as error:  # an adapter may raise anything; the old settings stay
            state.is_config_current = False
            is_ours = isinstance(error, ChimewaydError)
            reason = str(error) if is_ours else f"{type(error).__name__}: {error}"
            log.exception(Event.CONFIG_REFUSED, reason=reason, hint=HINT, exc_info=not is_ours)
        else:
            state.is_config_current = True
            state.reloaded_at = datetime.now(UTC)
            _say(change)
        state.notifier.ready()


async def apply(state: State, opened: OpenChannels, change: Change) -> None:
    """Put a change into force.

    Raises:
        ConfigError, ConfigErrors: an adapter's settings are wrong.
        Exception: an adapter cannot be opened, or the database refuses a channel.
    """
    fresh: dict[str, Channel] = {}
    try:
        await _open(opened, change, fresh)
        for name in (*change.added, *change.changed):
            configure = partial(db.configure_channel, state.sessions.upkeep, name)
            await state.outage.outlast(partial(configure, change.settings.channels[name]))
    except BaseException:
        for needless in fresh.values():
            opened.leave(needless, lambda: True)
        raise
    _put_into_force(state, opened, change, fresh)
    # Others, and `explain`, hear of it with the next heartbeat: this is it.
    await state.outage.outlast(partial(db.heartbeat, state.sessions.upkeep, state.me, []))


async def _open(opened: OpenChannels, change: Change, fresh: dict[str, Channel]) -> None:
    made = make_adapters(change.settings, (*change.added, *change.reopened))
    for name, adapter in made.items():
        timeout = change.settings.channels[name].timeout
        fresh[name] = await opened.open(name, adapter, timeout)


def _put_into_force(
    state: State, opened: OpenChannels, change: Change, fresh: dict[str, Channel]
) -> None:
    calls, settings = state.calls, change.settings
    rated = [name for name in change.changed if _has_new_rate(state.settings, settings, name)]
    gone = {name: state.channels.pop(name) for name in (*change.removed, *change.reopened)}
    state.channels |= fresh
    state.max_attempts |= max_attempts(settings)
    state.me.channels = tuple(sorted(settings.channels))
    if {"log_level", "log_format"} & set(change.applied):
        logging.setup(settings.log_level, settings.log_format)
    state.settings = settings
    calls.slots.configure(*limits(settings, state.daemons))
    state.breakers.configure(breaker_policies(settings))
    # What waits for a call on a channel that had no rate has not been paid for.
    given_up = calls.slots.give_up_waiting([*change.removed, *rated])
    calls.unsent.put_all([Unsent(delivery) for delivery in given_up])
    call_hands(calls)
    # Its sleep may be the old poll interval, or know nothing of a new channel.
    state.bell.ring()
    for name, channel in gone.items():
        opened.leave(channel, partial(_have_ended, calls, _under_way(calls, name)))


def _has_new_rate(before: Settings, after: Settings, channel: str) -> bool:
    return not before.channels[channel].rate and bool(after.channels[channel].rate)


def _under_way(calls: Calls, channel: str) -> list[Delivery]:
    in_calls = [worker.delivery for worker in calls.busy]
    return [d for d in in_calls if d is not None and d.channel == channel]


def _have_ended(calls: Calls, deliveries: list[Delivery]) -> bool:
    # By identity: the same delivery may be in a later call by then.
    under_way = {id(worker.delivery) for worker in calls.busy}
    return not any(id(delivery) in under_way for delivery in deliveries)


def _is_reopened(before: ChannelConfig, after: ChannelConfig) -> bool:
    """Tell whether what `make_adapter` looks at is different, or may be.

    A file of the same name may hold a renewed certificate. Whether it does is not looked at: to
    open an adapter in vain costs a few connections, once a reload.
    """
    looked_at = ("adapter", "settings", "timeout", "templates", "recipient_override")
    is_different = any(getattr(before, name) != getattr(after, name) for name in looked_at)
    return is_different or adapters.reads_files(after.adapter, after.settings)


def _say(change: Change) -> None:
    log.info(
        Event.CONFIG_RELOADED,
        added=change.added,
        removed=change.removed,
        changed=change.changed,
        reopened=change.reopened,
        settings=change.applied,
    )
    if change.needs_restart:
        log.warning(Event.CONFIG_NEEDS_RESTART, settings=change.needs_restart)
