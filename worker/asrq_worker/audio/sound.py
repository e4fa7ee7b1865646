"""Decoded audio: samples in files, and the speech in them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asrq_worker.backends.base import SAMPLE_RATE, Samples
from asrq_worker.storage.disk import writing
from asrq_worker.storage.spool import discard


class Sound:
    """Audio at 16 kHz mono. `path` holds `samples` little-endian float32 values; `spans` is the speech in samples.

    `channel` is its number, from 1, where each channel of a recording is heard for itself.
    """

    path: Path
    samples: int
    spans: tuple[tuple[int, int], ...]
    channel: int | None = None

    @property
    def sides(self) -> tuple[Sound, ...]:
        """What is to be heard, each for itself: the sound, or its channels."""
        return (self,)

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.samples / SAMPLE_RATE

    def read(self, start: int, stop: int) -> Samples:
        """Return the samples from `start` to `stop`, float32 of shape (stop - start,).

        Raises:
            StorageError: the file is gone.
        """
        with writing():
            samples = np.fromfile(self.path, dtype="<f4", count=stop - start, offset=start * 4)
        return samples.astype(np.float32, copy=False)


@dataclass(frozen=True)
class Channel(Sound):
    """A channel of a recording, as long as the others."""

    path: Path
    samples: int
    spans: tuple[tuple[int, int], ...]
    channel: int | None


@dataclass(frozen=True)
class DecodedAudio(Sound):
    """Audio that is decoded as a whole; of channels that are heard apart, `path` and `spans` are those of the first.

    `container`, `codec`, `sample_rate` (Hz) and `channels` describe the source, of whose `tracks` it is number `track`.
    `warnings`: truncated_media, corrupt_media, non_finite_samples, other_tracks, channels_alike.
    """

    path: Path
    samples: int
    spans: tuple[tuple[int, int], ...]
    container: str
    codec: str
    sample_rate: int
    channels: int
    warnings: tuple[str, ...]
    track: int = 1
    tracks: int = 1
    vad_s: float = 0.0
    """Seconds that it took to find the speech."""
    apart: tuple[Channel, ...] = ()
    """The channels, where they are heard apart."""
    files: tuple[Path, ...] = ()
    """All files that were written, if it is not `path` alone."""

    @property
    def sides(self) -> tuple[Sound, ...]:
        """What is to be heard, each for itself."""
        return self.apart or (self,)

    def discard(self) -> None:
        """Delete the files."""
        for file in self.files or (self.path,):
            discard(file)
