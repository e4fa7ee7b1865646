"""How decodes in flight, threads of each, and clips in a batch do with the same clips, by turns.

    python ops/bench/cores.py MANIFEST --language en [--model base] [--clips 24] [--rounds 2] 2x1x12 2x1x1 1x2x12 …

Each argument is decodes x threads x clips. The backend itself hears clips of 2 to 15 s, the longest first. Figures
are how many times as fast as the first argument each was, in each round, and seconds of processor time. On a host that
others use, run it with `chrt -r 10`, and for a mask of one core with `taskset -c 0`. Wants the extra `bench`.
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from asrq_jobs.settings import Settings
from asrq_worker.backends.base import BackendConfig, Chunk, ChunkOptions, Transcript
from asrq_worker.backends.whisper.backend import WhisperBackend
from asrq_worker.bench.markdown import table
from margins import recordings

SHORTEST_S, LONGEST_S = 2.0, 15.0

Setup = tuple[int, int, int]


def hear(backend: WhisperBackend, decodes: int, batches: list[list[Chunk]]) -> tuple[float, float, list[str]]:
    """Return seconds, seconds of processor time, and texts."""
    with ThreadPoolExecutor(decodes) as threads:
        started, cpu_started = time.perf_counter(), time.process_time()
        outcomes = [outcome for found in threads.map(backend.transcribe_batch, batches) for outcome in found]
        took_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu_started
    texts = []
    for outcome in outcomes:
        if not isinstance(outcome, Transcript):
            raise outcome
        texts.append(outcome.text)
    return took_s, cpu_s, texts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--language", required=True)
    parser.add_argument("--model", default="base")
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("setups", nargs="+", metavar="DECODESxTHREADSxCLIPS")
    given = parser.parse_args()
    setups = [(int(a), int(b), int(c)) for a, b, c in (setup.split("x") for setup in given.setups)]
    found = (Chunk(each.samples, ChunkOptions(given.language)) for each in recordings(given.manifest, given.language))
    clips = [chunk for chunk in found if SHORTEST_S <= chunk.seconds <= LONGEST_S][: given.clips]
    clips.sort(key=lambda chunk: chunk.seconds, reverse=True)
    backends: dict[tuple[int, int], WhisperBackend] = {}
    for decodes, threads, _ in setups:
        if (decodes, threads) not in backends:
            config = BackendConfig(given.model, model_dir=Settings().model_dir, cpu_threads=threads, parallel=decodes)
            backends[decodes, threads] = backend = WhisperBackend(config)
            backend.load()
            backend.warm_up()
    ratios: dict[Setup, list[float]] = {setup: [] for setup in setups}
    cpu: dict[Setup, list[float]] = {setup: [] for setup in setups}
    others = dict.fromkeys(setups, 0)
    for _ in range(given.rounds):
        first: tuple[float, list[str]] | None = None
        for setup in setups:
            decodes, threads, most = setup
            batches = [clips[at : at + most] for at in range(0, len(clips), most)]
            took_s, cpu_s, texts = hear(backends[decodes, threads], decodes, batches)
            first = first or (took_s, texts)
            ratios[setup].append(first[0] / took_s)
            cpu[setup].append(cpu_s)
            others[setup] += sum(text != its for text, its in zip(texts, first[1], strict=True))
    rows = [
        [
            *map(str, setup),
            ", ".join(f"{ratio:.2f}" for ratio in ratios[setup]),
            ", ".join(f"{seconds:.1f}" for seconds in cpu[setup]),
            str(others[setup]),
        ]
        for setup in setups
    ]
    print(f"{len(clips)} clips, {sum(chunk.seconds for chunk in clips):.0f} s\n")
    print(table(["decodes", "threads", "clips in a batch", "times as fast", "CPU s", "other texts"], rows))


if __name__ == "__main__":
    main()
