"""Every metric: its name, its labels, what it means, and where its value comes from.

Labels are channels and closed lists: never an id, a recipient or anybody's words. What is called
queue is the database's, and every daemon says the same of it: one takes `max`, not `sum`. All
else is of one process.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from chimewayd import __version__, migrate
from chimewayd.counts import Histogram
from chimewayd.health import unready
from chimewayd.log import lines_held_back
from chimewayd.models import QueueFigures
from chimewayd.slots import Lane
from chimewayd.state import State

Queues = Sequence[QueueFigures]
Samples = Iterable[tuple[Sequence[str], float]]


@dataclass(frozen=True, slots=True)
class Gauge:
    """What goes up and down."""

    name: str
    labels: tuple[str, ...]
    meaning: str
    samples: Callable[[State, Queues], Samples]


@dataclass(frozen=True, slots=True)
class Total:
    """What only grows, until the process ends."""

    name: str
    labels: tuple[str, ...]
    meaning: str
    samples: Callable[[State, Queues], Samples]


@dataclass(frozen=True, slots=True)
class Spread:
    """A histogram."""

    name: str
    labels: tuple[str, ...]
    meaning: str
    samples: Callable[[State], Iterable[tuple[Sequence[str], Histogram]]]


Metric = Gauge | Total | Spread


def _one(value: Callable[[State], float | None]) -> Callable[[State, Queues], Samples]:
    """Take a metric without labels; None leaves it out."""
    return lambda state, _: [((), known)] if (known := value(state)) is not None else []


def _lanes(value: Callable[[Lane], float]) -> Callable[[State, Queues], Samples]:
    return lambda state, _: [((lane.channel,), value(lane)) for lane in state.calls.slots.lanes]


def _queues(value: Callable[[QueueFigures], float]) -> Callable[[State, Queues], Samples]:
    return lambda _, queues: [((queue.channel,), value(queue)) for queue in queues]


def _columns(*names: str) -> Callable[[State, Queues], Samples]:
    """Take one sample for each of these columns, with its name as the label."""
    return lambda _, queues: [
        ((queue.channel, name), getattr(queue, name)) for queue in queues for name in names
    ]


def _counted(
    counts: Callable[[State], Mapping[tuple[str, str], int]],
) -> Callable[[State, Queues], Samples]:
    return lambda state, _: counts(state).items()


METRICS: Final[tuple[Metric, ...]] = (
    Gauge(
        "chimewayd_queue_deliveries",
        ("channel", "state"),
        "Deliveries by state: due, scheduled, held, in_flight. The first three stop at 100000.",
        _columns("due", "scheduled", "held", "in_flight"),
    ),
    Gauge(
        "chimewayd_queue_oldest_due_age_seconds",
        ("channel",),
        "How long the oldest due delivery has waited; 0 where nothing is due.",
        _queues(lambda queue: queue.oldest_due_seconds or 0.0),
    ),
    Total(
        "chimewayd_queue_ended_total",
        ("channel", "status"),
        "Deliveries that ended since the schema was made, by state: succeeded, suppressed, "
        "cancelled.",
        _columns("succeeded", "suppressed", "cancelled"),
    ),
    Gauge(
        "chimewayd_queue_paused",
        ("channel",),
        "1 where the channel is paused.",
        _queues(lambda queue: queue.is_paused),
    ),
    Gauge(
        "chimewayd_queue_daemons",
        ("channel",),
        "Daemons that serve the channel.",
        _queues(lambda queue: queue.daemons),
    ),
    Gauge(
        "chimewayd_pg_notify_queue_usage_ratio",
        (),
        "Share of the server's notification queue in use.",
        lambda _, queues: [((), queue.notify_usage) for queue in queues[:1]],
    ),
    Total(
        "chimewayd_attempts_total",
        ("channel", "outcome"),
        "Calls that ended and were recorded, by outcome.",
        lambda state, _: [
            ((channel, outcome.kind), count)
            for (channel, outcome), count in state.counts.attempts.items()
        ],
    ),
    Total(
        "chimewayd_deliveries_total",
        ("channel", "outcome"),
        "Deliveries that this process ended: succeeded, retries_exhausted, permanent_failure, "
        "bounced, outcome_unknown, expired, or asked_for (cancelled or suppressed during a call).",
        lambda state, _: state.counts.ended.items(),
    ),
    Total(
        "chimewayd_late_outcomes_total",
        ("channel",),
        "Outcomes that came after their lease was lost: history, and no change of state.",
        lambda state, _: [((channel,), count) for channel, count in state.counts.late.items()],
    ),
    Spread(
        "chimewayd_attempt_duration_seconds",
        ("channel",),
        "How long calls took.",
        lambda state: [
            ((channel,), spread) for channel, spread in state.counts.call_seconds.items()
        ],
    ),
    Gauge(
        "chimewayd_in_flight",
        ("channel",),
        "Calls under way.",
        _lanes(lambda lane: lane.running),
    ),
    Gauge(
        "chimewayd_in_hand",
        ("channel",),
        "Deliveries that were claimed and are not recorded yet.",
        _lanes(lambda lane: lane.in_hand),
    ),
    Gauge(
        "chimewayd_concurrency_limit",
        ("channel",),
        "Calls that may be under way at one time.",
        _lanes(lambda lane: lane.limit),
    ),
    Gauge(
        "chimewayd_payload_bytes",
        (),
        "Payloads held in memory.",
        _one(lambda state: state.calls.slots.payload_bytes),
    ),
    Total(
        "chimewayd_abandoned_calls_total",
        (),
        "Calls that did not end even when they were cut.",
        _one(lambda state: state.calls.abandoned),
    ),
    Spread(
        "chimewayd_claim_duration_seconds",
        (),
        "How long the database took for a claim; it grows with dead rows.",
        lambda state: [((), state.counts.claim_seconds)],
    ),
    Spread(
        "chimewayd_claim_batch_size",
        (),
        "Deliveries a claim brought.",
        lambda state: [((), state.counts.claim_sizes)],
    ),
    Spread(
        "chimewayd_record_duration_seconds",
        (),
        "How long the database took for a record, outages included.",
        lambda state: [((), state.counts.record_seconds)],
    ),
    Total(
        "chimewayd_wakeups_total",
        ("source",),
        "What ended a sleep: bell, due (a due time), doze (a transaction that will not ring), "
        "poll.",
        lambda state, _: [((source,), count) for source, count in state.counts.wakeups.items()],
    ),
    Total(
        "chimewayd_notifications_total",
        (),
        "Notifications heard from producers.",
        _one(lambda state: state.counts.listening.notifications),
    ),
    Gauge(
        "chimewayd_listener_connected",
        (),
        "1 while the listening session stands.",
        _one(lambda state: state.counts.listening.is_connected),
    ),
    Gauge(
        "chimewayd_listener_deaf",
        (),
        "1 where notifications do not arrive, and deliveries wait for the poll.",
        _one(lambda state: state.counts.listening.is_deaf),
    ),
    Total(
        "chimewayd_listener_connections_total",
        (),
        "Listening sessions opened; more than one means that some were lost.",
        _one(lambda state: state.counts.listening.connections),
    ),
    Gauge(
        "chimewayd_listener_roundtrip_seconds",
        (),
        "From the last notification to ourselves until it was heard.",
        _one(lambda state: state.counts.listening.roundtrip_seconds),
    ),
    Gauge(
        "chimewayd_database_up",
        (),
        "0 during an outage of the database.",
        _one(lambda state: state.outage.since is None),
    ),
    Total(
        "chimewayd_leases_recovered_total",
        (),
        "Deliveries that this process took from daemons that were gone.",
        _one(lambda state: state.counts.rescued),
    ),
    Total(
        "chimewayd_leases_lost_total",
        (),
        "Claims of this process that others took.",
        _one(lambda state: state.counts.leases_lost),
    ),
    Gauge(
        "chimewayd_ready",
        (),
        "1 where /readyz says yes.",
        _one(lambda state: not unready(state)),
    ),
    Gauge(
        "chimewayd_alive",
        (),
        "1 where /livez says yes: no stage stands still.",
        _one(lambda state: not state.standing),
    ),
    Gauge(
        "chimewayd_config_last_reload_successful",
        (),
        "0 where the last reload was refused, and the settings before it are in force.",
        _one(lambda state: state.is_config_current),
    ),
    Gauge(
        "chimewayd_config_last_reload_success_timestamp_seconds",
        (),
        "When the settings in force were read.",
        _one(lambda state: (state.reloaded_at or state.started_at).timestamp()),
    ),
    Total(
        "chimewayd_log_lines_held_back_total",
        (),
        "Warnings and errors that were counted and not said, because they repeat.",
        _one(lambda _: lines_held_back()),
    ),
    Gauge(
        "chimewayd_schema_version",
        (),
        "Number of the newest migration this release knows; no other schema is served.",
        _one(lambda _: migrate.schema_version()),
    ),
    Gauge(
        "chimewayd_build_info",
        ("name", "version"),
        "1; the labels say who this is.",
        lambda state, _: [((state.me.name, __version__), 1)],
    ),
)
