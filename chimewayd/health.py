"""What an onlooker may know of a running daemon, and what that says of its health.

alive    the event loop turns, and no stage stands still    no: only a restart helps
ready    listening, heard by the database, not stopping     no: wait, or look at the database
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from chimewayd import __version__
from chimewayd.counts import Histogram, attempts
from chimewayd.models import QueueFigures
from chimewayd.state import State


def stuck(state: State) -> list[str]:
    """Say what only a restart helps; empty: all is well, or will be by itself."""
    return [f"{stage} stands still" for stage in state.standing]


def unready(state: State) -> list[str]:
    """Say why a delivery that is inserted now may not go out by us at once; empty: it does."""
    reasons = {
        "starting": not state.readiness.ready.is_set(),
        "stopping": state.stop.is_set(),
        "the database is away": state.outage.since is not None,
        "the listener is away": not state.counts.listening.is_connected,
    }
    return [reason for reason, holds in reasons.items() if holds]


def status(state: State, queues: Sequence[QueueFigures]) -> dict[str, Any]:
    """Return what `/status` answers: the figures of this process, and those of the queue."""
    counts, slots, now = state.counts, state.calls.slots, datetime.now(UTC)
    listening, called = counts.listening, attempts(counts)
    return {
        "name": state.me.name,
        "version": __version__,
        "started_at": state.started_at,
        "uptime_seconds": round((now - state.started_at).total_seconds(), 3),
        "ready": not (reasons := unready(state)),
        "unready_because": reasons,
        "alive": not (stages := stuck(state)),
        "stuck_because": stages,
        "config_current": state.is_config_current,
        "config_reloaded_at": state.reloaded_at,
        "in_hand": slots.in_hand,
        "running": slots.running,
        "concurrency": slots.concurrency,
        "payload_bytes": slots.payload_bytes,
        "abandoned_calls": state.calls.abandoned,
        "listener": {
            "connected": listening.is_connected,
            "deaf": listening.is_deaf,
            "connections": listening.connections,
            "notifications": listening.notifications,
            "roundtrip_seconds": listening.roundtrip_seconds,
        },
        "channels": {
            lane.channel: {
                "running": lane.running,
                "in_hand": lane.in_hand,
                "concurrency": lane.limit,
                "attempts": {kind: n for (of, kind), n in called.items() if of == lane.channel},
                "mean_call_seconds": _mean(counts.call_seconds.get(lane.channel)),
            }
            for lane in slots.lanes
        },
        "queues": {figures.channel: _queue(figures) for figures in queues},
    }


def _mean(histogram: Histogram | None) -> float | None:
    total = sum(histogram.counts) if histogram else 0
    return round(histogram.sum / total, 6) if histogram and total else None


def _queue(figures: QueueFigures) -> dict[str, Any]:
    # The server's notification queue is no channel's own.
    return {k: v for k, v in figures._asdict().items() if k not in ("channel", "notify_usage")}
