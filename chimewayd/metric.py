"""What a metric is, and the ways to take its value from a running daemon."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from chimewayd.counts import Histogram
from chimewayd.lanes import Lane
from chimewayd.models import QueueFigures
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


def single(value: Callable[[State], float | None]) -> Callable[[State, Queues], Samples]:
    """Take a metric without labels; None leaves it out."""
    return lambda state, _: [((), known)] if (known := value(state)) is not None else []


def of_lanes(value: Callable[[Lane], float]) -> Callable[[State, Queues], Samples]:
    return lambda state, _: [((lane.channel,), value(lane)) for lane in state.calls.slots.lanes]


def of_queues(value: Callable[[QueueFigures], float]) -> Callable[[State, Queues], Samples]:
    return lambda _, queues: [((queue.channel,), value(queue)) for queue in queues]


def of_columns(*names: str) -> Callable[[State, Queues], Samples]:
    """Take one sample for each of these columns, with its name as the label."""
    return lambda _, queues: [
        ((queue.channel, name), getattr(queue, name)) for queue in queues for name in names
    ]


def from_zero(
    state: State, values: Iterable[str], counted: Mapping[tuple[str, str], int]
) -> Samples:
    """Begin each series at nought: one that began at one would not show its first increase."""
    nothing = {(lane.channel, value): 0 for lane in state.calls.slots.lanes for value in values}
    return (nothing | dict(counted)).items()
