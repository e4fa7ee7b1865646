"""`asrq bridge`: the warm child process of a desktop application."""

from __future__ import annotations

import os

import click

from asrq_jobs import configuration, extras
from asrq_jobs.cli import failure
from asrq_jobs.errors import AsrqError, ExtraMissingError
from asrq_worker.cli import running


@click.command(
    epilog="\b\nExamples:\n  asrq bridge --model base --exit-with-parent\n"
    "  asrq bridge --backend whisper --model ./my-model --lanes interactive:2,batch:2"
)
@running.lanes_option
@running.model_options
@running.parent_option
def bridge(lanes: str | None, model: str | None, backend: str | None, exit_with_parent: bool) -> None:
    """Serve one application without a queue: JSON lines on standard input and output, until the input closes.

    The protocol is docs/reference/bridge.md. Logs go to standard error. Jobs may name any file that this process
    can read. An error at the start is a line, too, and gives the exit code 1 (2 if a setting is wrong).
    """
    from asrq_worker.bridge import messages
    from asrq_worker.process.stdio import Stdio

    stdio = Stdio()
    stdio.send(messages.loading())
    code = 0
    try:
        from asrq_worker.bridge.service import Bridge
        from asrq_worker.process import parent

        config = configuration.load(lanes=lanes, model=model, backend=backend)
        with running.stopped_by_signals(config) as shutdown:
            shutdown.started()
            if exit_with_parent:
                parent.watch(shutdown.stop.set)
            Bridge(config, stdio, shutdown.stop).run()
    except Exception as error:  # noqa: BLE001  # the application reads lines, not what the program frame would print
        shown = _shown(error)
        stdio.send(messages.fatal(shown))
        failure.say(shown)
        code = failure.exit_code(shown)
    os._exit(code)  # without waiting for the thread that reads, or for an application that does not


def _shown(error: Exception) -> AsrqError:
    if isinstance(error, ModuleNotFoundError):
        return ExtraMissingError(f"asrq bridge needs the package {error.name}.", hint=extras.hint("worker"))
    return error if isinstance(error, AsrqError) else failure.from_defect(error)
