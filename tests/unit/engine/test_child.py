"""What the engine's process makes of a chunk that it is given by reference."""

from __future__ import annotations

import mmap
from pathlib import Path

import numpy as np

from asrq_worker.backends.base import Chunk, ChunkOptions
from asrq_worker.engine import child
from asrq_worker.engine.messages import ChunkRef


def test_samples_are_mapped_and_not_copied(tmp_path: Path) -> None:
    path = tmp_path / "samples.f32"
    np.arange(100, dtype="<f4").tofile(path)
    chunk = child._read(ChunkRef(path, 10, 20, ChunkOptions("en")), lambda: True)
    assert isinstance(chunk, Chunk)
    assert chunk.samples.tolist() == list(range(10, 20))
    holder: object = chunk.samples
    while isinstance(holder, np.ndarray):
        holder = holder.base
    assert isinstance(holder, mmap.mmap)
