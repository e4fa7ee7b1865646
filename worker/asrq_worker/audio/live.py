"""Sound that is still being recorded, as a job works on it: what has come, decoded, and the speech in it so far."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

from asrq_jobs.errors import AudioEmptyError
from asrq_jobs.request import LiveAudio
from asrq_worker.audio.decode_process import DecodeProcess
from asrq_worker.audio.decoder import DecoderPool
from asrq_worker.audio.sound import DecodedAudio, Sound
from asrq_worker.audio.source import LocalAudio
from asrq_worker.audio.split import Piece, Span, settled, split
from asrq_worker.storage.disk import write_all, writing
from asrq_worker.storage.spool import Spool, discard

_STEP_S = 0.4  # of sound, at least, that the decoder takes at a time while there will be more
_MOST_S = 30.0  # and at most: it answers within a second

End = Literal["end", "interrupted"]


@dataclass(frozen=True)
class Arrived:
    """What has come since the last look. `there`: whether anybody could look; `end`: whether that is all."""

    sound: bytes = b""
    there: bool = True
    end: End | None = None


class Feed(Protocol):
    """Where the sound of one job comes from, from its first frame on."""

    def read(self, wait_s: float) -> Arrived:
        """Return what follows, waiting so long for something.

        Raises:
            BlobMissingError: some of it is no longer there.
            FetchError: some of what was read is no longer there; another attempt reads what is.
        """

    def interrupt(self, silent_s: float) -> None:
        """Let nothing more come, unless something has within so many seconds; if not, `read` will tell.

        Raises:
            FetchError: as `read`.
        """


Feeds = Callable[[str], Feed]
"""Returns the feed of a job."""


class Recording(Sound):
    """One recording, as far as it has come: `samples` are those so far, `spans` the speech in them that will not
    change, and after the end all speech."""

    def __init__(
        self,
        audio: LiveAudio,
        feed: Feed,
        decoder: DecodeProcess,
        raw: BinaryIO,
        path: Path,
        *,
        check: Callable[[], None],
        on_end: Callable[[Recording], None],
        idle_s: float,
        stall_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`decoder` has been given `raw`, which takes the sound as it comes, and `path`. Nobody is waited for longer
        than `idle_s`. `check` is called often, and what it raises passes on; `on_end` once."""
        self.path = path
        self.samples = 0
        self.spans: tuple[tuple[int, int], ...] = ()
        self.ended = False
        self._audio = audio
        self._feed = feed
        self._decoder = decoder
        self._raw = raw
        self._check = check
        self._on_end = on_end
        self._idle_s = idle_s
        self._stall_s = stall_s
        self._clock = clock
        self._heard_at = clock()
        self._open: tuple[Span, ...] = ()
        self._until = 0
        self._arrived = 0
        self._taken = 0
        self._end: End | None = None
        self._digest = hashlib.sha256()
        self._warnings: tuple[str, ...] = ()

    def grow(self, wait_s: float) -> bool:
        """Take what comes within so many seconds; return whether there is more sound, or speech, than before.

        Raises:
            AudioError: it is too long, there is none, or some of it is lost.
            DecoderError: the decoder failed.
            StorageError, NoRoomError: it cannot be kept.
        """
        arrived = self._feed.read(wait_s)
        if arrived.sound or not arrived.there:
            self._heard_at = self._clock()
        elif not arrived.end and self._clock() - self._heard_at > self._idle_s:
            self._feed.interrupt(self._idle_s)
        with writing():
            write_all(self._raw, arrived.sound)
        self._digest.update(arrived.sound)
        self._arrived += len(arrived.sound)
        self._end = arrived.end
        second, before = self._audio.width * self._audio.sample_rate, self._taken
        while self._end or self._arrived - self._taken >= _STEP_S * second:
            self._taken = min(self._arrived, self._taken + int(_MOST_S * second))
            self._decode(end=bool(self._end) and self._taken == self._arrived)
            if self.ended:
                break
        return self._taken > before or self.ended

    def settled_pieces(self, *, longest_s: float) -> list[Piece]:
        """Return what can be heard before the end (see `split.settled`)."""
        return settled(self.spans, self._until, longest_s=longest_s, read=self.read)

    @property
    def paused(self) -> bool:
        """Whether all speech so far has ended, at least for a moment."""
        return not self._open

    def open_pieces(self, after: int, *, longest_s: float) -> list[Piece]:
        """Return what would be heard of the speech that begins so many samples from the start or later, if there were
        no more sound than now."""
        spans = [span for span in (*self.spans, *self._open) if span[0] >= after]
        return split(spans, longest_s=longest_s, read=self.read)

    def whole(self) -> tuple[LocalAudio, DecodedAudio]:
        """Return what was recorded, after the end: as it came, and decoded."""
        local = LocalAudio(self._raw, self._arrived, self._digest.hexdigest(), None)
        audio = self._audio
        decoded = DecodedAudio(
            self.path,
            self.samples,
            self.spans,
            "live",
            audio.encoding,
            audio.sample_rate,
            audio.channels,
            self._warnings,
        )
        return local, decoded

    def _decode(self, *, end: bool) -> None:
        message = {"op": "more", "bytes": self._taken, "end": end}
        done = self._decoder.run(message, (), on_progress=lambda _s: None, check=self._check, stall_s=self._stall_s)
        self.samples = done["samples"]
        self.spans = tuple((start, stop) for start, stop in done["spans"])
        self._open = tuple((start, stop) for start, stop in done["open"]) if not end else ()
        if not end:
            self._until = done["until"]
            return
        if not self.samples:
            raise AudioEmptyError("There is no sound in it.")
        interrupted = ("live_interrupted",) if self._end == "interrupted" else ()
        self._warnings = (*done["warnings"], *interrupted)
        self.ended = True
        self._on_end(self)


class Recordings:
    """Opens those of a host, each with a decoder of its own. Thread-safe."""

    def __init__(self, feeds: Feeds, spool: Spool, decoders: DecoderPool, *, idle_s: float) -> None:
        self._feeds = feeds
        self._spool = spool
        self._decoders = decoders
        self._idle_s = idle_s

    @contextmanager
    def open(
        self, job_id: str, audio: LiveAudio, check: Callable[[], None], on_end: Callable[[Recording], None]
    ) -> Iterator[Recording]:
        """Begin with a recording from its first frame, and call `on_end` when it has ended; its files go in the end.

        Raises:
            DecoderError: there is no decoder for it.
            StorageError, NoRoomError: it cannot be kept.
        """
        with ExitStack() as opened:
            decoder = opened.enter_context(self._decoders.aside(check))
            raw, path = self._spool.new_file(".raw"), self._spool.new_file(".f32")
            opened.callback(discard, raw)
            opened.callback(discard, path)
            with writing():
                sound = opened.enter_context(raw.open("xb", buffering=0))
                source = opened.enter_context(raw.open("rb"))  # of its own: the decoder reads elsewhere than we write
                out = opened.enter_context(path.open("xb+", buffering=0))
            begin = {"op": "live", **audio.model_dump(exclude={"kind", "max_s"}), **self._decoders.limits}
            stall_s = self._decoders.stall_s
            decoder.run(
                begin, (source.fileno(), out.fileno()), on_progress=lambda _s: None, check=check, stall_s=stall_s
            )
            yield Recording(
                audio,
                self._feeds(job_id),
                decoder,
                sound,
                path,
                check=check,
                on_end=on_end,
                idle_s=self._idle_s,
                stall_s=stall_s,
            )
