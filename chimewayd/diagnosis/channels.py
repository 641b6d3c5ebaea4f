"""Whether each channel's provider can be reached: names, TLS, log-ins; nothing is sent."""

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

import anyio

from chimewayd import adapters
from chimewayd.adapters.base import Reachable
from chimewayd.diagnosis.finding import Finding, fault, ok, unknown
from chimewayd.errors import ConfigError, ConfigErrors

if TYPE_CHECKING:
    from chimewayd.config import Settings
    from chimewayd.config_channel import ChannelConfig

MARGIN_SECONDS = 5.0
"""What an adapter may take beyond its own deadline."""


async def examine(
    settings: "Settings", recipients: dict[str, list[str]] | None
) -> AsyncIterator[Finding]:
    """Reach for each channel's provider.

    `recipients` are recent ones, by channel; None: nobody told us any.
    """
    for name, channel in settings.channels.items():
        known = None if recipients is None else recipients.get(name, [])
        for finding in await _examine(name, channel, known):
            yield finding


async def _examine(
    name: str, channel: "ChannelConfig", recipients: Sequence[str] | None
) -> list[Finding]:
    check = f"to {name}"
    try:
        adapter = adapters.make(name, channel.adapter, channel.settings, channel.timeout)
    except (ConfigError, ConfigErrors):
        return []  # told among the adapters
    if not isinstance(adapter, Reachable):
        return [ok(check, f"adapter {channel.adapter} has nobody to reach")]
    reached = None
    with anyio.move_on_after(channel.timeout.total_seconds() + MARGIN_SECONDS):
        async with adapter:
            reached = await adapter.reach(recipients or [])
    if reached is None:
        return [fault(check, "no answer in time", f"is channels.{name}.timeout long enough?")]
    if not reached and recipients is None:
        what = "it calls where its deliveries say, and this role may not see their recipients"
        return [unknown(check, what, "run doctor as a login with chimeway_operator")]
    if not reached:
        return [unknown(check, "it calls where its deliveries say, and none was sent lately")]
    remedy = (
        f"check the settings of channels.{name}, the name server, and what stands between this "
        "machine and that one"
    )
    return [
        ok(check, f"{one.where} answers")
        if one.problem is None
        else fault(check, f"{one.where}: {one.problem.removeprefix(f'{one.where}: ')}", remedy)
        for one in reached
    ]
