"""The metrics of one process: counted as things happen, or read at a scrape."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from asrq_worker.monitor.catalogue import Metric
from asrq_worker.telemetry.logs import Log

_log = Log("asrq.monitor")

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Reader = Callable[[], Mapping[tuple[str, ...], float]]
"""Returns values by the values of the labels, in the order of the catalogue."""

disable_created_metrics()  # type: ignore[no-untyped-call]  # theirs; a second series for each counter, which nobody asks for


class Metrics(Collector):
    """Thread-safe. Only what was counted, observed or has a reader is exported."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._lock = threading.Lock()
        self._counters: dict[Metric, Counter] = {}
        self._histograms: dict[Metric, Histogram] = {}
        self._readers: dict[Metric, Reader] = {}
        self._registry.register(self)

    def count(self, metric: Metric, amount: float = 1.0, **labels: str) -> None:
        """Add to a counter; an amount of 0 makes it known, so that its first increase is seen as one."""
        with self._lock:
            if metric not in self._counters:
                self._counters[metric] = Counter(metric.name, metric.help, metric.labels, registry=self._registry)
        counter = self._counters[metric]
        (counter.labels(**labels) if labels else counter).inc(amount)

    def observe(self, metric: Metric, value: float | None, **labels: str) -> None:
        """Add a value to a histogram; None, a value that is not known, is none."""
        if value is None:
            return
        with self._lock:
            if metric not in self._histograms:
                self._histograms[metric] = Histogram(
                    metric.name, metric.help, metric.labels, registry=self._registry, buckets=metric.buckets
                )
        self._histograms[metric].labels(**labels).observe(value)

    def read(self, metric: Metric, reader: Reader) -> None:
        """Have a gauge or counter read whenever the metrics are asked for."""
        self._readers[metric] = reader

    def exposition(self) -> bytes:
        """Return everything in Prometheus' text format (`CONTENT_TYPE`)."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """Read what is read on demand; the registry calls it. A reader that fails costs its own metric only."""
        for metric, reader in list(self._readers.items()):
            make = GaugeMetricFamily if metric.kind == "gauge" else CounterMetricFamily
            family = make(metric.name, metric.help, labels=metric.labels)
            try:
                for labels, value in reader().items():
                    family.add_metric(labels, value)
            except Exception as error:  # noqa: BLE001  # a defect in one must not hide the others
                _log.defect("metric.defect", error, metric=metric.name)
                continue
            yield family
