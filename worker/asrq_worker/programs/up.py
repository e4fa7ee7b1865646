"""Everything on one machine: an embedded Valkey, a worker and the reaper, as one program."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from asrq_jobs.connection import connect
from asrq_jobs.settings import Settings
from asrq_worker.embedded.valkey import EmbeddedValkey
from asrq_worker.monitor.reaper import ReaperMonitor
from asrq_worker.monitor.registry import Metrics
from asrq_worker.process.shutdown import StopSignals
from asrq_worker.programs import worker
from asrq_worker.reaper.courier import Courier
from asrq_worker.reaper.reaper import Reaper


def run(
    settings: Settings,
    shutdown: StopSignals,
    *,
    data: Path | None,
    port: int,
    ready: Callable[[str], None],
    beside: Callable[[Settings, Metrics], AbstractContextManager[object]] = lambda _settings, _metrics: nullcontext(),
) -> None:
    """Run until a signal ends it; `ready` gets the URL of the queue once jobs are taken.

    Args:
        settings: of the worker and the reaper; `redis_url` is replaced by the embedded server's.
        shutdown: entered.
        data: folder where jobs and results survive a stop; None: nothing is kept.
        port: to listen on, loopback only; 0 for a free one.
        ready: called once.
        beside: what else runs for as long; it gets the settings with the URL of the queue, and the metrics.

    Raises:
        SetupError, QueueError, EngineError: it cannot start.
    """
    with EmbeddedValkey(data=data, port=port) as url:
        settings = settings.model_copy(update={"redis_url": url})
        redis = connect(settings)
        metrics = Metrics()
        watching = ReaperMonitor(metrics, redis, settings)
        reaper = Reaper(redis, settings, observe=watching.looked)
        try:
            with Courier(redis, settings), reaper, beside(settings, metrics):
                worker.run(settings, shutdown, ready=lambda: ready(url), metrics=metrics)
        finally:
            watching.close()
            redis.close()
