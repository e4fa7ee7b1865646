"""Real decoder processes, and media of every kind made on the spot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from asrq_worker.audio.decoder import DecoderPool
from asrq_worker.audio.sound import DecodedAudio

Signal = NDArray[np.float32]


def nothing(*_: object) -> None:
    """Neither progress nor a check."""


def decode_file(
    pool: DecoderPool,
    path: Path,
    out: Path,
    *,
    on_progress: Callable[[float], None] = nothing,
    check: Callable[[], None] = nothing,
    urgent: bool = False,
) -> DecodedAudio:
    """Open a file and have the pool decode it."""
    with path.open("rb") as file:
        return pool.decode(file, out, on_progress=on_progress, check=check, urgent=urgent)


@pytest.fixture(scope="session")
def pool() -> Iterator[DecoderPool]:
    """Two decoders for files of up to an hour."""
    pool = DecoderPool(2, memory_mb=4096, stall_s=20, max_s=3600)
    pool.start()
    yield pool
    pool.close()


@pytest.fixture
def decode(pool: DecoderPool, tmp_path: Path) -> Callable[[Path], DecodedAudio]:
    """Decode one file."""
    return lambda path: decode_file(pool, path, tmp_path / "decoded.f32")


@pytest.fixture(scope="session")
def voice(data: Path) -> Signal:
    """The English sample that the repository ships: float32 of shape (n,), 16 kHz."""
    with av.open(str(data / "hello-en.flac")) as container:
        frames = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
    return np.concatenate(frames).astype(np.float32) / np.float32(32768)


class Encode(Protocol):
    """Writes media."""

    def __call__(
        self,
        name: str,
        channels: Signal,
        *,
        codec: str,
        rate: int = 16_000,
        layout: str = "mono",
        video: bool = False,
        **options: str,
    ) -> Path:
        """Write channels, float32 of shape (channels, n) at `rate`, in the container that the name tells."""


@pytest.fixture
def encode(tmp_path: Path) -> Encode:
    """Make a media file with PyAV."""

    def write(
        name: str,
        channels: Signal,
        *,
        codec: str,
        rate: int = 16_000,
        layout: str = "mono",
        video: bool = False,
        **options: str,
    ) -> Path:
        path = tmp_path / name
        with av.open(str(path), "w", options=options) as container:
            audio: Any = container.add_stream(codec, rate=rate, layout=layout)
            if video:
                add_pictures(container)
            interleaved = np.ascontiguousarray(channels.T).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(interleaved, format="flt", layout=layout)
            frame.sample_rate = rate
            for packet in [*audio.encode(frame), *audio.encode(None)]:
                container.mux(packet)
        return path

    return write


def add_pictures(container: Any) -> None:
    """Put two seconds of moving pictures into a container."""
    pictures = container.add_stream("mpeg4", rate=10)
    pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
    for shade in range(20):
        picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), shade * 10, dtype=np.uint8), format="rgb24")
        container.mux(pictures.encode(picture))
    container.mux(pictures.encode(None))


@pytest.fixture
def first_half(tmp_path: Path) -> Callable[[Path], Path]:
    """Return a copy of a file that breaks off in the middle."""

    def cut(path: Path) -> Path:
        half = tmp_path / f"half-{path.name}"
        content = path.read_bytes()
        half.write_bytes(content[: len(content) // 2])
        return half

    return cut
