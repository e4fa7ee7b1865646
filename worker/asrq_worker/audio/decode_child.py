"""The decoder process: one file after the other to samples and spans of speech, within limits.

Started as `python -m asrq_worker.audio.decode_child`; JSON lines over pipes (process/serve.py).

    in    {"op":"decode","track","apart","max_s","memory_mb","cpu_s","cpu_share"}, with two open files
          (process/handover.py): the media, the output; with a third one if `apart`, for the second channel
          {"op":"live","encoding","sample_rate","channels","max_s","memory_mb","cpu_s","cpu_share"}, with two open
          files: raw sound that is being recorded, the output
          {"op":"more","bytes","end"}             the length of the raw sound by now, and whether that is all
    out   {"op":"ready","confined"}               once, when everything is loaded
          {"op":"progress","seconds"}             audio decoded so far; at least each second while work goes on
          {"op":"done","samples","spans","heard","vad_s","container","codec","sample_rate","channels","track","tracks",
           "warnings"}                            `spans` of each output, of which those are to be heard that `heard`
                                                  names, from 0
          {"op":"done"}                           to live
          {"op":"done","samples","spans","until"} to more: the speech that will not change, and where at the earliest
                                                  other speech begins
          {"op":"done","samples","spans","warnings"}  to the last of these: all speech
          {"op":"error","error"}                  an ErrorInfo document; without "ready" before it, the end

`track` is a number from 1, or null: tracks.py chooses. The output gets the samples as raw little-endian float32, 16 kHz
mono. Media come from strangers and FFmpeg is C: on POSIX the system limits memory, processor time, the size of the file
written and the number of open files. Passing the limit of processor time, which is `cpu_s` and a share of the sound
decoded so far, kills the process (SIGXCPU). How much work a file may be is limited as well (work.py). `confined` lists
what cuts it off from the network, from other programs and from all files but those it is given (confinement.py):
nothing may be imported once it is ready.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

from asrq_jobs import extras
from asrq_jobs.errors import AsrqError, AudioUnreadableError, DecoderCrashedError, ExtraMissingError
from asrq_worker.audio import tracks
from asrq_worker.audio.apart import Apart
from asrq_worker.audio.confinement import confine
from asrq_worker.audio.work import Work
from asrq_worker.backends.base import SAMPLE_RATE, Samples
from asrq_worker.process.handover import taken
from asrq_worker.process.serve import serve
from asrq_worker.process.stdio import Message
from asrq_worker.storage.disk import write_all, writing

if TYPE_CHECKING:  # at run time the packages it needs may be missing
    from asrq_worker.audio.growing import Growing
    from asrq_worker.audio.media import Media
with suppress(ModuleNotFoundError):  # Windows has none
    import resource

Send = Callable[[Message], None]
Handle = Callable[[Message], None]

_PROGRESS_S = 0.5
_OPEN_FILES = 64
_SLACK = 1 << 20  # bytes


def make_handler(send: Send) -> Handle:
    """Load FFmpeg and the speech detector, say so, and return what decodes one file."""
    try:
        from asrq_worker.audio import growing, media, speech
    except ImportError as error:
        missing = ExtraMissingError(f"Decoding needs the package {error.name}.", hint=extras.hint("worker"))
        send({"op": "error", "error": missing.info().model_dump()})
        sys.exit(1)
    if sys.platform != "win32":
        import resource  # noqa: F401  # for `_limit`: once confined, this process opens no file
    speech.warm_up()
    media.warm_up()

    def decode(message: Message, source: BinaryIO, outs: list[BinaryIO]) -> None:
        work = Work(os.fstat(source.fileno()).st_size)
        processor = _Processor(message["cpu_s"], message["cpu_share"])
        progress = _Progress(send, lambda: processor.allow(work.seconds))

        def hear(choose: tracks.Choose) -> _Decoded:
            _empty(outs)
            channels = Apart([partial(_write, out) for out in outs])
            decoded = media.decode(
                source,
                choose=choose,
                work=work,
                longest_s=message["max_s"],
                write=channels.write if message["apart"] else partial(_write, outs[0]),
                on_progress=progress.at,
                apart=message["apart"],
            )
            heard, alike = channels.heard()
            decoded.warnings.extend(["channels_alike"] * alike)
            began = time.perf_counter()
            with writing():
                find = partial(speech.find, samples=decoded.samples, on_block=progress.tick)
                spans = [find(out) if at in heard else [] for at, out in enumerate(outs)]
            return _Decoded(decoded, spans, heard, time.perf_counter() - began)

        heard, others = tracks.listen(message["track"], hear)
        done = {"op": "done", "spans": heard.each, "heard": heard.channels, "vad_s": heard.vad_s} | asdict(heard.media)
        send(done | {"warnings": [*heard.media.warnings, *(["other_tracks"] if others else [])]})

    live = _Live(send, growing.Growing)

    def handle(message: Message) -> None:
        try:
            match message["op"]:
                case "live":
                    live.begin(message)
                case "more":
                    live.more(message)
                case _:
                    with _files_of(message) as (source, *outs):
                        decode(message, source, outs)
        except AsrqError as error:
            send({"op": "error", "error": error.info().model_dump()})
        except MemoryError:
            too_much = AudioUnreadableError(
                f"Decoding the file takes more than {message['memory_mb']} MiB of memory.",
                hint="Convert the file to a plain format, or raise ASRQ_DECODER_MEMORY_MB.",
            )
            send({"op": "error", "error": too_much.info().model_dump()})
        except OSError as error:
            stopped = DecoderCrashedError(f"The decoder cannot go on: {error.strerror or error}.")
            send({"op": "error", "error": stopped.info().model_dump()})
        gc.collect()  # PyAV's objects refer to each other, and hold native buffers

    send({"op": "ready", "confined": confine()})
    return handle


@dataclass(frozen=True)
class _Decoded:
    """What was decoded, the spans of speech in each output, in samples, which of these are to be heard, and how long it
    took to find the speech."""

    media: Media
    each: list[list[tuple[int, int]]]
    channels: list[int]
    vad_s: float

    @property
    def spans(self) -> list[tuple[int, int]]:
        return [span for spans in self.each for span in spans]


class _Live:
    """The recording that this process works on, if there is one."""

    def __init__(self, send: Send, growing: type[Growing]) -> None:
        self._send = send
        self._growing = growing
        self._opened = ExitStack()
        self._recordings: list[Growing] = []

    def begin(self, message: Message) -> None:
        """Take another one."""
        self._opened.close()
        source, out = self._opened.enter_context(_files_of(message))
        recording = self._growing(
            source,
            out,
            encoding=message["encoding"],
            sample_rate=message["sample_rate"],
            channels=message["channels"],
            longest_s=message["max_s"],
            write=partial(_write, out),
            on_progress=_Processor(message["cpu_s"], message["cpu_share"]).allow,
        )
        self._recordings = [recording]
        self._send({"op": "done"})

    def more(self, message: Message) -> None:
        """Go on with it."""
        (recording,) = self._recordings
        with writing():
            if not message["end"]:
                spans, changing, until = recording.take(message["bytes"])
                done = {"op": "done", "samples": recording.samples, "spans": spans}
                self._send(done | {"open": changing, "until": until})
                return
            spans = recording.end(message["bytes"])
        broken = ["non_finite_samples"] if recording.broken else []
        self._send({"op": "done", "samples": recording.samples, "spans": spans, "warnings": broken})
        self._opened.close()


def _empty(outs: list[BinaryIO]) -> None:
    with writing():
        for out in outs:
            out.seek(0)
            out.truncate()


@contextmanager
def _files_of(message: Message) -> Iterator[list[BinaryIO]]:
    """Give the media, and then the outputs."""
    modes = [os.O_RDONLY, os.O_RDWR, *([os.O_RDWR] if message.get("apart") else [])]
    given, *to_fill = taken(message, modes)
    _limit(message["memory_mb"] << 20, int(message["max_s"] * SAMPLE_RATE) * 4 + _SLACK)
    with ExitStack() as opened:
        source: BinaryIO = opened.enter_context(os.fdopen(given, "rb"))
        yield [source, *(opened.enter_context(os.fdopen(out, "rb+", buffering=0)) for out in to_fill)]


class _Progress:
    def __init__(self, send: Send, on_tick: Callable[[], None]) -> None:
        self._send = send
        self._on_tick = on_tick
        self._seconds = 0.0
        self._next = time.monotonic()

    def at(self, seconds: float) -> None:
        self._seconds = seconds
        if time.monotonic() >= self._next:
            self.tick()

    def tick(self) -> None:
        self._next = time.monotonic() + _PROGRESS_S
        self._on_tick()
        self._send({"op": "progress", "seconds": round(self._seconds, 3)})


class _Processor:
    """The processor time that a file may take: some for any, and more for what was decoded of it."""

    def __init__(self, cpu_s: float, share: float) -> None:
        self._least_s = time.process_time() + cpu_s
        self._share = share
        self.allow(0.0)

    def allow(self, seconds: float) -> None:
        """Move the limit on, so many seconds of sound being decoded."""
        if sys.platform != "win32":
            _set_limit(resource.RLIMIT_CPU, int(self._least_s + self._share * seconds) + 1)


def _write(out: BinaryIO, samples: Samples) -> None:
    with writing():
        write_all(out, samples.astype("<f4", copy=False).tobytes())


def _limit(memory: int, file_size: int) -> None:
    if sys.platform != "win32":
        _set_limit(resource.RLIMIT_AS, memory)
        _set_limit(resource.RLIMIT_FSIZE, file_size)
        _set_limit(resource.RLIMIT_NOFILE, _OPEN_FILES)
        _set_limit(resource.RLIMIT_CORE, 0)


def _set_limit(kind: int, soft: int) -> None:
    if sys.platform != "win32":
        hard = resource.getrlimit(kind)[1]
        with suppress(ValueError, OSError):  # macOS refuses to limit the address space
            resource.setrlimit(kind, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


if __name__ == "__main__":
    serve(make_handler)
