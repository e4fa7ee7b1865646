"""What the queue costs: latency over decode and inference, and throughput against faster-whisper called directly.

    python ops/bench/overhead.py [--model base] [--clips DIR] [--repeat N]

Starts `asrq up` as users do, submits clips of 5 to 15 s one at a time (overhead) and all at once (throughput), then
stops it and calls faster-whisper in a loop on the same files with the same options. Prints one JSON object. Compare
only within one run: machines differ and are seldom quiet.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from asrq_jobs import Client
from asrq_jobs.settings import Settings

REPO = Path(__file__).resolve().parents[2]
OPTIONS = {"language": "en"}


def clips(folder: Path | None) -> list[Path]:
    """Files of 5 to 15 s: of the folder, of the speech collection beside the repository, or the repository's own."""
    import av

    candidates = [folder] if folder else [REPO.parent / "shared" / "speech" / "en", REPO / "tests" / "data"]
    for candidate in candidates:
        found = []
        for path in sorted(candidate.glob("*.flac")):
            with av.open(str(path)) as container:
                if container.duration and 5 <= container.duration / 1e6 <= 15:
                    found.append(path)
        if found:
            return found
    raise SystemExit("no clips of 5 to 15 s found; name a folder with --clips")


@contextmanager
def worker(model: str) -> Iterator[str]:
    """Run `asrq up` and give its address."""
    program = Path(sys.executable).with_name("asrq")
    process = subprocess.Popen(  # noqa: S603  # our own program
        [program, "up", "--port", "0", "--model", model, "--json"],
        stdout=subprocess.PIPE,
        env={**os.environ, "ASRQ_LOG_LEVEL": "error"},
        text=True,
    )
    assert process.stdout is not None  # noqa: S101  # a pipe was asked for
    try:
        yield json.loads(process.stdout.readline())["redis_url"]
    finally:
        process.terminate()
        process.wait(60)


def one_at_a_time(client: Client, files: list[Path], repeat: int) -> dict[str, float]:
    """Seconds between submit and the visible result that were neither decoding nor inference."""
    blobs = [client.upload(path) for path in files]
    client.wait(client.submit(blobs[0], lane="interactive", **OPTIONS).id, timeout_s=300)
    over = []
    for blob in blobs * repeat:
        began = time.perf_counter()
        result = client.wait(client.submit(blob, lane="interactive", **OPTIONS).id, timeout_s=300)
        elapsed = time.perf_counter() - began
        timings = result.timings
        assert timings.decode_s is not None  # noqa: S101  # a completed job has them
        assert timings.inference_s is not None  # noqa: S101
        over.append(elapsed - timings.decode_s - timings.inference_s)
    over.sort()
    return {
        "jobs": len(over),
        "median_ms": round(statistics.median(over) * 1000, 2),
        "p90_ms": round(over[int(len(over) * 0.9)] * 1000, 2),
    }


def through_queue(client: Client, files: list[Path], repeat: int) -> tuple[float, list[str]]:
    """Seconds for all files at once through the queue, uploads included, and the texts."""
    began = time.perf_counter()
    jobs = [client.submit_file(path, **OPTIONS) for path in files * repeat]
    texts = [client.wait(job.id, timeout_s=900).text or "" for job in jobs]
    return time.perf_counter() - began, texts


def directly(model: str, files: list[Path], repeat: int) -> tuple[float, list[str]]:
    """Seconds for the same files in a plain loop over faster-whisper, its own defaults for threads."""
    from faster_whisper import WhisperModel

    from asrq_worker.models import resolve

    settings = Settings()
    path = resolve(model, model_dir=settings.model_dir, download=False).path
    whisper = WhisperModel(str(path), device="cpu", compute_type="int8")
    list(whisper.transcribe(str(files[0]), beam_size=5, **OPTIONS)[0])
    began = time.perf_counter()
    texts = []
    for file in files * repeat:
        segments, _ = whisper.transcribe(str(file), beam_size=5, condition_on_previous_text=False, **OPTIONS)
        texts.append("".join(segment.text for segment in segments).strip())
    return time.perf_counter() - began, texts


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="base")
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--repeat", type=int, default=1)
    given = parser.parse_args()
    files = clips(given.clips)
    report: dict[str, Any] = {"model": given.model, "clips": len(files)}
    with worker(given.model) as url, Client(Settings(redis_url=url)) as client:
        report["overhead"] = one_at_a_time(client, files, given.repeat)
        queue_s, _ = through_queue(client, files, given.repeat)
    direct_s, _ = directly(given.model, files, given.repeat)
    report |= {
        "queue_s": round(queue_s, 2),
        "direct_s": round(direct_s, 2),
        "throughput_ratio": round(direct_s / queue_s, 2),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
