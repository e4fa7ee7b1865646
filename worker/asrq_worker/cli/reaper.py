"""`asrq reaper`: brings back what dead workers held."""

from __future__ import annotations

import click

from asrq_jobs import configuration
from asrq_jobs.cli.output import echo_json
from asrq_jobs.connection import connect, queue_errors
from asrq_worker.cli import running


@click.command(epilog="\b\nExample:\n  asrq reaper")
@click.option("--once", is_flag=True, help="Look once, print what was done as JSON, and end.")
def reaper(once: bool) -> None:
    """Bring back the jobs of workers that died, and queue retries whose time has come.

    Any number may run; one of them leads. At least one has to run.
    """
    from dataclasses import asdict

    from asrq_worker.reaper import Reaper

    config = configuration.load()
    with connect(config) as redis, running.in_foreground(config) as foreground:
        with queue_errors(config):
            redis.ping()
            if once:
                echo_json(asdict(Reaper(redis, config).run_once()))
                return
        foreground.started()
        Reaper(redis, config).run(foreground.stop)
