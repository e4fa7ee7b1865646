"""What `asrq batch` adds to the transcription of an archive: the same files and engine in a plain loop beside it.

    python ops/bench/archive.py ../shared/speech [--files 400] [--model tiny.en]

The folder has `manifest.jsonl` with `path`, `kind` and `language`. The archive is made of its English clips, each as
often as it takes, every time at another level, so that no file is the same as another. `asrq up` runs as users start
it, then `asrq batch`, then faster-whisper in a loop with its own defaults for threads. Prints one JSON object. `cpu_s`
is the processor time of all processes, which says more than the time elapsed where others use the machine. Compare only
within one run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import wave
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from asrq_jobs import Client
from asrq_jobs.settings import Settings
from asrq_worker.backends.base import SAMPLE_RATE
from overhead import directly, worker
from speakers import load


def made(speech: Path, folder: Path, count: int) -> list[Path]:
    """Write the archive, a folder for each hundred files, and return its files."""
    lines = map(json.loads, (speech / "manifest.jsonl").read_text("utf-8").splitlines())
    clips = [load(speech / each["path"]) for each in lines if each["kind"] == "clip" and each["language"] == "en"]
    files = []
    for number in range(count):
        path = folder / f"{number // 100:03}" / f"{number:06}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        clip = clips[number % len(clips)]
        level = 30_000 * (1 - number / (2 * count)) / np.abs(clip).max()
        with wave.open(str(path), "wb") as sound:
            sound.setparams((1, 2, SAMPLE_RATE, len(clip), "NONE", ""))
            sound.writeframes((clip * level).astype("<i2").tobytes())
        files.append(path)
    return files


def batched(url: str, archive: Path, out: Path) -> dict[str, Any]:
    """Run `asrq batch`, and return what it says of itself."""
    done = subprocess.run(  # noqa: S603  # our own program
        [Path(sys.executable).with_name("asrq"), "batch", archive, "--output", out, "--language", "en", "--json"],
        env=os.environ | {"ASRQ_REDIS_URL": url},
        stdout=subprocess.PIPE,
        check=True,
    )
    totals: dict[str, Any] = json.loads(done.stdout)
    return totals


def spent() -> float:
    """Return the processor time, s, of this process, those below it, and those that were below it and have ended."""
    running = [process.cpu_times() for process in psutil.Process().children(recursive=True)]
    ours = os.times()
    ended = ours.user + ours.system + ours.children_user + ours.children_system
    return ended + float(sum(times.user + times.system for times in running))


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--files", type=int, default=400)
    parser.add_argument("--model", default="tiny.en")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="asrq-archive-") as place:
        files = made(given.folder, Path(place) / "archive", given.files)
        with worker("whisper", given.model) as url:
            with Client(Settings(redis_url=url)) as client:
                client.wait(client.submit_file(files[0], language="en").id, timeout_s=300)  # the model is there
            before = spent()
            totals = batched(url, Path(place) / "archive", Path(place) / "out")
            batch_cpu_s = spent() - before
        before = spent()
        direct_s, _ = directly(given.model, files, 1)
        direct_cpu_s = spent() - before
    batch_s, audio_s = totals["elapsed_s"], totals["audio_s"]
    report = {
        "files": given.files,
        "completed": totals["completed"],
        "model": given.model,
        "audio_h": round(audio_s / 3600, 2),
    }
    for name, seconds, cpu_s in (("batch", batch_s, batch_cpu_s), ("loop", direct_s, direct_cpu_s)):
        report |= {
            f"{name}_s": round(seconds, 1),
            f"{name}_cpu_s": round(cpu_s, 1),
            f"{name}_files_per_s": round(given.files / seconds, 2),
            f"{name}_rtfx": round(audio_s / seconds, 1),
        }
    ratios = {"ratio": round(direct_s / batch_s, 2), "cpu_ratio": round(direct_cpu_s / batch_cpu_s, 2)}
    print(json.dumps(report | ratios))


if __name__ == "__main__":
    main()
