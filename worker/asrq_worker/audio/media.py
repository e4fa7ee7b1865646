"""Media of any kind to 16 kHz mono samples, with PyAV (FFmpeg). Runs in the decoder process only."""

from __future__ import annotations

import io
import wave
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import av
import numpy as np
from av.stream import Disposition

from asrq_jobs.errors import AudioEmptyError, AudioTooLongError, AudioUnreadableError, NoAudioStreamError
from asrq_worker.audio.comfort_noise import is_comfort_noise
from asrq_worker.audio.mono import Mono
from asrq_worker.audio.timeline import Timeline, clock
from asrq_worker.audio.tracks import Choose, Track
from asrq_worker.audio.truncation import cut_off
from asrq_worker.backends.base import SAMPLE_RATE, Samples

_ABSURD = 1e9  # larger than any integer format scaled wrongly: only broken floats are
_MOST_ERRORS = 100  # of the container, one after the other: the rest of the file is lost
_SILENCE = 30 * SAMPLE_RATE  # written at once


@dataclass
class Media:
    """What was decoded: track number `track` of `tracks`; `warnings` may hold truncated_media, corrupt_media and
    non_finite_samples."""

    container: str
    codec: str
    sample_rate: int
    channels: int
    track: int
    tracks: int
    samples: int = 0
    warnings: list[str] = field(default_factory=list)


class _Content:
    """A file of which FFmpeg sees neither name nor path: only its content decides what it is taken for."""

    def __init__(self, file: BinaryIO) -> None:
        self.read = file.read
        self.seek = file.seek
        self.tell = file.tell


def decode(
    file: BinaryIO,
    *,
    choose: Choose,
    longest_s: float,
    write: Callable[[Samples], None],
    on_progress: Callable[[float], None],
) -> Media:
    """Decode the track of an open file that `choose` takes, and `write` it: float32 of shape (n,), mono, 16 kHz.

    Each sample lies where a player would play it: sound that begins late, and what is missing in between, is preceded
    by silence. `on_progress` gets the seconds decoded so far, often. What decodes of a damaged file is used, with a
    warning. Playlists and other files that only name media elsewhere are refused: FFmpeg may open nothing but this
    file.

    Raises:
        AudioUnreadableError: nothing in it can be decoded.
        NoAudioStreamError: there is no audio in it, or not the track that was asked for.
        AudioEmptyError: it is audio of no length.
        AudioTooLongError: more than `longest_s` seconds came out.
    """
    file.seek(0)
    try:
        with av.open(
            _Content(file),
            metadata_errors="ignore",
            container_options={"protocol_whitelist": "none"},
            buffer_size=1 << 18,
        ) as container:
            if not container.streams.audio:
                raise NoAudioStreamError("The file has no audio stream.")
            media, stated_s = _decode_track(container, choose, _Output(longest_s, write, on_progress))
    except MemoryError:  # PyAV's own is an FFmpegError too
        raise
    except (av.FFmpegError, ValueError, OverflowError) as error:
        raise AudioUnreadableError(f"The file is not audio that can be decoded: {_reason(error)}.") from error
    if cut_off(file, media.container, stated_s=stated_s, decoded_s=media.samples / SAMPLE_RATE):
        media.warnings.append("truncated_media")
    media.warnings = sorted(set(media.warnings))
    return media


def warm_up() -> None:
    """Decode a little, so that all is loaded that is loaded when it is used."""
    sound = io.BytesIO()
    with wave.open(sound, "wb") as file:
        file.setparams((2, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(8000))
    decode(
        sound,
        choose=lambda _tracks: 1,
        longest_s=1,
        write=lambda _samples: None,
        on_progress=lambda _seconds: None,
    )


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).rstrip(".")


class _Output:
    """Takes samples, within the longest length allowed. `broken`: some were no numbers."""

    def __init__(
        self, longest_s: float, write: Callable[[Samples], None], on_progress: Callable[[float], None]
    ) -> None:
        self.samples = 0
        self.broken = False
        self._longest_s = longest_s
        self._write = write
        self._on_progress = on_progress

    def put(self, pieces: Iterable[Samples]) -> None:
        for samples in pieces:
            self.samples += len(samples)
            self._check(self.samples)
            sound = np.abs(samples) < _ABSURD  # false for NaN too
            self.broken |= not sound.all()
            self._write(np.where(sound, samples, np.float32(0)))
        self.progress()

    def silence_until(self, sample: int) -> None:
        self._check(sample)
        while self.samples < sample:
            self.put([np.zeros(min(_SILENCE, sample - self.samples), dtype=np.float32)])

    def progress(self) -> None:
        self._on_progress(self.samples / SAMPLE_RATE)

    def _check(self, samples: int) -> None:
        if samples > self._longest_s * SAMPLE_RATE:
            raise AudioTooLongError(
                f"The audio is longer than {self._longest_s:g} s.", hint="Split it, or ask the operator for more."
            )


@dataclass(frozen=True)
class _Piece:
    """A frame with its time stamp and length in seconds, or, without a frame, a packet that gave no sound."""

    frame: Any
    time_s: float | None = None
    length_s: float = 0.0
    damaged: bool = False


def _tracks(streams: Any) -> list[Track]:
    return [
        Track(number, bool(stream.disposition & Disposition.default), stream.codec_context is not None)
        for number, stream in enumerate(streams, 1)
    ]


def _decode_track(container: Any, choose: Choose, output: _Output) -> tuple[Media, float | None]:
    streams = container.streams.audio
    number = choose(_tracks(streams))
    stream = streams[number - 1]
    if (codec := stream.codec_context) is None:
        raise AudioUnreadableError("The file's audio is of a kind that is not known.")
    media = Media(container.format.name, codec.name, stream.sample_rate, stream.channels, number, len(streams))
    stated_s = container.duration / av.time_base if container.duration is not None else None
    start_s = container.start_time / av.time_base if container.start_time is not None else None
    line, mono = Timeline(clock(media.container, start_s=start_s, stated_s=stated_s)), Mono()

    def place(time_s: float | None, length_s: float) -> None:
        begin_s = line.position_s
        if gap_s := line.place(time_s, length_s):
            output.put(mono.flush())
            output.silence_until(round((begin_s + gap_s) * SAMPLE_RATE))

    heard = damaged = False
    silent_until_s = None
    for piece in _pieces(container, stream):
        if piece.frame is None:
            damaged = damaged or piece.damaged
            if piece.time_s is not None:
                silent_until_s = piece.time_s + piece.length_s
            output.progress()
            continue
        if damaged:  # before or between what is sound
            media.warnings.append("corrupt_media")
        heard, damaged, silent_until_s = True, False, None
        place(piece.time_s, piece.length_s)
        output.put(mono.feed(piece.frame))
    place(silent_until_s, 0.0)
    output.put(mono.flush())
    media.samples = output.samples
    if damaged and not heard:
        raise AudioUnreadableError("The file's audio is damaged: none of it could be decoded.")
    if not heard and not media.samples:
        raise AudioEmptyError("The file's audio stream has no samples.")
    if damaged:
        media.warnings.append("truncated_media")
    if output.broken:
        media.warnings.append("non_finite_samples")
    return media, _stated_seconds(container, stream)


def _pieces(container: Any, stream: Any) -> Iterator[_Piece]:
    """Yield what comes of each packet until the end of what can be read."""
    failures = 0
    packets = container.demux(stream)
    codec = stream.codec_context.codec.canonical_name
    while failures < _MOST_ERRORS:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except MemoryError:
            raise
        except av.FFmpegError:
            failures += 1
            packets = container.demux(stream)  # a generator that raised is over; the file goes on
            yield _Piece(None, damaged=True)
            continue
        failures = 0
        try:
            # For FFmpeg a packet without bytes is the end: only that of the demuxer, which has no time, may be.
            frames = packet.decode() if packet.size or packet.dts is None else []
        except MemoryError:
            raise
        except av.FFmpegError:
            frames = []
            silent = is_comfort_noise(codec, packet.size)
            yield _Piece(None, *_span(packet), damaged=not silent)
        for frame in frames:
            yield _Piece(frame, _seconds(frame.pts, frame.time_base), frame.samples / frame.sample_rate)


def _span(packet: Any) -> tuple[float | None, float]:
    """Return a packet's time stamp and length in seconds."""
    return _seconds(packet.pts, packet.time_base), _seconds(packet.duration, packet.time_base) or 0.0


def _seconds(ticks: int | None, base: Any) -> float | None:
    return float(ticks * base) if ticks is not None and base is not None else None


def _stated_seconds(container: Any, stream: Any) -> float | None:
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is not None and len(container.streams) == 1:
        return container.duration / av.time_base  # type: ignore[no-any-return]  # PyAV is untyped here
    return None
