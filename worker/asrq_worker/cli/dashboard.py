"""`asrq dashboard`: rq-dashboard, made safe."""

from __future__ import annotations

import socket

import click

from asrq_jobs import configuration
from asrq_jobs.cli import failure, numbers, printing
from asrq_jobs.connection import connect, queue_errors
from asrq_jobs.errors import InUseError
from asrq_worker.cli import running
from asrq_worker.process import endpoint
from asrq_worker.queue import rq_prefix

_END_S = 2.0


@click.command(epilog="\b\nExample:\n  asrq dashboard --port 9181")
@click.option("--port", type=numbers.Whole(0, 65535), default=9181, show_default=True, help="0: any free one.")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; set ASRQ_DASHBOARD_PASSWORD for any address but this machine's own.",
)
def dashboard(port: int, host: str) -> None:
    """Serve rq-dashboard for the queue at ASRQ_REDIS_URL, until Ctrl-C or SIGTERM.

    Prints its address. Failed jobs can be queued again there; deleting and compacting are closed.
    """
    rq_prefix.refuse()
    from asrq_worker.process.supervision import Supervised
    from asrq_worker.programs.dashboard import make_server
    from asrq_worker.queue.outage import Outage, ride_out

    config = configuration.load()
    with running.stopped_by_signals(config) as shutdown:
        with connect(config) as redis, queue_errors(config):
            ride_out(redis.ping, Outage(), within_s=config.redis_retry_s)
        _refuse_taken(host, port)
        server = make_server(config, host, port)
        serving = Supervised("dashboard", server.serve_forever)
        serving.start()
        shutdown.started()
        where = endpoint.written(host, server.server_port)
        printing.say(f"http://{where}")
        if not endpoint.is_private(host) and config.dashboard_password is None:
            failure.note(
                f"anyone who can reach {where} sees file names and can requeue jobs: set ASRQ_DASHBOARD_PASSWORD."
            )
        failure.note("ready; Ctrl-C stops.")
        shutdown.wait()
        serving.stop()
        server.shutdown()
        serving.join(_END_S)


def _refuse_taken(host: str, port: int) -> None:
    # The server itself would end the process when it cannot listen.
    try:
        socket.create_server((host, port), family=endpoint.family(host)).close()
    except OSError as error:
        raise InUseError(
            f"Cannot listen on {endpoint.written(host, port)}: {error.strerror}.",
            hint="Choose another with --port; 0 takes a free one.",
        ) from None
