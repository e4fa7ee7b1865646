"""`asrq config`: the settings in effect."""

from __future__ import annotations

import sys

import click

from asrq_jobs import configuration, settings
from asrq_jobs.cli import options, printing


@click.command(epilog="\b\nExample:\n  asrq config --json | jq .redis_url")
@options.json_option
def config(as_json: bool) -> None:
    """Show the settings in effect and where each came from, those that are needed first on top; secrets are hidden.

    Without a terminal, prints name, value and origin with tabs between them; with --json one object.
    """
    shown = configuration.masked(configuration.load())
    origins = configuration.origins()
    if as_json:
        printing.give_json({name: {"value": value, "origin": origins[name]} for name, value in shown.items()})
    else:
        groups = settings.groups()
        grouped = {name for names in groups.values() for name in names}
        groups["Other backends"] = [name for name in shown if name not in grouped]
        for group, names in groups.items():
            if not names:
                continue
            if sys.stdout.isatty():
                printing.say(f"{group}:")
            printing.table(
                ("setting", "value", "from"),
                [(name, shown[name], origins[name]) for name in names],
                bold=lambda row: row[2] != "default",
            )
