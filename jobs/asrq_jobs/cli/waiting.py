"""Waiting for jobs: shows how they run where someone watches, and hands over their results."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext

from asrq_jobs.cli import failure
from asrq_jobs.cli.follow import commands_for, follow
from asrq_jobs.cli.output import InOrder, Printer, failed
from asrq_jobs.cli.progress import Bars
from asrq_jobs.client import Client
from asrq_jobs.connection import connect, queue_errors
from asrq_jobs.errors import AsrqError, QueueError, WaitTimeoutError
from asrq_jobs.result import Result
from asrq_jobs.settings import Settings


def await_all(
    config: Settings,
    jobs: Mapping[int, str],
    names: Sequence[str],
    printer: Printer,
    *,
    known: Mapping[int, Result] | None = None,
    watch: bool,
    timeout_s: float | None,
) -> None:
    """Follow jobs until all have ended, and print their results in input order; an interruption says how to go on.

    `names` is what people call the inputs, `jobs` gives the job id of each that has one, and `known` the results of
    those that do not. With `watch`, and a terminal on stderr, bars show how far each job is.

    Raises:
        WaitTimeoutError: `timeout_s` seconds have passed; what was ready has been printed.
        QueueError: Redis cannot be reached or refuses.
    """
    inputs: dict[str, list[int]] = {}
    for index, job_id in jobs.items():
        inputs.setdefault(job_id, []).append(index)
    titles = {job_id: names[indexes[0]] for job_id, indexes in inputs.items()}
    bars = Bars(titles) if watch and sys.stderr.isatty() else None
    delivery = InOrder(printer, names, hold=bars is not None and sys.stdout.isatty())
    for index, result in (known or {}).items():
        delivery.put(index, result)
    waiting = dict.fromkeys(inputs)
    with connect(config) as redis, queue_errors(config):
        redis.ping()
    # An outage while we wait harms no job, so it is ridden out as a worker would; one before is told at once.
    client = Client(config, redis=connect(config, retry_s=config.redis_retry_s))
    try:
        with client, bars or nullcontext():
            for job_id, news in follow(client, list(inputs), timeout_s=timeout_s):
                if bars:
                    bars.update(job_id, news)
                if isinstance(news, Result | AsrqError):
                    del waiting[job_id]
                    for index in inputs[job_id]:
                        delivery.put(index, news if isinstance(news, Result) else failed(job_id, news))
    except (KeyboardInterrupt, QueueError) as error:
        if waiting and not isinstance(error, WaitTimeoutError):  # whose hint says it
            failure.note(f"the jobs go on. {commands_for(waiting)}")
        raise
    finally:
        delivery.flush()
