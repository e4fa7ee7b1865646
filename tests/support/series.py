"""What a process tells of itself, as tests read it."""

from __future__ import annotations

from asrq_worker.monitor.registry import Metrics


def series(metrics: Metrics) -> dict[str, float]:
    """Every exported series as `name{label="value"}`, and its value."""
    lines = [line for line in metrics.exposition().decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}
