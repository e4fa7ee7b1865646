"""`asrq config`: the settings in effect."""

from __future__ import annotations

import sys

import click

from asrq_jobs import configuration
from asrq_jobs.cli import options
from asrq_jobs.cli.output import echo_json


@click.command(epilog="\b\nExample:\n  asrq config --json | jq .redis_url")
@options.json_option
def config(as_json: bool) -> None:
    """Show the settings in effect and where each came from; secrets are hidden.

    Without a terminal, prints name, value and origin with tabs between them; with --json one object.
    """
    shown = configuration.masked(configuration.load())
    origins = configuration.origins()
    if as_json:
        echo_json({name: {"value": value, "origin": origins[name]} for name, value in shown.items()})
    elif not sys.stdout.isatty():
        for name, value in shown.items():
            click.echo(f"{name}\t{value}\t{origins[name]}")
    else:
        from rich.console import Console
        from rich.table import Table

        table = Table("setting", "value", "from", box=None, pad_edge=False)
        for name, value in shown.items():
            table.add_row(name, value, origins[name], style=None if origins[name] == "default" else "bold")
        Console(markup=False).print(table)
