"""`asrq http`: the gateway."""

from __future__ import annotations

import click

from asrq_jobs import configuration
from asrq_jobs.cli import failure, numbers, printing
from asrq_jobs.errors import SettingsError
from asrq_worker.cli import running
from asrq_worker.process import endpoint


@click.command(epilog="\b\nExamples:\n  asrq http\n  asrq http --port 9000")
@click.option("--port", type=numbers.Whole(0, 65535), default=8080, show_default=True, help="0: any free one.")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; set ASRQ_HTTP_KEYS for any but this machine's own.",
)
@running.metrics_port_option
def http(port: int, host: str, metrics_port: int | None) -> None:
    """Serve OpenAI's API for transcriptions from the queue at ASRQ_REDIS_URL, until Ctrl-C or SIGTERM.

    Prints its address, which is also a page for people. Any number may run: what a request asks for is a job in the
    queue, and no gateway holds anything of it.
    """
    from asrq_worker.http.service import GatewayMonitor, serving
    from asrq_worker.monitor.server import listening

    config = configuration.load(metrics_port=metrics_port)
    monitor = GatewayMonitor(config)
    if config.http_keys is None and not endpoint.is_private(host):
        raise SettingsError(
            f"Anyone who can reach {host} could use the queue.",
            hint="Give out keys (ASRQ_HTTP_KEYS, see docs/how-to/give-out-keys.md), or listen on 127.0.0.1.",
        )
    with (
        running.stopped_by_signals(config) as shutdown,
        listening(config, monitor),
        serving(config, host, port, monitor.metrics) as bound,
    ):
        shutdown.started()
        here = endpoint.called(host)
        address = f"http://{endpoint.written(here, bound)}"
        printing.say(address)
        failure.note(f"open {address} in a browser; OpenAI's clients take {address}/v1.")
        if here != host:
            failure.note("that is for this machine; others use its name, or an address that it has in their network.")
        failure.note("ready; Ctrl-C stops.")
        shutdown.wait()
