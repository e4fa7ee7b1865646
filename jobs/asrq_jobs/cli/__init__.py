"""The program `asrq`: finds the command, runs it, and turns whatever goes wrong into a sentence and an exit code.

Imports click and nothing else until a command is chosen, so that help and completion are quick.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

from asrq_jobs import __version__
from asrq_jobs.cli import exit_codes, interruption, streams
from asrq_jobs.cli.commands import COMMANDS, SECTIONS
from asrq_jobs.cli.group import CommandGroup

_EPILOG = f"""\b
Examples:
  asrq submit talk.mp3 --wait
  asrq submit talk.mp3 --wait --format srt > talk.srt
  asrq submit recordings --recursive --wait --output transcripts
  asrq up --model base
  asrq transcribe talk.mp3 > talk.txt

\b
Exit codes:
{chr(10).join(f"  {code:<4} {meaning}" for code, meaning in exit_codes.MEANINGS.items())}

\b
Settings come from ASRQ_* in the environment, .env and asrq.toml; `asrq config` shows them.
"""


class _Program(CommandGroup):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = COMMANDS[cmd_name].target.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)  # noqa: S101  # the table names commands, as a test checks
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the names of commands from the table; importing them all would take too long."""
        names = [CompletionItem(name, help=entry.summary) for name, entry in COMMANDS.items()]
        return [item for item in names if item.value.startswith(incomplete)] + click.Command.shell_complete(
            self, ctx, incomplete
        )

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # click's signature
        for section in SECTIONS:
            with formatter.section(section):
                formatter.write_dl(
                    [(name, entry.summary) for name, entry in COMMANDS.items() if entry.section == section],
                    col_max=max(map(len, COMMANDS)),
                )

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            extra = COMMANDS[ctx.invoked_subcommand].extra if ctx.invoked_subcommand in COMMANDS else None
            package = (error.name or "").partition(".")[0]
            if extra is None or package.startswith("asrq_"):
                raise
            from asrq_jobs import extras
            from asrq_jobs.errors import ExtraMissingError

            raise ExtraMissingError(
                f"asrq {ctx.invoked_subcommand} needs packages that are not installed ({package}).",
                hint=extras.hint(extra),
            ) from error
        except KeyboardInterrupt as error:  # here, because click would print before it passes it on
            raise click.exceptions.Exit(interruption.exit_code(error)) from None
        except BrokenPipeError:
            streams.abandon_stdout()
            raise click.exceptions.Exit(exit_codes.READER_GONE) from None


@click.group(
    cls=_Program,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    subcommand_metavar="COMMAND …",
)
@click.version_option(__version__, prog_name="asrq", message="%(prog)s %(version)s")
def cli() -> None:
    """Speech to text through a queue: submit audio, get transcripts back."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `asrq` and return its exit code; nothing escapes as a traceback."""
    streams.prepare()
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        outcome = cli.main(given, prog_name="asrq", standalone_mode=False)
        return outcome if isinstance(outcome, int) else 0
    except (click.Abort, KeyboardInterrupt):
        return exit_codes.INTERRUPTED
    except Exception as error:  # noqa: BLE001  # the last resort: a sentence, never a traceback
        from asrq_jobs.cli import failure

        return failure.end(error, as_json="--json" in given)
