"""What the queue costs: latency over decode and inference, and throughput against faster-whisper called directly.

    python ops/bench/overhead.py [--model base] [--clips DIR] [--repeat N] [--backend fake]

Starts `asrq up` as users do, submits clips of 5 to 15 s one at a time (overhead, and where the time goes) and all at
once (throughput, and the share of the time in which a thread of the engine was idle while the chunk that it got next
waited), then stops it and calls faster-whisper in a loop on the same files with the same options. Prints one
JSON object. With `--backend fake` there is no model and nothing to compare with: only what the queue costs. Compare
only within one run: machines differ and are seldom quiet.

    part        from … to …
    upload      handing over the file … it is in Redis
    submit      submitting … the job is in its lane
    dequeue     … a slot has it, has looked at it, and begins it
    begin       … it is begun, told to RQ's tools, and its lease kept
    fetch       … the audio is in a file
    decode      … and decoded
    vad         … and its speech found
    hand-over   the way to the engine and back
    model       the engine's own time
    trace       all else around the model: progress, checkpoint, the result itself, removing files
    commit      the text is there … the result is, by the clock of Redis, whole ms (half of one is added)
    event       … the client has heard of it
    result      … and has it
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
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from asrq_jobs import Client, keys
from asrq_jobs.settings import Settings
from asrq_worker.backends.cores import usable_cores

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
def worker(backend: str, model: str) -> Iterator[str]:
    """Run `asrq up` and give its address."""
    program = Path(sys.executable).with_name("asrq")
    process = subprocess.Popen(  # noqa: S603  # our own program
        [program, "up", "--port", "0", "--backend", backend, "--model", model, "--json"],
        stdout=subprocess.PIPE,
        env={**os.environ, "ASRQ_LOG_LEVEL": "error", "ASRQ_CACHE_TTL_S": "0"},
        text=True,
    )
    assert process.stdout is not None  # noqa: S101  # a pipe was asked for
    try:
        yield json.loads(process.stdout.readline())["redis_url"]
    finally:
        process.terminate()
        process.wait(60)


def one_at_a_time(client: Client, files: list[Path], repeat: int) -> dict[str, Any]:
    """Milliseconds of each part of the way, and of all but decoding and the model (`overhead`)."""
    client.wait(client.submit_file(files[0], lane="interactive", **OPTIONS).id, timeout_s=300)
    measured = [_parts(client, path) for path in files * repeat]
    return {
        "jobs": len(measured),
        **{name: _spread([parts[name] for parts in measured]) for name in measured[0]},
    }


def _parts(client: Client, path: Path) -> dict[str, float]:
    """Seconds of each part of one job."""
    blob = client.upload(path)
    client.redis.delete(keys.blob(blob.sha256))
    began = time.time()
    blob = client.upload(path)
    uploaded = time.time()
    job_id = client.submit(blob, lane="interactive", **OPTIONS).id
    heard = 0.0
    for event in client.events(job_id, timeout_s=300):
        heard = time.time() if event.terminal else heard
    there = time.time()
    result = client.wait(job_id, timeout_s=300)
    assert result.started_at, result.error  # noqa: S101  # a completed job has both
    assert result.completed_at  # noqa: S101
    begun, ended = _unix(result.started_at), _unix(result.completed_at)
    spent = {name: value or 0.0 for name, value in result.timings.model_dump().items()}
    enqueued = begun - spent["queue_wait_s"]
    written = _written(client, job_id)
    parts = {
        "upload": uploaded - began,
        "submit": enqueued - uploaded,
        "dequeue": spent["queue_wait_s"],
        "begin": ended - begun - spent["total_s"],
        "fetch": spent["fetch_s"],
        "decode": spent["decode_s"] - spent["fetch_s"] - spent["vad_s"],
        "vad": spent["vad_s"],
        "hand-over": spent["idle_s"],
        "model": spent["inference_s"],
        "trace": spent["total_s"] - spent["decode_s"] - spent["inference_s"] - spent["idle_s"],
        "commit": written - ended,
        "event": heard - written,
        "result": there - heard,
    }
    return parts | {"overhead": there - uploaded - spent["decode_s"] - spent["inference_s"]}


def _unix(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()


def _written(client: Client, job_id: str) -> float:
    """When the last event of a job was written, by its id in the stream."""
    [(entry, _)] = cast("list[tuple[bytes, object]]", client.redis.xrevrange(keys.events(job_id), count=1))
    return (int(entry.partition(b"-")[0]) + 0.5) / 1000


def _spread(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    return {
        "p10_ms": round(ordered[len(ordered) // 10] * 1000, 2),
        "median_ms": round(statistics.median(ordered) * 1000, 2),
        "p90_ms": round(ordered[int(len(ordered) * 0.9)] * 1000, 2),
    }


def through_queue(client: Client, files: list[Path], repeat: int) -> tuple[float, float]:
    """Seconds for all files at once through the queue, uploads included, and those that a thread of the engine was idle
    though the chunk that it got next waited."""
    began = time.perf_counter()
    jobs = [client.submit_file(path, **OPTIONS) for path in files * repeat]
    results = [client.wait(job.id, timeout_s=900) for job in jobs]
    return time.perf_counter() - began, sum(result.timings.idle_s or 0.0 for result in results)


def directly(model: str, files: list[Path], repeat: int) -> tuple[float, list[str]]:
    """Seconds for the same files in a plain loop over faster-whisper, its own defaults for threads."""
    from faster_whisper import WhisperModel

    from asrq_worker.backends.whisper.models import resolve

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
    parser.add_argument("--backend", default="whisper", choices=["whisper", "fake"])
    parser.add_argument("--model", default="base")
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--repeat", type=int, default=1)
    given = parser.parse_args()
    files = clips(given.clips)
    report: dict[str, Any] = {"backend": given.backend, "model": given.model, "clips": len(files)}
    with worker(given.backend, given.model) as url, Client(Settings(redis_url=url)) as client:
        report |= one_at_a_time(client, files, given.repeat)
        queue_s, idle_s = through_queue(client, files, given.repeat)
    report |= {"queue_s": round(queue_s, 2), "idle_share": round(idle_s / queue_s / usable_cores(), 4)}
    if given.backend != "fake":
        direct_s, _ = directly(given.model, files, given.repeat)
        report |= {"direct_s": round(direct_s, 2), "throughput_ratio": round(direct_s / queue_s, 2)}
    print(json.dumps(report))


if __name__ == "__main__":
    main()
