"""Media of any kind to 16 kHz mono samples, with PyAV (FFmpeg). Runs in the decoder process only."""

from __future__ import annotations

import io
import wave
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, BinaryIO

import av
from av.stream import Disposition

from asrq_jobs.errors import AudioEmptyError, AudioUnreadableError, NoAudioStreamError
from asrq_worker.audio.containers import edits
from asrq_worker.audio.containers.files import parts
from asrq_worker.audio.containers.part import MOST_WITHOUT_SOUND, Content, Part
from asrq_worker.audio.mono import Mono
from asrq_worker.audio.output import Output
from asrq_worker.audio.packets import DecodedPacket, Packets, View
from asrq_worker.audio.stated import stated_s
from asrq_worker.audio.timeline import Clock, Timeline, clock
from asrq_worker.audio.tracks import Choose, Track, by_preference
from asrq_worker.audio.truncation import falls_short
from asrq_worker.audio.work import Work
from asrq_worker.backends.base import SAMPLE_RATE, Samples

_INTERLEAVED = frozenset({"mpegts"})  # behind the last sound there may be pictures
_WITHOUT_GAPS = frozenset({"flac"})  # its frames are numbered: one that is missing was lost


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


def decode(
    file: BinaryIO,
    *,
    choose: Choose,
    work: Work,
    longest_s: float,
    write: Callable[[Samples], None],
    on_progress: Callable[[float], None],
    apart: bool = False,
) -> Media:
    """Decode the track of an open file that `choose` takes, and `write` it: float32 of shape (n,), mono, 16 kHz; of two
    channels that stay `apart` of shape (n, 2).

    Each sample is where a player would play it: sound that begins late, and what is missing in between, is preceded
    by silence. `work` counts what it takes. `on_progress` gets the seconds decoded so far, often. What decodes of a
    damaged file is used, with a warning. Playlists and other files that only name media elsewhere are refused: FFmpeg
    may open nothing but this file.

    Raises:
        AudioUnreadableError: nothing in it can be decoded, or it is too much work.
        NoAudioStreamError: there is no audio in it, or not the track that was asked for.
        AudioEmptyError: it is audio of no length.
        AudioTooLongError: it says that it is longer than `longest_s` seconds, or more came out.
        TooManyChannelsError: there are more than two, `apart`.
    """
    output = Output(longest_s, write, on_progress, apart=apart)
    media: Media | None = None
    failure: AudioEmptyError | AudioUnreadableError | None = None
    warnings: set[str] = set()
    for part in parts(file):
        try:
            output.progress()
            work.part()
            found = _decode_part(file, part, choose if media is None else partial(_same, media.track), work, output)
        except (AudioEmptyError, AudioUnreadableError) as error:
            if work.too_much:
                raise
            failure = failure or error
            continue
        except NoAudioStreamError:
            if media is None:
                raise
            continue
        media = media or found
        warnings.update(found.warnings)
    if media is None:
        assert failure is not None  # noqa: S101  # there is at least one part
        raise failure
    if isinstance(failure, AudioUnreadableError):
        warnings.add("corrupt_media")
    if output.broken:
        warnings.add("non_finite_samples")
    return replace(media, samples=output.samples, warnings=sorted(warnings))


def warm_up() -> None:
    """Decode a little, so that all is loaded that is loaded when it is used."""
    sound = io.BytesIO()
    with wave.open(sound, "wb") as file:
        file.setparams((2, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(8000))
    decode(
        sound,
        choose=lambda _tracks: 1,
        work=Work(sound.tell()),
        longest_s=1,
        write=lambda _samples: None,
        on_progress=lambda _seconds: None,
    )


def _cut_off(before: str) -> AudioUnreadableError:
    return AudioUnreadableError(
        f"The file is cut off before {before}.", hint="It is incomplete: copy or record it again, to its end."
    )


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).rstrip(".")


def _same(number: int, tracks: Sequence[Track]) -> int:
    """Return the track of another part of the file that goes on with a track of the first one."""
    return number if number <= len(tracks) else by_preference(tracks)[0]


def _decode_part(file: BinaryIO, part: Part, choose: Choose, work: Work, output: Output) -> Media:
    if part.crowded:
        raise AudioUnreadableError(
            f"The file has more than {MOST_WITHOUT_SOUND} chunks without sound.", hint="Export or convert it again."
        )
    content = Content(file, part.stop)
    output.expect(edits.length_s(content, part))
    try:
        with av.open(
            View(file, part),
            metadata_errors="ignore",
            container_options={"protocol_whitelist": "none"},
            buffer_size=1 << 18,
        ) as container:
            if not container.streams.audio:
                raise NoAudioStreamError("The file has no audio stream.")
            return _decode_track(container, choose, work, output, content, part)
    except MemoryError:  # PyAV's own is an FFmpegError too
        raise
    except (av.FFmpegError, ValueError, OverflowError) as error:
        if part.cut:
            raise _cut_off("anything of it can be decoded") from error
        raise AudioUnreadableError(f"The file is not audio that can be decoded: {_reason(error)}.") from error


def _tracks(streams: Any) -> list[Track]:
    return [
        Track(number, bool(stream.disposition & Disposition.default), stream.codec_context is not None)
        for number, stream in enumerate(streams, 1)
    ]


def _decode_track(container: Any, choose: Choose, work: Work, output: Output, content: Content, part: Part) -> Media:
    streams = container.streams.audio
    number = choose(_tracks(streams))
    stream = streams[number - 1]
    if (codec := stream.codec_context) is None:
        if part.cut:
            raise _cut_off("it says what its audio is")
        raise AudioUnreadableError("The file's audio is of a kind that is not known.")
    media = Media(container.format.name, codec.name, stream.sample_rate, stream.channels, number, len(streams))
    length_s = _length_s(container, stream)
    start_s = _micro(container.start_time)
    output.expect(
        stated_s(
            content, part, media.container, length_s=length_s, start_s=start_s or 0.0, bits_a_second=codec.bit_rate or 0
        )
    )
    before = output.samples
    sound = _Sound(output, clock(media.container, start_s=start_s, stated_s=_micro(container.duration)))
    packets = Packets(container, stream, content, part, work)
    for packet in packets:
        sound.take(packet)
    sound.end()
    decoded_s = (output.samples - before) / SAMPLE_RATE
    short = falls_short(content, part, media.container, stated_s=length_s, decoded_s=decoded_s)
    cut = part.cut or short or False
    if not part.known and short is None:
        cut = cut or (sound.damaged if packets.short is None else packets.short)
    left_over = packets.left_over and media.container not in _INTERLEAVED
    damaged = sound.holes or part.damaged or left_over or (sound.damaged and not cut)
    if not sound.heard and cut:
        raise _cut_off("its first sound")
    if not sound.heard and sound.damaged:
        raise AudioUnreadableError("The file's audio is damaged: none of it could be decoded.")
    if not sound.heard and output.samples == before:
        raise AudioEmptyError("The file's audio stream has no samples.")
    if cut:
        media.warnings.append("truncated_media")
    if damaged or (sound.gaps and media.container in _WITHOUT_GAPS):
        media.warnings.append("corrupt_media")
    return media


class _Sound:
    """Puts what was decoded where it belongs. `heard`: there was a frame; `holes`: damage is before or between
    frames; `damaged`: what came since the last one is; `gaps`: time stamps jumped."""

    def __init__(self, output: Output, clock: Clock) -> None:
        self.heard = False
        self.holes = False
        self.damaged = False
        self.gaps = False
        self._output = output
        self._begin = output.samples
        self._line = Timeline(clock)
        self._mono = Mono(apart=output.apart)
        self._silent_until_s: float | None = None
        self._silent_s = 0.0

    def take(self, packet: DecodedPacket) -> None:
        if packet.frame is None:
            self.damaged = self.damaged or packet.damaged
            if packet.time_s is not None:
                self._silent_until_s = packet.time_s + packet.length_s
            self._silent_s += packet.length_s
            self._output.expect(self._silent_s)
            self._output.progress()
            return
        self.holes = self.holes or self.damaged
        self.heard, self.damaged, self._silent_until_s, self._silent_s = True, False, None, 0.0
        self._place(packet.time_s, packet.length_s)
        self._output.put(self._mono.feed(packet.frame))

    def end(self) -> None:
        self._place(self._silent_until_s, 0.0)
        self._output.put(self._mono.flush())

    def _place(self, time_s: float | None, length_s: float) -> None:
        begin_s = self._line.position_s
        if gap_s := self._line.place(time_s, length_s):
            self.gaps = True
            self._output.put(self._mono.flush())
            self._output.silence_until(self._begin + round((begin_s + gap_s) * SAMPLE_RATE))


def _micro(ticks: int | None) -> float | None:
    return None if ticks is None else ticks / float(av.time_base)


def _length_s(container: Any, stream: Any) -> float | None:
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    return _micro(container.duration) if len(container.streams) == 1 else None
