"""`asrq up`: the whole of it on one machine."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import click

from asrq_jobs import configuration
from asrq_jobs.cli import failure, options, printing
from asrq_worker.cli import running
from asrq_worker.queue import rq_prefix


@click.command(
    epilog="\b\nExamples:\n  asrq up\n  asrq up --data ~/asrq --port 6400 --model base\n"
    "  asrq up --exit-with-parent --port 0 --json"
)
@click.option(
    "--data",
    type=options.NamedPath(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Keep jobs and results here; default: nothing is kept.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=6379, show_default=True, help="0: any free one.")
@running.lanes_option
@running.model_options
@running.parent_option
@options.json_option
def up(
    data: Path | None,
    port: int,
    lanes: str | None,
    model: str | None,
    backend: str | None,
    exit_with_parent: bool,
    as_json: bool,
) -> None:
    """Run an embedded Valkey, a worker and the reaper on this machine, until Ctrl-C or SIGTERM.

    Prints ASRQ_REDIS_URL=… for other clients once jobs are taken. Valkey listens on loopback only.
    """
    rq_prefix.refuse()
    from asrq_worker.process import parent
    from asrq_worker.programs import up as everything

    def ready(url: str) -> None:
        if as_json:
            printing.give_json({"status": "ready", "redis_url": url})
            return
        printing.say(f"ASRQ_REDIS_URL={url}")
        failure.note("ready; Ctrl-C finishes what runs and stops.")
        if data is None:
            failure.note("jobs and results are not kept after that: name a folder with --data to keep them.")

    config = configuration.load(lanes=lanes, model=model, backend=backend)
    with running.in_foreground(config) as foreground:

        def abandoned() -> None:
            foreground.hurry.set()  # nobody is left to wait for what runs
            os.kill(os.getpid(), signal.SIGTERM)  # which ends the start as well

        if exit_with_parent:
            parent.watch(abandoned)
        everything.run(config, foreground, data=data, port=port, ready=ready)
