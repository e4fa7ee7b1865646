"""`asrq transcribe`: the one-shot runner."""

from __future__ import annotations

import signal
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import click

from asrq_jobs import configuration, sources, uploads
from asrq_jobs.cli import failure, options
from asrq_jobs.cli.files import fitting
from asrq_jobs.cli.interruption import Interruption
from asrq_jobs.cli.output import ResultWriter, choose
from asrq_jobs.errors import AsrqError, AudioEmptyError, CanceledError, OutputError, UsageError
from asrq_jobs.events import Event
from asrq_jobs.formats import Format
from asrq_jobs.sources import Source
from asrq_jobs.subtitles import Norms
from asrq_worker.cli import running
from asrq_worker.storage.disk import writing
from asrq_worker.storage.spool import Spool


@click.command(
    epilog="\b\nExamples:\n  asrq transcribe talk.mp3 > talk.txt\n"
    "  asrq transcribe *.wav --format srt --output subtitles\n  ffmpeg -i film.mkv -f ogg - | asrq transcribe - --json"
)
@click.argument("given", metavar="FILE…", nargs=-1, required=True, type=options.NamedPath())
@options.speech_options
@running.model_options
@click.option("--recursive", is_flag=True, help="Take all audio and video files of a folder.")
@options.output_options
def transcribe(
    given: tuple[str, ...],
    model: str | None,
    backend: str | None,
    recursive: bool,
    form: Format | None,
    folder: Path | None,
    norms: Norms,
    as_json: bool,
    **fields: Any,
) -> None:
    """Transcribe files on this machine: the pipeline of a worker without a queue.

    FILE is a file, a pipe, a folder (with --recursive), or - for standard input.

    With --json prints one result document a line in the order of the files, that of a failed one too (exit code 1).
    The same input gives the same bytes but for the fields timings, created_at, started_at, completed_at, worker and
    attempts.
    """
    from asrq_worker.programs import one_shot

    found = _sources(given, recursive=recursive)
    shown = choose(form, as_json=as_json, folder=folder, norms=norms, several=len(found) > 1)
    config = configuration.load(model=model, backend=backend)
    running.log_if_asked(config)
    names = [source.shown for source in found]
    bars = None
    if sys.stderr.isatty() and not as_json:
        from asrq_jobs.cli.progress import Bars

        bars = Bars({one_shot.job_id(number): name for number, name in enumerate(names)}, watched=False)
    writer = ResultWriter(shown, names, hold=bars is not None and shown.terminal)

    def on_event(job_id: str, event: Event) -> None:
        if bars:
            bars.update(job_id, event)

    try:
        with bars or nullcontext(), _readable(found, max_mb=config.max_audio_mb, spool_dir=config.spool_dir) as files:
            asked = options.given(fields)
            results = one_shot.transcribe(config, files, on_event=on_event, stop=_stop_on_signal, **asked)
            for index, result in enumerate(results):
                if bars:
                    bars.update(result.id, result)
                writer.put(index, result)
    except (KeyboardInterrupt, AsrqError) as error:
        with suppress(OutputError, BrokenPipeError):
            writer.flush()
        if isinstance(error, KeyboardInterrupt):
            go_on = "; name the others to go on" if writer.taken else ""
            failure.note(f"{writer.taken} of {len(found)} transcribed{go_on}.")
        raise
    writer.flush()
    failure.finish(any_failed=writer.any_failed)


def _sources(given: tuple[str, ...], *, recursive: bool) -> list[Source]:
    found = sources.expand(given, recursive=recursive, tell=failure.note)
    if any(source.url is not None for source in found):
        raise UsageError("asrq transcribe takes files.", hint="asrq submit takes URLs as well.")
    return found


@contextmanager
def _readable(found: list[Source], *, max_mb: int, spool_dir: Path | None) -> Iterator[list[Path | AsrqError]]:
    """Give each source as a file that a request can name, or the error that keeps it from being one.

    What comes from a pipe, or has a name that is no Unicode, is copied.
    """
    with ExitStack() as stack:

        def copy(source: Source, audio: bytes) -> Path:
            with writing():
                spool = stack.enter_context(Spool(spool_dir))
                path = spool.path / _unicode(fitting(Path(source.name).stem, Path(source.name).suffix))
                path.write_bytes(audio)
            return path

        def file(source: Source) -> Path | AsrqError:
            if source.wrong:
                return source.wrong
            try:
                if source.path is None:
                    return copy(source, uploads.read(sys.stdin.buffer, source.name, max_mb=max_mb))
                _look_at(source.path, source.shown)  # before what the options ask of the model
                if _can_be_named(source.path):
                    return source.path
                return copy(source, uploads.prepare(source.path, source.name, max_mb=max_mb)[0])
            except AsrqError as error:
                return error

        yield [file(source) for source in found]


def _unicode(name: str) -> str:
    """Return a file name as the locale can write it: what it cannot is a question mark."""
    return name.encode(sys.getfilesystemencoding(), "replace").decode(sys.getfilesystemencoding())


def _look_at(path: Path, shown: str) -> None:
    """Raise AudioError for a file that cannot be read, or has nothing in it."""
    try:
        found = path.stat()
        if stat.S_ISREG(found.st_mode):
            path.open("rb").close()
    except OSError as error:
        raise uploads.unreadable(shown, error) from None
    if stat.S_ISREG(found.st_mode) and not found.st_size:
        raise AudioEmptyError(f"{shown} is empty (0 bytes).")


def _can_be_named(path: Path) -> bool:
    """Whether a path leads to a file, or to nothing, by a name that is Unicode."""
    try:
        str(path.absolute()).encode()
        return stat.S_ISREG(path.stat().st_mode)
    except UnicodeEncodeError:
        return False
    except OSError:
        return True


def _stop_on_signal(stop_all: Callable[[AsrqError], None]) -> None:
    """Let a signal end the command soon: running jobs would otherwise be finished first.

    So does a thread that ends although nothing goes on without it.
    """
    from asrq_worker.process import supervision

    def interrupted(number: int, frame: FrameType | None) -> None:
        del frame
        # Not in the handler itself: the main thread may hold a lock that stopping takes.
        threading.Thread(target=stop_all, args=(CanceledError("Interrupted."),)).start()
        raise Interruption(number)

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # SIGHUP is not everywhere
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupted)
    supervision.on_failure(stop_all)
