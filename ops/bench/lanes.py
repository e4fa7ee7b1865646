"""How long dictation takes beside files: a clip of 5 s in `interactive` while 20 files of an hour are in `batch`.

    python ops/bench/lanes.py [--model base] [--clips 40] [--files 20] [--speech FILE] [--clip FILE]

Starts `asrq up` as users do, with the settings of the environment. Sends the clip again and again, with pauses of 0.5 s
to 4 s: on the idle worker, then beside the files, then, when these are canceled, on the idle worker again. Prints one
JSON object, times in seconds.

`bound` is 1.5 times the median of the idle worker plus one batch: `ASRQ_BATCH_S`, or, where one chunk takes longer,
what 28 s of speech take beside the files (95th percentile, like the clips).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from asrq_jobs import Client, PathAudio
from asrq_jobs.settings import Settings
from overhead import REPO, clips, worker

HOUR_S = 3600
CHUNK_S = 28
RATE = 16_000


def speech(recording: Path, seconds: int, folder: Path) -> Path:
    """Write so much of a recording, repeated as often as that takes, as a FLAC file."""
    import av
    import numpy as np

    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    with av.open(str(recording)) as source:
        once = np.concatenate(
            [part.to_ndarray()[0] for frame in source.decode(audio=0) for part in resampler.resample(frame)]
        )
    samples = np.resize(once, seconds * RATE)
    path = folder / f"{seconds}.flac"
    with av.open(str(path), "w") as sink:
        stream = sink.add_stream("flac", rate=RATE, layout="mono")
        for start in range(0, len(samples), RATE):
            frame = av.AudioFrame.from_ndarray(samples[None, start : start + RATE], format="s16", layout="mono")
            frame.sample_rate = RATE
            sink.mux(stream.encode(frame))
        sink.mux(stream.encode(None))
    return path


@dataclass(frozen=True)
class Heard:
    """A clip of dictation, in seconds: from submit to the result, and of that waiting, decoding and computing."""

    total: float
    wait: float
    decode: float
    inference: float


def dictate(client: Client, clip: Path, count: int, pauses: random.Random) -> list[Heard]:
    """Send a clip so many times."""
    blob, heard = client.upload(clip), []
    for _ in range(count):
        time.sleep(pauses.uniform(0.5, 4))
        began = time.perf_counter()
        job = client.submit(blob, lane="interactive", language="en")
        timings = client.wait(job.id, timeout_s=600).timings
        total = time.perf_counter() - began
        heard.append(Heard(total, timings.batch_wait_s or 0.0, timings.decode_s or 0.0, timings.inference_s or 0.0))
    return heard


def measure(client: Client, clip: Path, chunk: Path, hour: Path, *, count: int, files: int) -> dict[str, Any]:
    """Return the figures."""
    pauses = random.Random(0)  # noqa: S311  # no secret
    dictate(client, clip, 3, pauses)
    idle = dictate(client, clip, count // 2, pauses)
    jobs = [client.submit(PathAudio(path=str(hour)), lane="batch", language="en").id for _ in range(files)]
    for event in client.events(jobs[0]):
        if event.stage == "inference":
            break
    beside, chunks = [], []
    for _ in range(count // 5):
        beside += dictate(client, clip, 5, pauses)
        chunks += [heard.inference for heard in dictate(client, chunk, 1, pauses)]
    for job in reversed(jobs):
        client.cancel(job)
    while client.jobs("processing"):
        time.sleep(0.2)
    dictate(client, clip, 3, pauses)  # what the engine has begun it ends, canceled or not
    idle += dictate(client, clip, count // 2, pauses)
    batch_s = max(client.settings.batch_s, statistics.quantiles(chunks, n=20)[-1])
    bound = 1.5 * statistics.median(heard.total for heard in idle) + batch_s
    figures = {"idle": spread(idle), "beside": spread(beside)}
    p95 = figures["beside"]["total"][1]
    return figures | {"batch_s": round(batch_s, 3), "bound": round(bound, 3), "holds": p95 <= bound}


def spread(heard: list[Heard]) -> dict[str, tuple[float, float]]:
    """Return for each time its median and 95th percentile."""
    columns = {field.name: [getattr(each, field.name) for each in heard] for field in fields(Heard)}
    return {
        name: (round(statistics.median(times), 3), round(statistics.quantiles(times, n=20)[-1], 3))
        for name, times in columns.items()
    }


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="base")
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--files", type=int, default=20)
    parser.add_argument("--speech", type=Path, default=REPO.parent / "shared" / "speech" / "long" / "en-lj001.mp3")
    parser.add_argument("--clip", type=Path)
    given = parser.parse_args()
    clip = given.clip or clips(None)[0]
    with tempfile.TemporaryDirectory() as folder:
        hour, chunk = (speech(given.speech, seconds, Path(folder)) for seconds in (HOUR_S, CHUNK_S))
        os.environ["ASRQ_AUDIO_ROOTS"] = folder
        with worker("whisper", given.model) as url, Client(Settings(redis_url=url)) as client:
            report = measure(client, clip, chunk, hour, count=given.clips, files=given.files)
    print(json.dumps({"model": given.model, "clip": clip.name, "files": given.files, **report}))


if __name__ == "__main__":
    main()
