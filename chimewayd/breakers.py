"""Stops calling a channel that does not work, and says when it began and ended.

    outcomes ─▶ too many failed? ─┐
    Unavailable ──────────────────┴▶ open_breaker ─▶ what waits in hand goes back, no attempt used
    every few seconds, and when a stopped channel works: what did others open, what has closed?

The state is the database's (chimeway.breakers); so is the probe that closes it: claim lets one
delivery through, and record judges it.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, KeysView, Mapping, Sequence
from functools import partial

import anyio
import structlog

from chimewayd import db
from chimewayd.config_channel import BreakerPolicy
from chimewayd.failure_window import WORKING, FailureWindow
from chimewayd.log import Event
from chimewayd.models import OpenBreaker, OutcomeKind, Report, kind_of
from chimewayd.outage import Outage
from chimewayd.session import Session

WATCH_SECONDS = 10.0

log = structlog.get_logger()


class Breakers:
    """The breakers of this daemon's channels, as far as it knows of them."""

    def __init__(
        self, policies: Mapping[str, BreakerPolicy], give_back: Callable[[str, str], None]
    ) -> None:
        """Opening one calls `give_back` with its channel and the reason."""
        self._policies: dict[str, BreakerPolicy] = {}
        self._served: KeysView[str]
        self._give_back = give_back
        self._open: dict[str, OpenBreaker] = {}
        self._windows: dict[str, FailureWindow] = {}
        self.configure(policies)

    def configure(self, policies: Mapping[str, BreakerPolicy]) -> None:
        """Set the policies; what was counted under the same one stays."""
        self._windows = {
            name: self._windows[name]
            if self._policies.get(name) == policy and name in self._windows
            else FailureWindow(policy)
            for name, policy in policies.items()
            if policy.failure_ratio is not None
        }
        # Calls of a channel that is gone may still end.
        self._policies |= policies
        self._served = policies.keys()

    def judge(self, reports: Iterable[Report], now: float) -> dict[str, str]:
        """Count how these calls ended; return the channels to stop, and why.

        Of a channel that is stopped none counts: calls that had begun before, and probes, would
        stop it again as soon as it works.
        """
        if not self._windows:
            return {}
        ended: defaultdict[str, Counter[OutcomeKind]] = defaultdict(Counter)
        for report in reports:
            if (channel := report.delivery.channel) in self._windows and channel not in self._open:
                ended[channel][kind_of(report.outcome)] += 1
        reasons = {
            channel: self._windows[channel].note(kinds, now) for channel, kinds in ended.items()
        }
        return {channel: reason for channel, reason in reasons.items() if reason is not None}

    async def open(
        self, session: Session, me: db.Identity, channel: str, reason: str, claims: Sequence[int]
    ) -> None:
        """Open a breaker in the database; one of these claims may hold its probe."""
        opened = await db.open_breaker(
            session, channel, reason, me, self._policies[channel], claims
        )
        if opened:
            self.note([*self._open.values(), *opened])

    def may_have_closed(self, reports: Iterable[Report]) -> bool:
        """Tell whether one of these calls was made, and worked, on a channel that is stopped."""
        return bool(self._open) and any(
            report.delivery.channel in self._open and kind_of(report.outcome) in WORKING
            for report in reports
        )

    async def look(self, session: Session, me: db.Identity) -> None:
        """Look what became of the breakers of our channels."""
        self.note(await db.open_breakers(session, me.channels))

    def note(self, found: Iterable[OpenBreaker]) -> None:
        """Take in which breakers are open; say what is new, and give back what waits for them."""
        before, self._open = self._open, {breaker.channel: breaker for breaker in found}
        for channel, breaker in self._open.items():
            if channel not in before or breaker.opened_at > before[channel].opened_at:
                if channel in self._windows:
                    self._windows[channel].forget()
                log.error(
                    Event.BREAKER_OPENED,
                    channel=channel,
                    reason=breaker.reason,
                    daemon=breaker.opened_by,
                    retry_at=breaker.retry_at,
                )
                self._give_back(channel, f"the breaker of its channel opened: {breaker.reason}")
            elif breaker.failed_probes > before[channel].failed_probes:
                log.warning(
                    Event.BREAKER_STAYS_OPEN,
                    channel=channel,
                    failed_probes=breaker.failed_probes,
                    retry_at=breaker.retry_at,
                )
        # Of a channel that is not ours any more we do not ask.
        for channel in self._served & (before.keys() - self._open.keys()):
            log.info(Event.BREAKER_CLOSED, channel=channel, opened_at=before[channel].opened_at)


async def watch(session: Session, me: db.Identity, breakers: Breakers, outage: Outage) -> None:
    """Look every few seconds what became of the breakers of our channels."""
    while True:
        await outage.outlast(partial(breakers.look, session, me))
        await anyio.sleep(WATCH_SECONDS)
