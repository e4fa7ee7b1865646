"""Rows for a GPU, without a queue: batch sizes, throughput beside faster-whisper's own batches, latency under load.

    python ops/bench/gpu.py --model DIR --clips DIR [--device cpu] [--output FILE]

Clips are heard as arrays, so PyAV is not needed; `gpu.sh` brings all that is to a machine without a package registry.
Everything is measured in rounds, one contender after the other, and every text is in the JSON, to be scored elsewhere.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import uuid
import wave
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrq_worker.backends.base import SAMPLE_RATE, BackendConfig, Chunk, ChunkOptions
from asrq_worker.backends.whisper.backend import WhisperBackend
from asrq_worker.bench import hardware
from asrq_worker.engine.chunks import ChunkDone, ChunkTask
from asrq_worker.engine.engine import Engine
from asrq_worker.engine.scheduler import Scheduler

Samples = NDArray[np.float32]
Hear = Callable[[Sequence[Samples]], list[str]]

_PAUSE = np.zeros(SAMPLE_RATE, dtype=np.float32)
_LONGEST_S = 28
_START_S = 300.0


def read(path: Path) -> Samples:
    """Return a WAV file of 16 kHz, 16 bit and one channel as float32 of shape (n,), within [-1, 1]."""
    with wave.open(str(path)) as file:
        if (file.getframerate(), file.getsampwidth(), file.getnchannels()) != (SAMPLE_RATE, 2, 1):
            raise SystemExit(f"{path} is not 16 kHz, 16 bit, one channel")
        frames = file.readframes(file.getnframes())
    return np.frombuffer(frames, dtype="<i2").astype(np.float32) / np.float32(32768)


class Spooled:
    """asrq's engine in its process behind its scheduler, and a file with the samples of all chunks."""

    def __init__(self, given: argparse.Namespace, folder: Path) -> None:
        self._options = ChunkOptions(language=given.language)
        self._path = folder / "samples.f32"
        self._path.touch()
        self.engine = Engine("whisper", _config(given))
        self.scheduler = Scheduler(self.engine, batch_s=2.0)

    def submit(self, samples: Samples, *, lane: str, job: str | None = None) -> Future[ChunkDone]:
        """Have a chunk heard, as a job of its own unless one is named."""
        return self.scheduler.submit([self._task(samples, lane=lane, job=job)])[0]

    def _task(self, samples: Samples, *, lane: str, job: str | None = None) -> ChunkTask:
        with self._path.open("ab") as file:
            start = file.tell() // samples.itemsize
            file.write(samples.tobytes())
        stop = start + len(samples)
        return ChunkTask(job or uuid.uuid4().hex, lane, self._path, start, stop, self._options)

    def hear(self, clips: Sequence[Samples]) -> list[str]:
        """Hear all clips, submitted at once."""
        done = self.scheduler.submit([self._task(clip, lane="batch") for clip in clips])
        return [each.result().transcript.text for each in done]


@contextmanager
def spooled(given: argparse.Namespace) -> Iterator[Spooled]:
    """Run asrq's engine until the block ends."""
    with tempfile.TemporaryDirectory(prefix="asrq-gpu-") as folder:
        running = Spooled(given, Path(folder))
        try:
            running.engine.start()
            running.engine.wait_ready(_START_S)
            yield running
        finally:
            running.scheduler.close()
            running.engine.close()


def contenders(given: argparse.Namespace, asrq: Spooled) -> dict[str, Hear]:
    """Return what is compared, by name; batches of faster-whisper are within one recording, those of asrq of clips."""
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    model = WhisperModel(str(given.model), device=given.device, compute_type=given.compute_type)
    pipeline = BatchedInferencePipeline(model)
    backend = WhisperBackend(_config(given))
    backend.load()
    backend.warm_up()
    options = {"language": given.language, "beam_size": 5, "condition_on_previous_text": False}

    def loop(clips: Sequence[Samples]) -> list[str]:
        return [_text(model.transcribe(clip, **options)) for clip in clips]

    def joined(size: int) -> Hear:
        return lambda clips: [_text(pipeline.transcribe(_joined(clips), batch_size=size, **options))]

    def batches(size: int) -> Hear:
        def hear(clips: Sequence[Samples]) -> list[str]:
            chunks = [Chunk(clip, ChunkOptions(language=given.language)) for clip in clips]
            found = [x for at in range(0, len(chunks), size) for x in backend.transcribe_batch(chunks[at : at + size])]
            return [getattr(each, "text", "") for each in found]

        return hear

    return {
        "loop": loop,
        **{f"pipeline, batch of {size}": joined(size) for size in given.sizes},
        **{f"asrq backend, batch of {size}": batches(size) for size in given.sizes},
        "asrq engine": asrq.hear,
    }


def throughput(hears: dict[str, Hear], clips: Sequence[Samples], rounds: int) -> dict[str, Any]:
    """Return audio seconds per second of each contender: of every round, and as a ratio to the loop's."""
    seconds = sum(map(len, clips)) / SAMPLE_RATE
    rates: dict[str, list[float]] = {name: [] for name in hears}
    texts: dict[str, list[str]] = {}
    for hear in hears.values():
        hear(clips[:2])  # what is compiled or allocated lazily
    for _ in range(rounds):
        for name, hear in hears.items():
            began = time.perf_counter()
            texts[name] = hear(clips)
            rates[name].append(seconds / (time.perf_counter() - began))
    return {
        name: {
            "audio_s_per_s": [round(rate, 2) for rate in found],
            "by_loop": _spread([mine / loop for mine, loop in zip(found, rates["loop"], strict=True)]),
            "texts": texts[name],
        }
        for name, found in rates.items()
    }


def latency(asrq: Spooled, clips: Sequence[Samples], every_s: float) -> dict[str, Any]:
    """Seconds of single clips in the interactive lane: on an idle engine, and while 20 jobs of 28 s chunks run."""
    idle = [_timed(asrq, clip) for clip in clips]
    long = _joined(clips)[: _LONGEST_S * SAMPLE_RATE]
    jobs = [uuid.uuid4().hex for _ in range(20)]
    behind: list[Future[ChunkDone]] = []
    loaded = []
    try:
        for clip in clips:
            waiting = [each for each in behind if not each.done()]
            behind = waiting + [asrq.submit(long, lane="batch", job=jobs[n % 20]) for n in range(60 - len(waiting))]
            time.sleep(every_s)
            loaded.append(_timed(asrq, clip))
    finally:
        for job in jobs:
            asrq.scheduler.cancel(job)
    return {"idle_s": _percentiles(idle), "under_load_s": _percentiles(loaded)}


def _timed(asrq: Spooled, clip: Samples) -> float:
    began = time.perf_counter()
    asrq.submit(clip, lane="interactive").result()
    return time.perf_counter() - began


def _config(given: argparse.Namespace) -> BackendConfig:
    return BackendConfig(str(given.model), given.model.parent, device=given.device, compute_type=given.compute_type)


def _joined(clips: Sequence[Samples]) -> Samples:
    return np.concatenate([part for clip in clips for part in (clip, _PAUSE)])


def _text(heard: tuple[Any, Any]) -> str:
    return "".join(segment.text for segment in heard[0]).strip()


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": round(float(np.median(values)), 3), "least": round(min(values), 3), "most": round(max(values), 3)}


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    return {f"p{percent}": round(float(np.percentile(values, percent)), 4) for percent in (50, 95)}


def main() -> None:
    """Run and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="folder of a CTranslate2 model")
    parser.add_argument("--clips", type=Path, required=True, help="folder of WAV files, 16 kHz, 16 bit, one channel")
    parser.add_argument("--language", default="en")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--compute-type", default="float16")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 4, 8, 16, 32, 64])
    parser.add_argument("--repeat", type=int, default=8, help="how often every clip is heard in a round")
    parser.add_argument("--most", type=int, help="at most so many clips")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--every", type=float, default=0.2, help="seconds between clips under load")
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    files = sorted(given.clips.glob("*.wav"))[: given.most]
    clips = [read(path) for path in files]
    if not clips:
        parser.error(f"no WAV files in {given.clips}")
    machine = hardware.describe()
    with spooled(given) as asrq:
        found = {
            "machine": machine,
            "options": {name: str(value) for name, value in vars(given).items()},
            "files": [path.name for path in files],
            "loaded": vars(asrq.engine.loaded.capabilities) if asrq.engine.loaded else None,
            "throughput": throughput(contenders(given, asrq), clips * given.repeat, given.rounds),
            "latency": latency(asrq, clips, given.every),
        }
    text = json.dumps(found, ensure_ascii=False, indent=2, default=sorted)
    if given.output:
        given.output.write_text(text + "\n", encoding="utf-8")
    else:
        sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
