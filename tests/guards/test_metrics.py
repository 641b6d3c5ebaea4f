"""Metrics: documented, well named, and the same in what ships beside the daemon."""

import re

import pytest
from metric_table import README, rows

from chimewayd.metric import Metric, Spread, Total
from chimewayd.metrics import METRICS

LABELS = {"channel", "state", "status", "outcome", "source", "name", "version"}
"""All of them closed lists, or names out of the configuration."""


def test_table_of_metrics_is_that_of_the_code() -> None:
    assert rows() in README.read_text("utf-8"), "run `python tests/metric_table.py`"


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_metric_is_named_as_prometheus_wants(metric: Metric) -> None:
    assert re.fullmatch(r"chimewayd_[a-z]+(_[a-z]+)*", metric.name)
    assert metric.name.endswith("_total") is isinstance(metric, Total)
    if isinstance(metric, Spread):
        assert metric.name.endswith(("_seconds", "_size"))
    assert metric.meaning.endswith(".")


def test_labels_hold_nothing_that_grows() -> None:
    assert {label for metric in METRICS for label in metric.labels} <= LABELS


def test_metric_is_there_once() -> None:
    names = [metric.name for metric in METRICS]

    assert len(names) == len(set(names))
