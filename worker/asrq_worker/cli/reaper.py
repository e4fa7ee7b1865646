"""`asrq reaper`: brings back what dead workers held."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from asrq_jobs import configuration
from asrq_jobs.cli import options, printing
from asrq_jobs.connection import connect, queue_errors
from asrq_jobs.errors import UsageError
from asrq_worker.cli import running
from asrq_worker.queue import rq_prefix

if TYPE_CHECKING:
    from asrq_worker.reaper.reaper import Round


@click.command(epilog="\b\nExamples:\n  asrq reaper\n  asrq reaper --once --dry-run")
@click.option("--once", is_flag=True, help="Look at everything once, print what was done, and end.")
@click.option("--dry-run", is_flag=True, help="With --once: change nothing, print what would be done.")
@options.json_option
@running.metrics_port_option
@running.check_option
def reaper(once: bool, dry_run: bool, as_json: bool, metrics_port: int | None, check: bool) -> None:
    """Bring back the jobs of workers that died, queue retries whose time has come, and deliver webhooks.

    Any number may run, and one of them leads. At least one has to run. --once shows problems that take more than one
    look to be sure of as suspected, and leaves them to the reaper that runs.
    """
    if (dry_run or as_json) and not once:
        raise UsageError("--dry-run and --json need --once.", hint="asrq reaper --once --dry-run")
    rq_prefix.refuse()
    config = configuration.load(metrics_port=metrics_port)
    if check:
        from asrq_worker.monitor.check import reaper_problem

        running.tell_health(reaper_problem(config))
        return
    from asrq_worker.monitor.reaper import ReaperMonitor
    from asrq_worker.monitor.registry import Metrics
    from asrq_worker.monitor.server import listening
    from asrq_worker.queue.loop import end
    from asrq_worker.queue.outage import Outage, ride_out
    from asrq_worker.reaper.courier import Courier
    from asrq_worker.reaper.reaper import Reaper

    with connect(config) as redis, running.stopped_by_signals(config) as shutdown:
        with queue_errors(config):
            if once:
                once_only = Reaper(redis, config)
                _show(once_only.run_once(whole=True, dry_run=dry_run), as_json=as_json)
                once_only.resign()
                return
            ride_out(redis.ping, Outage(), within_s=config.redis_retry_s)
        monitor = ReaperMonitor(Metrics(), redis, config)
        running_reaper, courier = Reaper(redis, config, observe=monitor.looked), Courier(redis, config)
        with listening(config, monitor), courier, running_reaper:
            shutdown.started()
            shutdown.wait()
            courier.close()  # may have something to finish
            end([running_reaper.loop], redis, config)


def _show(report: Round, *, as_json: bool) -> None:
    if as_json:
        printing.give_json(asdict(report))
        return
    if not report.leading:
        printing.say("Another reaper leads; nothing was done.")
        return
    found = {name: subjects for name, subjects in asdict(report).items() if name != "leading"}
    rows = [(name, subject) for name, subjects in found.items() for subject in subjects]
    printing.table(("what", "which"), rows)
    if not rows:
        printing.say("Nothing to do.")
