"""Media of any kind to 16 kHz mono samples, with PyAV (FFmpeg). Runs in the decoder process only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np

from asrq_jobs.errors import AudioEmptyError, AudioTooLongError, AudioUnreadableError, NoAudioStreamError
from asrq_worker.audio.truncation import cut_off
from asrq_worker.backends.base import SAMPLE_RATE, Samples

_ABSURD = 1e9  # larger than any integer format scaled wrongly: only broken floats are
_MOST_ERRORS = 100  # one after the other: the rest of the file is lost


@dataclass
class Media:
    """What was decoded; `warnings` may hold truncated_media, corrupt_media and non_finite_samples."""

    container: str
    codec: str
    sample_rate: int
    channels: int
    samples: int = 0
    warnings: list[str] = field(default_factory=list)


class _Content:
    """A file of which FFmpeg sees neither name nor path: only its content decides what it is taken for."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("rb")
        self.read = self.file.read
        self.seek = self.file.seek
        self.tell = self.file.tell


def decode(
    path: Path, *, longest_s: float, write: Callable[[Samples], None], on_progress: Callable[[float], None]
) -> Media:
    """Decode the first audio stream and `write` it bit by bit: float32 of shape (n,), mono, 16 kHz.

    `on_progress` gets the seconds decoded so far, often. What decodes of a damaged file is used, with a warning.
    Playlists and other files that only name media elsewhere are refused: FFmpeg may open nothing but this file.

    Raises:
        AudioUnreadableError: nothing in it can be decoded.
        NoAudioStreamError: there is no audio in it.
        AudioEmptyError: it is audio of no length.
        AudioTooLongError: more than `longest_s` seconds came out.
    """
    content = _Content(path)
    with content.file:
        try:
            with av.open(
                content,
                metadata_errors="ignore",
                container_options={"protocol_whitelist": "none"},
                buffer_size=1 << 18,
            ) as container:
                if not container.streams.audio:
                    raise NoAudioStreamError("The file has no audio stream.")
                media, stated_s = _decode_stream(container, longest_s, write, on_progress)
        except MemoryError:  # PyAV's own is an FFmpegError too
            raise
        except (av.FFmpegError, ValueError, OverflowError) as error:
            raise AudioUnreadableError(f"The file is not audio that can be decoded: {_reason(error)}.") from error
        if cut_off(content.file, media.container, stated_s=stated_s, decoded_s=media.samples / SAMPLE_RATE):
            media.warnings.append("truncated_media")
    media.warnings = sorted(set(media.warnings))
    return media


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).rstrip(".")


def _decode_stream(
    container: Any, longest_s: float, write: Callable[[Samples], None], on_progress: Callable[[float], None]
) -> tuple[Media, float | None]:
    stream = container.streams.audio[0]
    if stream.codec_context is None:
        raise AudioUnreadableError("The file's audio is of a kind that is not known.")
    media = Media(container.format.name, stream.codec_context.name, stream.sample_rate, stream.channels)
    longest = int(longest_s * SAMPLE_RATE)
    resampler = _Resampler()
    heard = failed = False
    for frames in _decoded(container, stream):
        if frames is None:
            failed = True
        elif frames:
            if failed:  # before or between what is sound
                media.warnings.append("corrupt_media")
            heard, failed = True, False
        for samples in resampler.feed(frames or []):
            media.samples += len(samples)
            if media.samples > longest:
                raise AudioTooLongError(
                    f"The audio is longer than {longest_s:g} s.", hint="Split it, or ask the operator for more."
                )
            write(_finite(samples, media.warnings))
        on_progress(media.samples / SAMPLE_RATE)
    for samples in resampler.flush():
        media.samples += len(samples)
        write(_finite(samples, media.warnings))
    on_progress(media.samples / SAMPLE_RATE)
    if not heard:
        if failed:
            raise AudioUnreadableError("The file's audio is damaged: none of it could be decoded.")
        raise AudioEmptyError("The file's audio stream has no samples.")
    if failed:
        media.warnings.append("truncated_media")
    return media, _stated_seconds(container, stream)


def _decoded(container: Any, stream: Any) -> Iterator[list[Any] | None]:
    """Yield the frames of each packet, or None for each failure, until the end of what can be read."""
    failures = 0
    packets = container.demux(stream)
    while failures < _MOST_ERRORS:
        try:
            yield next(packets).decode()
            failures = 0
        except StopIteration:
            return
        except MemoryError:
            raise
        except av.FFmpegError:
            failures += 1
            packets = container.demux(stream)  # a generator that raised is over; the file goes on
            yield None


class _Resampler:
    """Frames of any format, which may change midway, to 16 kHz mono."""

    def __init__(self) -> None:
        self._format: tuple[str, str, int] | None = None
        self._resampler: Any = None
        self._collected: Any = None

    def feed(self, frames: list[Any]) -> Iterator[Samples]:
        for frame in frames:
            given = (frame.format.name, frame.layout.name, frame.sample_rate)
            if given != self._format:
                yield from self.flush()
                self._format = given
                # FFmpeg mixes surround down to stereo; its mono would be up to 3.4 times as loud as the source.
                layout = "mono" if frame.layout.nb_channels == 1 else "stereo"
                self._resampler = av.AudioResampler(format="fltp", layout=layout, rate=SAMPLE_RATE)
                self._collected = av.AudioFifo()
            frame.pts = None  # damaged time stamps would be an error here
            self._collected.write(frame)
            if self._collected.samples >= frame.sample_rate:  # each call costs as much as many samples
                yield from self._mono(self._collected.read())

    def flush(self) -> Iterator[Samples]:
        if self._resampler:
            if self._collected.samples:
                yield from self._mono(self._collected.read())
            yield from self._mono(None)

    def _mono(self, frame: Any) -> Iterator[Samples]:
        for resampled in self._resampler.resample(frame):
            channels: Samples = resampled.to_ndarray()
            mono = channels.mean(axis=0)
            if len(channels) == 2 and np.abs(mono).max() < 0.01 * np.abs(channels[0]).max():
                mono = channels[0]  # channels of opposite phase, a common wiring fault, cancel each other out
            yield mono


def _finite(samples: Samples, warnings: list[str]) -> Samples:
    sound = np.abs(samples) < _ABSURD  # false for NaN too
    if sound.all():
        return samples
    warnings.append("non_finite_samples")
    return np.where(sound, samples, np.float32(0))


def _stated_seconds(container: Any, stream: Any) -> float | None:
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is not None and len(container.streams) == 1:
        return container.duration / av.time_base  # type: ignore[no-any-return]  # PyAV is untyped here
    return None
