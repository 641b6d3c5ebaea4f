"""Shares the calls that a host may have among the daemons that serve its channel.

    every few seconds: how many are we? ─▶ limit // daemons, at least one ─▶ slots

Asked only where a channel has `host_concurrency`. Between two looks each daemon goes by the
number it knows: to share exactly would cost every batch a statement.
"""

from functools import partial

import anyio
import structlog

from chimewayd import db
from chimewayd.log import Event
from chimewayd.run import call_hands
from chimewayd.session import Session
from chimewayd.state import State, limits

WATCH_SECONDS = 10.0

log = structlog.get_logger()


async def look(state: State, session: Session) -> None:
    """Count the daemons of the channels that share, and take our share."""
    if not (names := _sharing(state)):
        return
    changed: dict[str, int] = {}
    found = dict(await db.serving_daemons(session, names))
    for name in names:
        # After a crash of Postgres none is known, not even we, until its next heartbeat.
        daemons = found.get(name, 1)
        if daemons != state.daemons.get(name, 1):
            changed[name] = daemons
            log.info(Event.HOSTS_SHARED, channel=name, daemons=daemons)
    if changed:
        state.daemons |= changed
        state.calls.slots.configure(*limits(state.settings, state.daemons))


async def watch(state: State) -> None:
    """Look for ever; the first look was the start's."""
    while True:
        await anyio.sleep(WATCH_SECONDS)
        if not _sharing(state):
            continue  # nothing is asked, so nothing is known of the database
        await state.outage.outlast(partial(look, state, state.sessions.upkeep))
        # More may begin than before.
        call_hands(state.calls)


def _sharing(state: State) -> list[str]:
    channels = state.settings.channels
    return [name for name, channel in channels.items() if channel.host_concurrency is not None]
