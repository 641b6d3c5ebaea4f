"""The page that Prometheus scrapes: made from plain counts when somebody asks, never before."""

from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from chimewayd.counts import Histogram
from chimewayd.metric import Gauge, Spread
from chimewayd.metrics import METRICS
from chimewayd.models import QueueFigures
from chimewayd.state import State


class MetricPage(Collector):
    """What is seen now, and the queue as it was last seen."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._queues: Sequence[QueueFigures] = ()
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def render(self, queues: Sequence[QueueFigures], accept: str) -> tuple[bytes, str]:
        """Return the page and its content type, in the format that the scraper accepts."""
        self._queues = queues
        try:
            encode, content_type = choose_encoder(accept)
        except TypeError:  # it compares what the scraper calls a version with numbers
            encode, content_type = choose_encoder("")
        return encode(self._registry), content_type

    def describe(self) -> list[Metric]:
        """Name nothing at registration: there is nothing to see yet."""
        return []

    def collect(self) -> Iterator[Metric]:
        for metric in METRICS:
            if isinstance(metric, Spread):
                yield _spread(metric, self._state)
                continue
            kind = GaugeMetricFamily if isinstance(metric, Gauge) else CounterMetricFamily
            family = kind(metric.name, metric.meaning, labels=metric.labels)
            for labels, value in metric.samples(self._state, self._queues):
                family.add_metric(labels, value)
            yield family


def _spread(metric: Spread, state: State) -> Metric:
    family = HistogramMetricFamily(metric.name, metric.meaning, labels=metric.labels)
    for labels, histogram in metric.samples(state):
        family.add_metric(labels, _buckets(histogram), sum_value=histogram.sum)
    return family


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    bounds = [*(str(bound) for bound in histogram.bounds), "+Inf"]
    return list(zip(bounds, accumulate(histogram.counts), strict=True))
