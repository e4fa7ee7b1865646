"""`asrq up`: the whole of it on one machine."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from asrq_jobs import configuration, extras
from asrq_jobs.cli import failure, numbers, options, printing
from asrq_jobs.errors import ExtraMissingError
from asrq_jobs.settings import Settings
from asrq_worker.cli import running
from asrq_worker.queue import rq_prefix

if TYPE_CHECKING:
    from asrq_worker.monitor.registry import Metrics

_HTTP_END_S = 1.0


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
@click.option("--port", type=numbers.Whole(0, 65535), default=6379, show_default=True, help="0: any free one.")
@click.option(
    "--http",
    type=numbers.Whole(0, 65535),
    metavar="PORT",
    help="Serve OpenAI's API there, too; 0: any free one; default: not at all.",
)
@running.lanes_option
@running.model_options
@running.parent_option
@options.json_option
def up(
    data: Path | None,
    port: int,
    http: int | None,
    lanes: str | None,
    model: str | None,
    backend: str | None,
    exit_with_parent: bool,
    as_json: bool,
) -> None:
    """Run an embedded Valkey, a worker and the reaper on this machine, until Ctrl-C or SIGTERM.

    Prints ASRQ_REDIS_URL=… for other clients once jobs are taken. Valkey listens on loopback only. So does the
    gateway of --http, whose address is printed too.
    """
    rq_prefix.refuse()
    from asrq_worker.process import parent
    from asrq_worker.programs import up as everything

    address: str | None = None

    @contextmanager
    def gateway(settings: Settings, metrics: Metrics) -> Iterator[None]:
        nonlocal address
        if http is None:
            yield
            return
        # When it ends there is no worker any more that could answer what waits.
        with serve_http(settings.model_copy(update={"grace_s": _HTTP_END_S}), "127.0.0.1", http, metrics) as bound:
            address = f"http://127.0.0.1:{bound}"
            yield

    def ready(url: str) -> None:
        if as_json:
            told = {"status": "ready", "redis_url": url}
            printing.give_json(told if address is None else {**told, "http_url": address})
            return
        printing.say(f"ASRQ_REDIS_URL={url}")
        if address is not None:
            printing.say(address)
            failure.note(f"open {address} in a browser; OpenAI's clients take {address}/v1.")
        failure.note(f"ready; Ctrl-C stops: jobs that run get {config.grace_s:g} s, then go back to the queue.")
        if data is None:
            failure.note("jobs and results are not kept after that: name a folder with --data to keep them.")

    if http is not None:
        try:
            from asrq_worker.http.service import serving as serve_http
        except ModuleNotFoundError as error:
            raise ExtraMissingError(
                f"asrq up --http needs packages that are not installed ({error.name}).", hint=extras.hint("http")
            ) from None
    config = configuration.load(lanes=lanes, model=model, backend=backend)
    with running.stopped_by_signals(config) as shutdown:

        def abandoned() -> None:
            shutdown.hurry.set()  # nobody is left to wait for the running jobs
            os.kill(os.getpid(), signal.SIGTERM)  # which ends the start as well

        if exit_with_parent:
            parent.watch(abandoned)
        everything.run(config, shutdown, data=data, port=port, ready=ready, beside=gateway)
