"""The table of metrics in deploy/README.md. `python tests/metric_table.py` writes it anew."""

import re
from pathlib import Path

from chimewayd.metric import Gauge, Metric, Spread
from chimewayd.metrics import METRICS

README = Path(__file__).parents[1] / "deploy" / "README.md"
PREFIX = "chimewayd_"
TABLE = re.compile(
    r"(?<=\| metric \| kind \| labels \| meaning \|\n\|---\|---\|---\|---\|\n)(\|.*\n)*"
)


def rows() -> str:
    return "".join(
        f"| `{metric.name.removeprefix(PREFIX)}` | {_kind(metric)} "
        f"| {', '.join(f'`{label}`' for label in metric.labels)} | {metric.meaning} |\n"
        for metric in METRICS
    )


def _kind(metric: Metric) -> str:
    if isinstance(metric, Spread):
        return "histogram"
    return "gauge" if isinstance(metric, Gauge) else "counter"


if __name__ == "__main__":
    README.write_text(TABLE.sub(lambda _: rows(), README.read_text("utf-8")), "utf-8")
