"""`asrq dictate`: sound from the microphone or standard input, handed over as it comes, to text."""

from __future__ import annotations

import os
import stat
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, get_args

import click

from asrq_jobs import configuration
from asrq_jobs.cli import colour, failure, microphone, numbers, openings, options, printing
from asrq_jobs.cli.ahead import PIECE, ReadAhead
from asrq_jobs.cli.follow import commands_for
from asrq_jobs.cli.interruption import Interruption, interruptible
from asrq_jobs.cli.output import ResultWriter, choose
from asrq_jobs.cli.printing import Styled
from asrq_jobs.client import Client
from asrq_jobs.errors import (
    AsrqError,
    AudioTooLongError,
    DeviceUnavailableError,
    JobStateError,
    QueueRefusedError,
    QueueUnreachableError,
    UsageError,
)
from asrq_jobs.events import Event
from asrq_jobs.live import Live
from asrq_jobs.request import Encoding
from asrq_jobs.result import Result

_AGAIN_S = 0.5
_EPILOG = """\b
Examples:
  asrq dictate --language ru
  asrq dictate --device list
  asrq dictate --device usb > note.txt
  arecord -q -t raw -f S16_LE -r 16000 -c 1 | asrq dictate --stdin
  asrq dictate --stdin --rate 48000 --channels 2 < sound.raw
  ffmpeg -v error -f pulse -i default -f s16le -ar 16000 -ac 1 - | asrq dictate --stdin --language ru > note.txt

\b
Ctrl-C ends the recording and prints what was said; a second one cancels the job. Where standard input has ended, Ctrl-C
leaves the job in the queue. SIGTERM and SIGHUP do so, too, and then the exit code tells of them.
"""


@click.command(epilog=_EPILOG)
@click.option("--stdin", "from_stdin", is_flag=True, help="Take raw samples from standard input.")
@click.option(
    "--device",
    metavar="NAME",
    help="The microphone: its number, or a part of its name; list shows which there are; default: the system's.",
)
@click.option(
    "--rate",
    type=numbers.Whole(8000, 48_000),
    help="Samples a second; default: 16000, or what the microphone has instead.",
)
@click.option(
    "--encoding", type=click.Choice(get_args(Encoding)), default="pcm_s16le", show_default=True, help="Of a sample."
)
@click.option("--channels", type=numbers.Whole(1, 2), default=1, show_default=True, help="Interleaved.")
@click.option("--language", metavar="CODE", help="ru, pt-BR, English, …, or auto to detect it; default: auto.")
@click.option("--prompt", metavar="TEXT", help="Text that precedes the speech: style, names, spelling; default: none.")
@options.json_option
def dictate(
    from_stdin: bool,
    device: str | None,
    rate: int | None,
    encoding: Encoding,
    channels: int,
    as_json: bool,
    **fields: Any,
) -> None:
    """Transcribe speech while it is spoken, into the microphone or a pipe.

    On a terminal, text is shown as it comes, the last line while it may still change. Standard output gets the final
    text alone, or with --json the result.
    """
    if device == "list" and not from_stdin:
        found = microphone.listed()
        if not found:
            raise DeviceUnavailableError("There is no microphone.", hint=microphone.NONE)
        for line in found:
            printing.say(Styled(line))
        return
    source = _piped(device, rate) if from_stdin else _microphone(device, rate, encoding, channels)
    shown = choose(None, as_json=as_json, folder=None, several=False)
    form = {"encoding": encoding, "sample_rate": source.rate, "channels": channels}
    with Client(configuration.load()) as client, interruptible():
        live = _opened(client, form | options.given(fields))
        with _Shown(live, lines=sys.stderr.isatty() and not as_json) as screen:
            result, stopped_by = _recorded(client, live, source, screen)
    writer = ResultWriter(shown, ["the recording"])
    writer.put(0, result)
    writer.flush()
    if stopped_by is not None:
        raise stopped_by
    failure.finish(any_failed=writer.any_failed)


@dataclass(frozen=True)
class _Source:
    """Where sound comes from: its name in a sentence, samples a second, the sound, and whether some of it was lost."""

    name: str
    rate: int
    pieces: Callable[[], Iterator[bytes]]
    rest: Callable[[], bytes] = bytes
    """What has been taken of the sound, and not been given yet, when nobody wants more pieces."""
    overflowed: Callable[[], bool] = lambda: False


def _piped(device: str | None, rate: int | None) -> _Source:
    if device is not None:
        raise UsageError("--device names a microphone, and --stdin takes none.", hint="Leave one of them out.")
    if sys.stdin.isatty():
        raise UsageError("Standard input is a terminal.", hint="Pipe raw samples into it: see asrq dictate --help.")
    try:
        first = _opening()
    except OSError:
        raise UsageError(
            "Standard input is closed.", hint="Pipe raw samples into it: see asrq dictate --help."
        ) from None
    if kind := openings.kind(first):
        raise UsageError(
            f"Standard input is a file ({kind}), and --stdin takes raw samples.",
            hint="Transcribe a file with asrq submit FILE, or decode it: ffmpeg -v error -i FILE -f s16le "
            "-ar 16000 -ac 1 - | asrq dictate --stdin",
        )
    ahead = ReadAhead(first)
    return _Source("standard input", rate or microphone.RATE, ahead.pieces, ahead.rest)


def _opening() -> bytes:
    """Return what comes first: as much as tells whether it is a file."""
    opening = piece = os.read(sys.stdin.fileno(), PIECE)
    while piece and openings.undecided(opening):
        piece = os.read(sys.stdin.fileno(), PIECE)
        opening += piece
    return opening


def _microphone(device: str | None, rate: int | None, encoding: Encoding, channels: int) -> _Source:
    if device is None and _something_is_piped():
        raise UsageError(
            "It is not said where the sound comes from.",
            hint="Add --stdin to take raw samples from the pipe, or --device for a microphone.",
        )
    found = microphone.Microphone(device, rate=rate, encoding=encoding, channels=channels)
    return _Source("the microphone", found.rate, found.pieces, overflowed=lambda: found.overflowed)


def _something_is_piped() -> bool:
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except OSError:  # it is closed
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode)


def _opened(client: Client, asked: dict[str, Any]) -> Live:
    """Return the job, once Redis takes it: meanwhile somebody speaks already."""
    job_id, give_up, told = uuid.uuid4().hex, time.monotonic() + client.settings.redis_retry_s, False
    while True:
        try:
            return client.live(id=job_id, **asked)
        except (QueueUnreachableError, QueueRefusedError) as error:
            if time.monotonic() > give_up:
                raise
            if not told:
                failure.note(f"{error.message} Trying again.")
            told = True
        time.sleep(_AGAIN_S)


def _recorded(client: Client, live: Live, source: _Source, screen: _Shown) -> tuple[Result, Interruption | None]:
    """Return what came of it, and the signal that ended the recording, if it was not Ctrl-C."""
    stopped_by: KeyboardInterrupt | None = None
    try:
        try:
            _record(live, source.pieces(), source, screen)
        except KeyboardInterrupt as signal:
            stopped_by = signal
            _forget_answers(client)
            _record(live, iter([source.rest()]), source, screen)
        with suppress(JobStateError):  # the job has ended before: its result says how
            live.end()
        if source.overflowed():
            screen.note("some of the sound was lost, as this machine was too busy to take it.")
        if live.left_over:
            screen.note("the sound ends within a sample. Are --encoding and --channels right?")
        return live.wait(), stopped_by if isinstance(stopped_by, Interruption) else None
    except KeyboardInterrupt:
        _forget_answers(client)
        if stopped_by is None:
            with suppress(JobStateError):
                live.end()
            screen.note(f"the job goes on. {commands_for([live.id])}")
            raise
        with suppress(JobStateError):
            live.cancel()
        screen.note("canceled.")
        raise


def _forget_answers(client: Client) -> None:
    """Use no connection again in which the answer to an interrupted call may still arrive."""
    client.redis.connection_pool.disconnect(inuse_connections=False)


def _record(live: Live, pieces: Iterator[bytes], source: _Source, screen: _Shown) -> None:
    try:
        for sound in pieces:
            live.append(sound)
    except AudioTooLongError as error:
        screen.note(f"the recording ends here. {error}")
    except OSError as error:
        screen.note(f"the recording ends here, as {source.name} cannot be read: {error.strerror}.")
    except JobStateError:  # as above
        pass


class _Shown:
    """Shows what is said, where a terminal is there for it: lines that are final, and below them one that grows."""

    def __init__(self, live: Live, *, lines: bool) -> None:
        self._live = live
        self._lines = lines
        self._grows = lines and colour.capable(sys.stderr)
        self._lock = threading.Lock()
        self._ended = False

    def __enter__(self) -> _Shown:
        if self._lines:
            threading.Thread(target=self._follow, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._ended = True
            self._clear()

    def note(self, what: str) -> None:
        """Say what happened."""
        with self._lock:
            self._clear()
            failure.note(what)

    def _follow(self) -> None:
        with suppress(AsrqError):  # the wait for the result says it
            for event in self._live.events():
                with self._lock:
                    if self._ended:
                        return
                    self._show(event)

    def _show(self, event: Event) -> None:
        if event.type == "partial" and event.text is not None and self._grows:
            stable = event.stable or 0
            printing.redraw(Styled(event.text[:stable]), Styled(event.text[stable:], dim=True))
        elif event.type == "chunk":
            self._clear()
            if event.text:
                printing.say(Styled(event.text, dim=True), err=True)

    def _clear(self) -> None:
        if self._grows:
            printing.redraw()
