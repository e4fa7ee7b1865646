"""What the Whisper backend takes of memory when it hears all that it may at once, and whether a limit holds it.

    python ops/bench/memory.py MANIFEST --language ru [--model base] [--regardless]

Joins the clips of a manifest to chunks of up to 27 s and hears 36 of them in batches of 12, with all decodes in flight
that the backend allows, and the spare one. `--regardless`: as many at once as if memory were no matter. Prints the peak
and a digest of the texts. To be run under a limit:

    mkdir /sys/fs/cgroup/memory/try && echo 1000M > /sys/fs/cgroup/memory/try/memory.limit_in_bytes   # version 1
    sh -c 'echo $$ > /sys/fs/cgroup/memory/try/cgroup.procs; exec python ops/bench/memory.py …'

For figures like an engine's, memory that is freed is to be kept: see `asrq_worker.process.heap.KEPT`. Wants the extra
`bench`.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from asrq_jobs.settings import Settings
from asrq_worker.backends.base import SAMPLE_RATE, BackendConfig, Chunk, ChunkOptions, Samples, Transcript
from asrq_worker.backends.cores import usable_cores
from asrq_worker.backends.whisper.backend import WhisperBackend
from asrq_worker.backends.whisper.room import MOST_FRAMES
from asrq_worker.process import heap
from margins import recordings

CHUNKS = 36
BATCH = 12
LONGEST_S = 27


def joined(manifest: Path, language: str) -> list[Chunk]:
    """Return chunks of about the same length, the shortest first."""
    clips = [recording.samples for recording in recordings(manifest, language)]
    chunks: list[Chunk] = []
    parts: list[Samples] = []
    number = 0
    while len(chunks) < CHUNKS:
        clip = clips[number % len(clips)]
        if sum(len(part) for part in [*parts, clip]) > LONGEST_S * SAMPLE_RATE:
            chunks.append(Chunk(np.concatenate(parts), ChunkOptions(language)))
            parts = []
        parts.append(clip)
        number += 1
    return sorted(chunks, key=lambda chunk: chunk.seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--language", required=True)
    parser.add_argument("--model", default="base")
    parser.add_argument("--regardless", action="store_true")
    given = parser.parse_args()
    if any(os.environ.get(name) != value for name, value in heap.KEPT.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | heap.KEPT)  # noqa: S606  # itself again
    chunks = joined(given.manifest, given.language)
    backend = WhisperBackend(BackendConfig(given.model, model_dir=Settings().model_dir))
    backend.load()
    backend.warm_up()
    print(backend.tuned, flush=True)
    can = backend.capabilities()
    decodes = can.parallel + can.spare
    if given.regardless:
        backend._model.frames_together = MOST_FRAMES
        decodes = usable_cores() + can.spare
    batches = [chunks[at : at + BATCH] for at in range(0, CHUNKS, BATCH)]
    texts: list[str] = []

    def hear() -> None:
        with ThreadPoolExecutor(decodes) as threads:
            for outcome in (outcome for found in threads.map(backend.transcribe_batch, batches) for outcome in found):
                if not isinstance(outcome, Transcript):
                    raise outcome
                texts.append(outcome.text)

    started = time.perf_counter()
    grown = heap.grown_by(hear)
    took_s = time.perf_counter() - started
    digest = hashlib.sha256("\n".join(texts).encode()).hexdigest()[:8]
    print(f"{decodes} decodes, {took_s:.1f} s, {(grown or 0) / 2**20:.0f} MiB more than before, texts {digest}")


if __name__ == "__main__":
    main()
