"""`asrq doctor`: what is wrong here, and what mends it."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click

from asrq_jobs.cli import colour, failure, options
from asrq_jobs.cli.output import echo_json

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command(epilog="\b\nExample:\n  asrq doctor --json")
@options.json_option
def doctor(as_json: bool) -> None:
    """Check Python, Redis, the clock, model, device, decoder, memory and disk of this machine.

    Each fault comes with what mends it. The exit code is 1 if any check fails; a warning is no failure.
    """
    from asrq_worker.doctor.examination import examine

    any_failed = False
    for check in examine():
        any_failed |= check.status == "fail"
        if as_json:
            echo_json(asdict(check))
            continue
        status = click.style(f"{check.status:<4}", fg=_COLOURS[check.status])
        click.echo(f"{status}  {check.name:<12} {check.message}", color=colour.wanted(sys.stdout))
        if check.mend:
            click.echo(f"      {'':<12} mend: {check.mend}")
    failure.finish(any_failed=any_failed)
