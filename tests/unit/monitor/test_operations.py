"""What is shipped for Prometheus and Grafana agrees with the code."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from asrq_jobs.errors import all_errors
from asrq_worker.monitor.catalogue import CATALOGUE

REPO = Path(__file__).resolve().parents[3]
PROMETHEUS = REPO / "ops" / "prometheus"
GRAFANA = REPO / "ops" / "grafana"
HOW_TO = REPO / "docs" / "how-to" / "monitor.md"
ALERTS: list[dict[str, Any]] = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text("utf-8"))["groups"][0]["rules"]
DASHBOARD: dict[str, Any] = json.loads((GRAFANA / "dashboards" / "asrq.json").read_text("utf-8"))
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]] + [rule["expr"] for rule in ALERTS]


@pytest.mark.parametrize("query", QUERIES)
def test_queries_name_metrics_and_labels_that_exist(query: str) -> None:
    known = {metric.name: metric for metric in CATALOGUE}
    named = re.findall(r"\b((?:asrq|process)_\w+)(?:\{([^}]*)\})?", query)
    if "up{" not in query:
        assert named
    for name, matchers in named:
        metric = known.get(name) or known[re.sub(r"_(bucket|sum|count)$", "", name)]
        labels = set(re.findall(r"(\w+)(?==~?\"|!)", matchers))
        assert labels <= {*metric.labels, "job"}, name


def test_each_alert_was_tested_and_says_what_to_do() -> None:
    tested = yaml.safe_load((PROMETHEUS / "alerts_test.yml").read_text("utf-8"))["tests"]
    fired = {case["alertname"] for test in tested for case in test["alert_rule_test"] if case.get("exp_alerts")}
    quiet = {case["alertname"] for test in tested for case in test["alert_rule_test"] if not case.get("exp_alerts")}
    names = {rule["alert"] for rule in ALERTS}
    assert fired == quiet == names
    explained = HOW_TO.read_text("utf-8")
    assert all(f"`{name}`" in explained for name in names)


def test_the_codes_that_are_not_the_operators_exist() -> None:
    (rule,) = [rule for rule in ALERTS if rule["alert"] == "AsrqJobsFail"]
    found = re.search(r'code!~"([^"]*)"', rule["expr"])
    assert found is not None
    codes = {cls.code for cls in all_errors()}
    for pattern in found[1].split("|"):
        assert any(re.fullmatch(pattern, code) for code in codes), pattern


def test_panels_are_complete_and_do_not_overlap() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    (variable,) = DASHBOARD["templating"]["list"]
    for panel in PANELS:
        assert panel["description"].endswith(".")
        for target in panel["targets"]:
            assert target["datasource"] == {"type": "prometheus", "uid": f"${{{variable['name']}}}"}


def test_grafana_is_provisioned_with_them() -> None:
    (source,) = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text("utf-8"))["datasources"]
    scraping = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text("utf-8"))
    assert source["jsonData"]["timeInterval"] == scraping["global"]["scrape_interval"]
    (provider,) = yaml.safe_load((GRAFANA / "provisioning/dashboards/asrq.yml").read_text("utf-8"))["providers"]
    overlay = (REPO / "ops" / "compose" / "observability.yml").read_text("utf-8")
    assert f"./ops/grafana/dashboards:{provider['options']['path']}:ro" in overlay
    assert "./ops/grafana/provisioning:/etc/grafana/provisioning:ro" in overlay
