"""Groups of commands that help: alone they show what there is, and they know what a mistyped command meant."""

from __future__ import annotations

import copy
import difflib

import click


class CommandGroup(click.Group):
    """A group that shows its help when no command is given, has the command `help`, and names the nearest command."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take no arguments at all for `--help`: that is what somebody wants who knows no command."""
        return super().parse_args(ctx, args or ["--help"])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by its name; `help` is one, without being listed."""
        return super().get_command(ctx, cmd_name) or (_help if cmd_name == _help.name else None)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the arguments begin with.

        Raises:
            click.UsageError: there is none; the message names the nearest.
        """
        name = args[0]
        if self.get_command(ctx, name) is None and not ctx.resilient_parsing and not name.startswith("-"):
            near = difflib.get_close_matches(name.lower(), self.list_commands(ctx), n=1)
            few = self.list_commands(ctx) if ctx.parent else []
            known = f" It has: {', '.join(few)}." if few else ""
            meant = f" Did you mean {near[0]!r}?" if near else known
            raise click.UsageError(f"{ctx.command_path} has no command {name!r}.{meant}", ctx)
        return super().resolve_command(ctx, args)


def hidden(command: click.Command) -> click.Command:
    """Return a command for another name of it, which works and is not listed."""
    alias = copy.copy(command)
    alias.hidden = True
    return alias


@click.command("help", epilog="\b\nExample:\n  asrq help submit")
@click.argument("names", metavar="[COMMAND]…", nargs=-1)
@click.pass_context
def _help(ctx: click.Context, names: tuple[str, ...]) -> None:
    """Show what a command does and which options it has."""
    from asrq_jobs.cli import printing  # help that click prints by itself needs less

    shown = ctx.parent
    assert shown is not None  # noqa: S101  # it is a command of a group
    for name in names:
        if not isinstance(shown.command, click.Group):
            raise click.UsageError(f"{shown.command_path} has no commands of its own.", shown)
        _, command, _ = shown.command.resolve_command(shown, [name])
        assert command is not None  # noqa: S101  # or it would have raised
        shown = click.Context(command, info_name=name, parent=shown)
    printing.give(f"{shown.get_help()}\n")
