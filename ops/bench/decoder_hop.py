"""What it costs that a decoder is a process of its own: 5 s of plain WAV through one, and by the same functions here.

    python ops/bench/decoder_hop.py [--repeat N]

In turn, so that both have the machine as it is. Prints one JSON object: milliseconds, the least and the median of each.
The least is what counts where other work fills the machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np

from asrq_worker.audio import media, speech
from asrq_worker.audio.decoder import DecoderPool
from asrq_worker.audio.work import Work
from asrq_worker.backends.base import SAMPLE_RATE, Samples

SECONDS = 5


def through_a_process(pool: DecoderPool, source: Path, samples: Path) -> None:
    """As a worker does it."""
    with source.open("rb") as file:
        pool.decode(file, samples, on_progress=lambda _seconds: None, check=lambda: None)


def in_place(source: Path, samples: Path) -> None:
    """What the process does, without it."""
    with source.open("rb") as file, samples.open("wb+", buffering=0) as out:

        def write(decoded: Samples) -> None:
            out.write(decoded.astype("<f4", copy=False).tobytes())

        found = media.decode(
            file,
            choose=lambda _tracks: 1,
            work=Work(source.stat().st_size),
            longest_s=2.0 * SECONDS,
            write=write,
            on_progress=lambda _seconds: None,
        )
        speech.find(out, found.samples, on_block=lambda: None)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=100)
    given = parser.parse_args()
    pool = DecoderPool(1, memory_mb=4096, stall_s=30, max_s=2.0 * SECONDS)
    pool.start()
    speech.warm_up()
    media.warm_up()
    with tempfile.TemporaryDirectory() as folder:
        source, samples = Path(folder) / "noise.wav", Path(folder) / "noise.f32"
        with wave.open(str(source), "wb") as file:
            file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
            noise = np.random.default_rng(1).normal(scale=3000, size=SECONDS * SAMPLE_RATE)
            file.writeframes(noise.astype("<i2").tobytes())
        ways: dict[str, Callable[[], None]] = {
            "process": lambda: through_a_process(pool, source, samples),
            "in_place": lambda: in_place(source, samples),
        }
        took: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(given.repeat):
            for name, way in ways.items():
                began = time.perf_counter()
                way()
                took[name].append(1000 * (time.perf_counter() - began))
    pool.close()
    summary = {
        name: {"least_ms": round(min(found), 2), "median_ms": round(statistics.median(found), 2)}
        for name, found in took.items()
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
