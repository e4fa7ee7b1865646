"""What the long-running commands share: their options, logs, and signals."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from asrq_jobs import configuration
from asrq_jobs.cli import failure, numbers, printing
from asrq_jobs.settings import PREFIX, Settings

if TYPE_CHECKING:
    from asrq_worker.process.shutdown import StopSignals

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def _default(name: str) -> str:
    return f"{PREFIX}{name.upper()}, else {Settings.model_fields[name].default}"


def model_options(command: Decorated) -> Decorated:
    """Add the options that say what is loaded, under the names of the settings that they override."""
    for option in (
        click.option("--backend", metavar="NAME", help=f"Backend to serve; default: {_default('backend')}."),
        click.option(
            "--model", metavar="NAME", help="tiny.en, base, … or a path; default: ASRQ_MODEL, else that of the backend."
        ),
    ):
        command = option(command)
    return command


lanes_option = click.option("--lanes", metavar="LANE:SLOTS,…", help=f"Slots per lane; default: {_default('lanes')}.")

metrics_port_option = click.option(
    "--metrics-port",
    type=numbers.Whole(0, 65535),
    help=f"Port of /metrics, /healthz and /readyz; 0: none; default: {_default('metrics_port')}.",
)

check_option = click.option(
    "--check",
    is_flag=True,
    help="Only check whether the one that runs here is healthy: exit code 0, or 1 and the reason.",
)

parent_option = click.option("--exit-with-parent", is_flag=True, help="End when the program that started this ends.")


def quietly(**overrides: Any) -> Settings:
    """Load settings for a command that speaks to a person: logs only warnings, unless a log level was chosen."""
    chosen = configuration.origins()["log_level"] != "default"
    return configuration.load(**overrides, log_level=None if chosen else "warning")


def log_if_asked(config: Settings) -> None:
    """Show logs only if a log level was chosen, for a command that says all that goes wrong in sentences."""
    from asrq_worker.telemetry import logs

    if configuration.origins()["log_level"] == "default":
        logs.silence()
    else:
        logs.configure(config)


def tell_health(problem: str | None) -> None:
    """End with what `--check` found."""
    printing.say(problem or "ok", err=problem is not None)
    failure.finish(any_failed=problem is not None)


@contextmanager
def stopped_by_signals(config: Settings) -> Iterator[StopSignals]:
    """Set up logs and error reports, and turn signals into an orderly end; a signal during the start ends it, too.

    So does a thread that ends although the process cannot do without it.

    Raises:
        InternalError: such a thread has ended.
        SetupError: error reports are configured, and the DSN is wrong or the extra not installed.
    """
    from asrq_worker.process import supervision
    from asrq_worker.process.shutdown import StartInterruptedError, StopSignals
    from asrq_worker.telemetry import logs, reports

    logs.configure(config)
    reports.configure(config)
    shutdown = StopSignals()
    supervision.on_failure(shutdown.abort)
    try:
        with shutdown:
            yield shutdown
    except StartInterruptedError:
        if shutdown.failure is None:
            failure.note("stopped before it was ready.")
    finally:
        supervision.on_failure(None)
        reports.close()
        gc.freeze()  # or the interpreter, before it goes, searches all that was loaded for garbage: a second when busy
    if shutdown.failure is not None:
        raise shutdown.failure
