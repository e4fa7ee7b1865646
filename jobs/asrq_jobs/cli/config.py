"""`asrq config`: the settings in effect."""

from __future__ import annotations

import click

from asrq_jobs import configuration
from asrq_jobs.cli import options, printing


@click.command(epilog="\b\nExample:\n  asrq config --json | jq .redis_url")
@options.json_option
def config(as_json: bool) -> None:
    """Show the settings in effect and where each came from; secrets are hidden.

    Without a terminal, prints name, value and origin with tabs between them; with --json one object.
    """
    shown = configuration.masked(configuration.load())
    origins = configuration.origins()
    if as_json:
        printing.give_json({name: {"value": value, "origin": origins[name]} for name, value in shown.items()})
    else:
        printing.table(
            ("setting", "value", "from"),
            [(name, value, origins[name]) for name, value in shown.items()],
            bold=lambda row: row[2] != "default",
        )
