"""The calls of a channel in the last while: how many there were, and whether too many failed.

Each process counts its own. Which of them opens the breaker first opens it for all.
"""

from collections import Counter, deque
from collections.abc import Mapping

from chimewayd.config_channel import BreakerPolicy
from chimewayd.durations import render
from chimewayd.models import OutcomeKind

WORKING = frozenset(
    {
        OutcomeKind.SUCCEEDED,
        OutcomeKind.PERMANENT,
        OutcomeKind.BOUNCED,
        OutcomeKind.UNSUBSCRIBED,
    }
)
"""A recipient who refuses says that the provider works (sql/functions/judge_probes.sql, too)."""


GRAINS = 100
"""What ends within a hundredth of the window is one batch: an hour may have a million of them."""


class FailureWindow:
    """Counts calls by how they ended, batch by batch."""

    def __init__(self, policy: BreakerPolicy) -> None:
        self._policy = policy
        self._window_seconds = policy.window.total_seconds()
        self._batches: deque[tuple[float, Counter[OutcomeKind]]] = deque()
        self._total = Counter[OutcomeKind]()

    def note(self, ended: Mapping[OutcomeKind, int], now: float) -> str | None:
        """Count a batch; return why the breaker must open, and begin anew, or None.

        `now` is in seconds on the monotonic clock.
        """
        if self._batches and now - self._batches[-1][0] < self._window_seconds / GRAINS:
            self._batches[-1][1].update(ended)
        else:
            self._batches.append((now, Counter(ended)))
        self._total.update(ended)
        while self._batches[0][0] <= now - self._window_seconds:
            self._total.subtract(self._batches.popleft()[1])
        failures = {k: n for k, n in sorted(self._total.items()) if n and k not in WORKING}
        failed, calls = sum(failures.values()), self._total.total()
        policy = self._policy
        if policy.failure_ratio is None or calls < policy.min_calls:
            return None
        if failed < policy.failure_ratio * calls:
            return None
        self.forget()
        kinds = ", ".join(f"{kind} {count}" for kind, count in failures.items())
        return (
            f"{failed} of {calls} calls within {render(policy.window)} failed ({kinds}); "
            f"failure_ratio is {policy.failure_ratio:g}"
        )

    def forget(self) -> None:
        """Begin anew."""
        self._batches.clear()
        self._total.clear()
