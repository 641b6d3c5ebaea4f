"""Alerts and dashboard speak of metrics and labels that exist, and each alert is explained."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from chimewayd.metric import Spread
from chimewayd.metrics import METRICS

DEPLOY = Path(__file__).parents[2] / "deploy"
ALERTS = DEPLOY / "prometheus" / "alerts.yml"
FIRED = Path(__file__).with_name("fired_alerts.yml")
DASHBOARD = DEPLOY / "grafana" / "chimewayd.json"
RULES = yaml.safe_load(ALERTS.read_text("utf-8"))["groups"][0]["rules"]

LABELS = {
    name: set(metric.labels)
    for metric in METRICS
    for name in (
        [f"{metric.name}_{part}" for part in ("bucket", "sum", "count")]
        if isinstance(metric, Spread)
        else [metric.name]
    )
}
OF_ANY = {"job", "instance", "le"}


def queries() -> Iterator[tuple[str, str]]:
    """Yield each query with where it stands."""
    for rule in RULES:
        yield rule["alert"], rule["expr"]
    dashboard = json.loads(DASHBOARD.read_text("utf-8"))
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]
    for variable in dashboard["templating"]["list"]:
        yield variable["name"], variable["query"]


@pytest.mark.parametrize(("where", "query"), list(queries()))
def test_query_names_metrics_and_labels_that_exist(where: str, query: str) -> None:
    used = re.findall(r"(chimewayd_\w+)(?:\{([^}]*)\})?", query)
    grouped = re.findall(r"(?:by|on) \(([^)]*)\)", query)
    asked = {label.strip() for group in grouped for label in group.split(",")}

    assert [name for name, _ in used if name not in LABELS] == [], where
    for name, matchers in used:
        labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
        assert labels <= LABELS[name] | OF_ANY, where
    known = OF_ANY.union(*(LABELS[name] for name, _ in used))
    assert asked <= known, where


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_alert_is_explained_where_its_runbook_says(rule: dict[str, Any]) -> None:
    file, _, anchor = rule["annotations"]["runbook"].partition("#")

    explained = (DEPLOY.parent / file).read_text("utf-8")

    assert anchor == rule["alert"].lower()
    assert f'<a id="{anchor}"></a>`{rule["alert"]}`' in explained
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}


def test_no_alert_is_explained_that_does_not_exist() -> None:
    explained = re.findall(r"</a>`(Chimewayd\w+)`", (DEPLOY / "README.md").read_text("utf-8"))

    assert sorted(explained) == sorted(rule["alert"] for rule in RULES)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool comes with Prometheus")
@pytest.mark.parametrize(
    "arguments", [("check", "rules", ALERTS), ("test", "rules", FIRED)], ids=["check", "test"]
)
def test_prometheus_takes_the_rules_and_fires_as_expected(arguments: tuple[object, ...]) -> None:
    command = ["promtool", *map(str, arguments)]

    checked = subprocess.run(command, capture_output=True, text=True, check=False)

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_panels_have_places_of_their_own() -> None:
    panels = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    cells = [
        (x, y)
        for panel in panels
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]

    assert len(cells) == len(set(cells))
    assert len({panel["id"] for panel in panels}) == len(panels)
