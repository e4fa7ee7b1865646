"""Live jobs against files: whether the text is the same, and how long after the end it is there.

    python ops/bench/live.py CLIP… [--speed 1] [--language ru]

Plays each recording into a running queue (ASRQ_REDIS_URL, with a worker) as a live job, at `--speed` times real time
(0: as fast as it is taken), and submits the same sound as a file. Prints one JSON object: how many clips there were, on
how many the texts are equal, and the median and the 95th percentile of the seconds from the end mark to the result, and
of those from the submission of the file, which is uploaded by then, to its result.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import time
import wave
from collections.abc import Iterator
from pathlib import Path

import av

from asrq_jobs import Client

_FRAME_S = 0.1


def pcm(path: Path) -> tuple[bytes, int]:
    """Return a recording as 16-bit mono samples, and its rate in Hz, 48 kHz at most."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        rate = min(stream.rate, 48_000)
        resampler = av.AudioResampler(format="s16", layout="mono", rate=rate)
        frames = [frame for decoded in container.decode(stream) for frame in resampler.resample(decoded)]
        return b"".join(frame.to_ndarray().tobytes() for frame in [*frames, *resampler.resample(None)]), rate


def as_file(sound: bytes, rate: int) -> bytes:
    """Return the samples as a WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, rate, 0, "NONE", ""))
        out.writeframes(sound)
    return file.getvalue()


def played(sound: bytes, rate: int, speed: float) -> Iterator[bytes]:
    """Yield frames as a sound card does."""
    step, began = int(_FRAME_S * rate) * 2, time.monotonic()
    for number, at in enumerate(range(0, len(sound), step)):
        if speed:
            time.sleep(max(0.0, began + number * _FRAME_S / speed - time.monotonic()))
        yield sound[at : at + step]


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--speed", type=float, default=1.0)
    parser.add_argument("--language", default="auto")
    given = parser.parse_args()
    same, after_end, of_file = 0, [], []
    with Client() as client:
        for clip in given.clips:
            sound, rate = pcm(clip)
            live = client.live(sample_rate=rate, language=given.language)
            for frame in played(sound, rate, given.speed):
                live.append(frame)
            began = time.monotonic()
            live.end()
            text = live.wait().text
            after_end.append(time.monotonic() - began)
            blob = client.upload(as_file(sound, rate))
            began = time.monotonic()
            job = client.submit(blob, lane="interactive", language=given.language)
            same += client.wait(job.id).text == text
            of_file.append(time.monotonic() - began)
    told: dict[str, object] = {"clips": len(given.clips), "same_text": same}
    for name, times in (("after_end_s", after_end), ("file_s", of_file)):
        p95 = statistics.quantiles(times, n=20)[-1] if len(times) > 1 else times[0]
        told |= {name: {"p50": round(statistics.median(times), 2), "p95": round(p95, 2)}}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
