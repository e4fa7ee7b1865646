"""`asrq worker`: a host's worker."""

from __future__ import annotations

import click

from asrq_jobs import configuration
from asrq_worker.cli import running
from asrq_worker.queue import rq_prefix


@click.command(
    epilog="\b\nExamples:\n  asrq worker --model base\n"
    "  asrq worker --lanes interactive:2,batch:6 --model ./my-model\n"
    "  asrq worker --metrics-port 9180\n  asrq worker --check"
)
@running.lanes_option
@running.model_options
@running.metrics_port_option
@running.check_option
def worker(lanes: str | None, model: str | None, backend: str | None, metrics_port: int | None, check: bool) -> None:
    """Run a worker: load the model once, then transcribe the jobs of the queue at ASRQ_REDIS_URL.

    On the first SIGTERM or Ctrl-C it takes no new jobs, finishes those that end within ASRQ_GRACE_S and gives back
    the rest; on the second it does not wait.
    """
    rq_prefix.refuse()
    config = configuration.load(lanes=lanes, model=model, backend=backend, metrics_port=metrics_port)
    if check:
        from asrq_worker.monitor.check import worker_problem

        running.tell_health(worker_problem(config))
        return
    from asrq_worker.programs import worker as program

    with running.stopped_by_signals(config) as shutdown:
        program.run(config, shutdown)
