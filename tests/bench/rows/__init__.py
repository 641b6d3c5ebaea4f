"""The rows of the table, by the name that --rows takes, in the order in which they are taken."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from bench.rows import (
    adapters,
    backlog,
    ceiling,
    drain,
    idle,
    inserts,
    latency,
    paced,
    snapshot,
    soak,
    together,
    wal,
)
from bench.run import Run

Measure: TypeAlias = Callable[[Run], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Row:
    """How a row is taken: in each round, or once, because it takes minutes or repeats by itself."""

    measure: Measure
    is_interleaved: bool = True


ROWS: Mapping[str, Row] = {
    "drain": Row(drain.measure),
    "ceiling": Row(ceiling.measure),
    "paced": Row(paced.measure),
    "latency": Row(latency.measure),
    "adapters": Row(adapters.measure),
    "inserts": Row(inserts.measure),
    "together": Row(together.measure),
    "wal": Row(wal.measure),
    "idle": Row(idle.measure, is_interleaved=False),
    "snapshot": Row(snapshot.measure, is_interleaved=False),
    "backlog": Row(backlog.measure, is_interleaved=False),
    "soak": Row(soak.measure, is_interleaved=False),
}
