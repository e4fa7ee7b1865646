"""`asrq voices`: whose voices are known by name."""

from __future__ import annotations

from pathlib import Path

import click

from asrq_jobs import configuration
from asrq_jobs.cli import failure, options, printing
from asrq_jobs.cli.group import CommandGroup
from asrq_jobs.errors import SettingsError, UsageError
from asrq_jobs.settings import Settings


@click.group(
    cls=CommandGroup,
    epilog="\b\nExamples:\n  asrq voices add Anna anna.wav\n  asrq voices list\n  asrq voices remove Anna",
)
def voices() -> None:
    """Keep voices, so that speakers who are told apart get names.

    They are in the folder ASRQ_VOICES_DIR, as numbers that tell a person like a fingerprint.
    """


@voices.command(epilog="\b\nExample:\n  asrq voices add 'Anna Smith' anna.wav")
@click.argument("name")
@click.argument("path", metavar="FILE", type=options.NamedPath(path_type=Path))
@options.json_option
def add(name: str, path: Path, as_json: bool) -> None:
    """Keep the voice of the one who speaks in FILE, in the place of one with this NAME.

    FILE needs five seconds of speech, of nobody else. Speech of half a minute as it will be recorded does better.
    """
    from asrq_worker.programs import enrollment
    from asrq_worker.speakers import enrolled, names

    config = configuration.load()
    folder, name = _folder(config), enrolled.checked(name)
    voice = enrollment.voice_in(path, name, config)
    replaced = enrolled.put(folder, voice)
    alike = names.alike(voice, enrolled.read(folder).voices)
    if as_json:
        printing.give_json({"name": name, "seconds": voice.seconds, "replaced": replaced, "alike": alike})
        return
    printing.say(f"{name}: {'replaced' if replaced else 'added'}, of {voice.seconds:.0f} s of speech.")
    if alike:
        failure.note(f"This voice is much like that of {', '.join(alike)}: one may be taken for the other.")


@voices.command("list", epilog="\b\nExample:\n  asrq voices list --json")
@options.json_option
def list_voices(as_json: bool) -> None:
    """List the voices that are kept; the exit code is 1 if one cannot be read.

    Without a terminal, prints name, seconds of speech and time of enrollment with tabs between them.
    """
    from asrq_worker.speakers import enrolled

    held = enrolled.read(_folder(configuration.load()))
    if as_json:
        for voice in held.voices:
            printing.give_json({"name": voice.name, "seconds": voice.seconds, "created_at": voice.created_at})
    else:
        rows = [(voice.name, f"{voice.seconds:.0f}", voice.created_at.partition(".")[0]) for voice in held.voices]
        printing.table(("name", "speech s", "added"), rows)
    for path in held.damaged:
        failure.say(enrolled.damaged(path))
    failure.finish(any_failed=bool(held.damaged))


@voices.command(epilog="\b\nExample:\n  asrq voices remove Anna")
@click.argument("name")
@options.json_option
def remove(name: str, as_json: bool) -> None:
    """Erase the voice with a NAME. Results that have the name keep it: asrq erase removes those."""
    from asrq_worker.speakers import enrolled

    name = enrolled.checked(name)
    if not enrolled.remove(_folder(configuration.load()), name):
        raise UsageError(f"There is no voice {name}.", hint="asrq voices list shows which there are.")
    if as_json:
        printing.give_json({"name": name})
    else:
        printing.say(f"{name}: erased.")


def _folder(config: Settings) -> Path:
    if config.voices_dir is None:
        raise SettingsError(
            "No folder for voices is set.", hint="Set ASRQ_VOICES_DIR to one, here and for the workers."
        )
    return config.voices_dir
