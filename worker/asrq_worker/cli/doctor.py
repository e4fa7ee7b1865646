"""`asrq doctor`: what is wrong here, and how to fix it."""

from __future__ import annotations

from dataclasses import asdict

import click

from asrq_jobs.cli import failure, options, printing
from asrq_jobs.cli.printing import Styled

_COLOURS = {"ok": "green", "off": "cyan", "warn": "yellow", "fail": "red"}


@click.command(epilog="\b\nExample:\n  asrq doctor --json")
@options.json_option
def doctor(as_json: bool) -> None:
    """Check Python, Redis, model, device, decoder, memory and disk of this machine.

    Each problem comes with its fix. The exit code is 1 if any check fails; a warning is no failure. What is off is not
    set up here, and nothing asks for it.
    """
    from asrq_worker.doctor.examination import examine

    any_failed = False
    for check in examine():
        any_failed |= check.status == "fail"
        if as_json:
            printing.give_json(asdict(check))
            continue
        status = Styled(f"{check.status:<4}", fg=_COLOURS[check.status])
        printing.say(status, f"  {check.name:<14} {check.message}")
        if check.fix:
            printing.say(f"      {'':<14} fix: {check.fix}")
    failure.finish(any_failed=any_failed)
