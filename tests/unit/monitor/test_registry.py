"""Metrics of a process, and the catalogue that they come from."""

from __future__ import annotations

import logging

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.series import series

from asrq_worker.monitor import catalogue
from asrq_worker.monitor.catalogue import CATALOGUE, Metric
from asrq_worker.monitor.registry import Metrics


def test_counters_add_up_and_may_begin_at_nothing() -> None:
    metrics = Metrics()
    metrics.count(catalogue.ACTIONS, 0, action="requeued")
    metrics.count(catalogue.ACTIONS, 3, action="due")
    metrics.count(catalogue.ACTIONS, action="due")
    assert series(metrics) == {
        'asrq_reaper_actions_total{action="requeued"}': 0,
        'asrq_reaper_actions_total{action="due"}': 4,
    }


def test_histograms_leave_out_what_is_not_known() -> None:
    metrics = Metrics()
    metrics.observe(catalogue.BATCH, None, backend="fake")
    assert series(metrics) == {}
    metrics.observe(catalogue.BATCH, 3, backend="fake")
    found = series(metrics)
    assert found['asrq_batch_chunks_bucket{backend="fake",le="2.0"}'] == 0
    assert found['asrq_batch_chunks_bucket{backend="fake",le="4.0"}'] == 1
    assert found['asrq_batch_chunks_sum{backend="fake"}'] == 3


def test_readers_are_asked_each_time_and_one_that_fails_hides_no_other(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics()
    values = iter([1.0, 2.0])
    metrics.read(catalogue.LEADING, lambda: {(): next(values)})

    def broken() -> dict[tuple[str, ...], float]:
        raise OSError("broken")

    metrics.read(catalogue.MEMORY, broken)
    assert series(metrics) == {"asrq_reaper_leading": 1}
    assert series(metrics) == {"asrq_reaper_leading": 2}
    with caplog.at_level(logging.ERROR):
        metrics.exposition()
    assert "metric.defect" in caplog.messages


def test_what_it_exports_can_be_parsed() -> None:
    metrics = Metrics()
    metrics.read(catalogue.ENGINE_RESTARTS, lambda: {("fake", 'odd "reason"\n'): 1.0})
    (family,) = text_string_to_metric_families(metrics.exposition().decode())
    assert (family.name, family.type) == ("asrq_engine_restarts", "counter")
    assert family.samples[0].labels == {"backend": "fake", "reason": 'odd "reason"\n'}


def test_names_are_unique_and_tell_their_unit() -> None:
    names = [metric.name for metric in CATALOGUE]
    assert len(set(names)) == len(names)
    for metric in CATALOGUE:
        assert metric.name.startswith(("asrq_", "process_")), metric.name
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        assert bool(metric.buckets) == (metric.kind == "histogram"), metric.name
        assert list(metric.buckets) == sorted(metric.buckets), metric.name
        assert metric.help.endswith("."), metric.name


@pytest.mark.parametrize("metric", CATALOGUE, ids=lambda metric: metric.name)
def test_labels_have_few_values(metric: Metric) -> None:
    few = {"lane", "backend", "outcome", "code", "progress", "state", "reason", "step", "model", "device", "stand_in"}
    few |= {"route", "status"}
    assert set(metric.labels) <= few | {"action", "event", "version", "need"}
