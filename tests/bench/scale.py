"""How much of everything: the full run and the quick one."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """The sizes of one run; durations in seconds."""

    name: str
    rounds: int
    drain: int
    """Deliveries of a drain. Slower engines get a share of it."""
    drain_seconds: float
    """After these an engine's rate is known well enough."""
    latency_seconds: float
    adapter_seconds: float
    insert_seconds: int
    insert_clients: tuple[int, ...]
    wal_deliveries: int
    snapshot_seconds: float
    snapshot_window_seconds: float
    snapshot_batch: int
    backlog: int
    backlog_rounds: int
    idle_seconds: float
    soak_seconds: float


FULL = Scale(
    name="full",
    rounds=5,
    drain=100_000,
    drain_seconds=30,
    latency_seconds=10,
    adapter_seconds=4,
    insert_seconds=4,
    insert_clients=(1, 8, 32),
    wal_deliveries=20_000,
    snapshot_seconds=180,
    snapshot_window_seconds=60,
    snapshot_batch=20_000,
    backlog=5_000_000,
    backlog_rounds=5,
    idle_seconds=20,
    soak_seconds=600,
)

QUICK = Scale(
    name="quick",
    rounds=1,
    drain=20_000,
    drain_seconds=4,
    latency_seconds=3,
    adapter_seconds=2,
    insert_seconds=1,
    insert_clients=(1, 32),
    wal_deliveries=2_000,
    snapshot_seconds=20,
    snapshot_window_seconds=5,
    snapshot_batch=5_000,
    backlog=500_000,
    backlog_rounds=1,
    idle_seconds=5,
    soak_seconds=30,
)
