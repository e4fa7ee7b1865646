"""Command lines that files and pages show, read by the real program without running anything."""

from __future__ import annotations

import click

from asrq_jobs.cli import cli


def parse(words: list[str]) -> None:
    """Read what follows `asrq`.

    The contexts are those of a run: click keeps the options of a command as the first context had them.

    Raises:
        click.ClickException: there is no such command, or it does not take these arguments.
    """
    context = click.Context(cli, info_name="asrq", **cli.context_settings)
    while isinstance(context.command, click.Group):
        name, command, words = context.command.resolve_command(context, words)
        assert command is not None
        if not isinstance(command, click.Group):
            command.make_context(name, words, parent=context)
        context = click.Context(command, info_name=name, parent=context)
