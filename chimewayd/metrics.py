"""Every metric: its name, its labels, what it means, and where its value comes from.

Labels are channels and closed lists: never an id, a recipient or anybody's words. What is called
queue is the database's, and every daemon says the same of it: one takes `max`, not `sum`. All
else is of one process.
"""

from typing import Final

from chimewayd import __version__, migrate
from chimewayd.counts import ENDINGS, OUTCOMES, attempts
from chimewayd.health import unready
from chimewayd.log import lines_held_back
from chimewayd.log_output import lines_lost
from chimewayd.metric import (
    Gauge,
    Metric,
    Spread,
    Total,
    from_zero,
    of_columns,
    of_lanes,
    of_queues,
    single,
)

METRICS: Final[tuple[Metric, ...]] = (
    Gauge(
        "chimewayd_queue_deliveries",
        ("channel", "state"),
        "Deliveries by state: due, scheduled, held, in_flight. The first three stop at 100000.",
        of_columns("due", "scheduled", "held", "in_flight"),
    ),
    Gauge(
        "chimewayd_queue_oldest_due_age_seconds",
        ("channel",),
        "How long the oldest due delivery has waited; 0 where nothing is due.",
        of_queues(lambda queue: queue.oldest_due_seconds or 0.0),
    ),
    Gauge(
        "chimewayd_queue_ended",
        ("channel", "status"),
        "Deliveries that have ended since the schema was made, by state: succeeded, suppressed, "
        "cancelled. A replay takes its own out again.",
        of_columns("succeeded", "suppressed", "cancelled"),
    ),
    Gauge(
        "chimewayd_queue_paused",
        ("channel",),
        "1 where the channel is paused.",
        of_queues(lambda queue: queue.is_paused),
    ),
    Gauge(
        "chimewayd_queue_daemons",
        ("channel",),
        "Daemons that serve the channel.",
        of_queues(lambda queue: queue.daemons),
    ),
    Gauge(
        "chimewayd_queue_circuit_open",
        ("channel",),
        "1 where the breaker of the channel is open, or one delivery tries whether to close it.",
        of_queues(lambda queue: (queue.limited_by or "").startswith("breaker")),
    ),
    Gauge(
        "chimewayd_queue_rate_limited",
        ("channel",),
        "1 where the channel has used up its rate for the moment.",
        of_queues(lambda queue: queue.limited_by == "rate"),
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
        lambda state, _: from_zero(state, OUTCOMES, attempts(state.counts)),
    ),
    Total(
        "chimewayd_deliveries_total",
        ("channel", "outcome"),
        "Deliveries that this process ended: succeeded, retries_exhausted, permanent_failure, "
        "bounced, outcome_unknown, expired, or asked_for (cancelled or suppressed during a call).",
        lambda state, _: from_zero(state, ENDINGS, state.counts.ended),
    ),
    Total(
        "chimewayd_deferred_total",
        ("channel",),
        "Deliveries that went back to the queue, no attempt used: their host had all its calls.",
        lambda state, _: [
            ((lane.channel,), state.counts.deferred[lane.channel])
            for lane in state.calls.slots.lanes
        ],
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
    Spread(
        "chimewayd_pickup_latency_seconds",
        ("channel",),
        "From due to claimed, of first calls: inserted, scheduled or replayed, until then.",
        lambda state: [
            ((channel,), spread) for channel, spread in state.counts.pickup_seconds.items()
        ],
    ),
    Spread(
        "chimewayd_delivery_latency_seconds",
        ("channel",),
        "From due to a recorded success, retries and all.",
        lambda state: [
            ((channel,), spread) for channel, spread in state.counts.delivery_seconds.items()
        ],
    ),
    Gauge(
        "chimewayd_in_flight",
        ("channel",),
        "Calls under way.",
        of_lanes(lambda lane: lane.running),
    ),
    Gauge(
        "chimewayd_in_hand",
        ("channel",),
        "Deliveries that were claimed and are not recorded yet.",
        of_lanes(lambda lane: lane.in_hand),
    ),
    Gauge(
        "chimewayd_concurrency_limit",
        ("channel",),
        "Calls that may be under way at one time.",
        of_lanes(lambda lane: lane.limit),
    ),
    Gauge(
        "chimewayd_payload_bytes",
        (),
        "Payloads held in memory.",
        single(lambda state: state.calls.slots.payload_bytes),
    ),
    Total(
        "chimewayd_abandoned_calls_total",
        (),
        "Calls that did not end even when they were cut.",
        single(lambda state: state.calls.abandoned),
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
        single(lambda state: state.counts.listening.notifications),
    ),
    Gauge(
        "chimewayd_listener_connected",
        (),
        "1 while the listening session stands.",
        single(lambda state: state.counts.listening.is_connected),
    ),
    Gauge(
        "chimewayd_listener_deaf",
        (),
        "1 where notifications do not arrive, and deliveries wait for the poll.",
        single(lambda state: state.counts.listening.is_deaf),
    ),
    Total(
        "chimewayd_listener_connections_total",
        (),
        "Listening sessions opened; more than one means that some were lost.",
        single(lambda state: state.counts.listening.connections),
    ),
    Gauge(
        "chimewayd_listener_roundtrip_seconds",
        (),
        "From the last notification to ourselves until it was heard.",
        single(lambda state: state.counts.listening.roundtrip_seconds),
    ),
    Gauge(
        "chimewayd_database_up",
        (),
        "0 during an outage of the database.",
        single(lambda state: state.outage.since is None),
    ),
    Total(
        "chimewayd_leases_recovered_total",
        (),
        "Deliveries that this process took from daemons that were gone.",
        single(lambda state: state.counts.rescued),
    ),
    Total(
        "chimewayd_leases_lost_total",
        (),
        "Claims of this process that others took.",
        single(lambda state: state.counts.leases_lost),
    ),
    Gauge(
        "chimewayd_ready",
        (),
        "1 where /readyz says yes.",
        single(lambda state: not unready(state)),
    ),
    Gauge(
        "chimewayd_alive",
        (),
        "1 where /livez says yes: no stage stands still.",
        single(lambda state: not state.standing),
    ),
    Gauge(
        "chimewayd_config_last_reload_successful",
        (),
        "0 where the last reload was refused, and the settings before it are in force.",
        single(lambda state: state.is_config_current),
    ),
    Gauge(
        "chimewayd_config_last_reload_success_timestamp_seconds",
        (),
        "When the settings in force were read.",
        single(lambda state: (state.reloaded_at or state.started_at).timestamp()),
    ),
    Total(
        "chimewayd_log_lines_held_back_total",
        (),
        "Warnings and errors that were counted and not said, because they repeat.",
        single(lambda _: lines_held_back()),
    ),
    Total(
        "chimewayd_log_lines_lost_total",
        (),
        "Lines of the log that could not be written: its reader is gone, or its disk is full.",
        single(lambda _: lines_lost()),
    ),
    Gauge(
        "chimewayd_schema_version",
        (),
        "Number of the newest migration this release knows; no other schema is served.",
        single(lambda _: migrate.schema_version()),
    ),
    Gauge(
        "chimewayd_build_info",
        ("name", "version"),
        "1; the labels say who this is.",
        lambda state, _: [((state.me.name, __version__), 1)],
    ),
)
