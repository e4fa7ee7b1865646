"""`asrq worker`: a host's worker."""

from __future__ import annotations

import click

from asrq_jobs import configuration
from asrq_worker.cli import running


@click.command(
    epilog="\b\nExamples:\n  asrq worker --model base\n  asrq worker --lanes interactive:2,batch:6 --model ./my-model"
)
@running.lanes_option
@running.model_options
def worker(lanes: str | None, model: str | None, backend: str | None) -> None:
    """Run a worker: load the model once, then transcribe the jobs of the queue at ASRQ_REDIS_URL.

    The first SIGTERM or Ctrl-C takes nothing new, finishes what runs within ASRQ_GRACE_S and hands the rest back;
    the second does not wait.
    """
    from asrq_worker import service

    config = configuration.load(lanes=lanes, model=model, backend=backend)
    with running.in_foreground(config) as foreground:
        service.run(config, foreground)
