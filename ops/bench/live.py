"""Live jobs against files: whether the text is the same, how long after the end it is there, and what it costs.

    python ops/bench/live.py CLIP… [--speed 1] [--language ru] [--worker PID]

Plays each recording, after two seconds of silence, into a running queue (ASRQ_REDIS_URL, with a worker) as a live job,
at `--speed` times real time (0: as fast as it is taken), and then submits the same sound as a file. Prints one JSON
object; of times in seconds the median and the 95th percentile:

    same_text        on how many clips the live job ends with the text of the file
    after_end_s      from the end mark to the result
    last_stretch_s   what the inference of the last stretch takes, which is submitted alone afterwards
    beyond_s         the difference of the two, clip by clip
    first_partial_s  from the beginning of the first speech until there is text of it
    file_s           from the submission of the file, which is uploaded by then, to its result
    cpu              processor time of the worker (its process id is needed) for the live job by that for the file, both
                     without what it takes while it is idle
    idle_cpu         that is, in seconds a second
    partials         how often there was text of what was being said
    stable_kept      of the characters that were called stable, the share with which later text of that stretch began
    stable_words     the words among them that the text of their chunk has, in that order, by all
"""

from __future__ import annotations

import argparse
import io
import json
import re
import statistics
import threading
import time
import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path

import av
import psutil

from asrq_jobs import Client
from asrq_jobs.events import Event

_FRAME_S = 0.1
_LEAD_S = 2.0
_IDLE_S = 20.0


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


@dataclass
class Measured:
    """What came of all clips."""

    same_text: int = 0
    after_end_s: list[float] = field(default_factory=list)
    last_stretch_s: list[float] = field(default_factory=list)
    beyond_s: list[float] = field(default_factory=list)
    first_partial_s: list[float] = field(default_factory=list)
    file_s: list[float] = field(default_factory=list)
    idle_cpu: float = 0.0
    cpu_live_s: float = 0.0
    cpu_file_s: float = 0.0
    partials: int = 0
    stable: int = 0
    kept: int = 0
    stable_words: int = 0
    kept_words: int = 0
    different: list[str] = field(default_factory=list)

    def note_stable(self, events: Sequence[Event]) -> None:
        """Compare what was stable with what followed."""
        promised, start = "", None
        for event in events:
            text = event.text or ""
            if event.type == "partial":
                self.partials += 1
                if event.start == start:
                    self.stable += len(promised)
                    self.kept += len(promised) * text.startswith(promised)
                promised, start = text[: event.stable], event.start
            elif event.type == "chunk":
                said, words = (re.findall(r"\w+", part.lower()) for part in (promised, text))
                same = SequenceMatcher(None, said, words, autojunk=False).get_matching_blocks()
                self.stable_words += len(said)
                self.kept_words += sum(block.size for block in same)
                promised = ""

    def told(self, clips: int) -> dict[str, object]:
        """Return it for JSON."""
        told: dict[str, object] = {"clips": clips, "same_text": self.same_text, "different": self.different}
        for name in ("after_end_s", "last_stretch_s", "beyond_s", "first_partial_s", "file_s"):
            if times := getattr(self, name):
                p95 = statistics.quantiles(times, n=20)[-1] if len(times) > 1 else times[0]
                told[name] = {"p50": round(statistics.median(times), 2), "p95": round(p95, 2)}
        told["cpu"] = round(self.cpu_live_s / self.cpu_file_s, 2) if self.cpu_file_s else None
        told["idle_cpu"] = round(self.idle_cpu, 4)
        told["partials"] = self.partials
        told["stable_kept"] = round(self.kept / self.stable, 4) if self.stable else None
        told["stable_words"] = round(self.kept_words / self.stable_words, 4) if self.stable_words else None
        return told


def idle_cpu(worker: int | None) -> float:
    """Return the processor time that a worker takes a second while it has nothing to do."""
    before = cpu_s(worker)
    time.sleep(_IDLE_S if worker else 0)
    return (cpu_s(worker) - before) / _IDLE_S


def cpu_s(worker: int | None) -> float:
    """Return the processor time of a process and those below it."""
    if worker is None:
        return 0.0
    parent = psutil.Process(worker)
    return sum(sum(each.cpu_times()[:2]) for each in (parent, *parent.children(recursive=True)))


def measure(client: Client, sound: bytes, rate: int, given: argparse.Namespace, clip: Path, into: Measured) -> None:
    """Play a recording, and compare it with the file."""
    events: list[tuple[float, Event]] = []

    def follow() -> None:
        events.extend((time.monotonic(), event) for event in live.events())

    before = cpu_s(given.worker)
    live = client.live(sample_rate=rate, language=given.language)
    following = threading.Thread(target=follow)
    following.start()
    begun = time.monotonic()
    for frame in played(sound, rate, given.speed):
        live.append(frame)
    ended = time.monotonic()
    live.end()
    result = live.wait()
    into.after_end_s.append(time.monotonic() - ended)
    following.join()
    between, between_at = cpu_s(given.worker), time.monotonic()
    blob = client.upload(as_file(sound, rate))
    began = time.monotonic()
    file = client.wait(client.submit(blob, lane="interactive", language=given.language).id)
    into.file_s.append(time.monotonic() - began)
    into.cpu_live_s += between - before - into.idle_cpu * (between_at - begun)
    into.cpu_file_s += cpu_s(given.worker) - between - into.idle_cpu * (time.monotonic() - between_at)
    into.same_text += file.text == result.text
    if file.text != result.text:
        into.different.append(clip.name)
    into.note_stable([event for _, event in events])
    first = next(((at, event) for at, event in events if event.type == "partial"), None)
    if first and given.speed:
        into.first_partial_s.append(first[0] - begun - (first[1].start or 0.0) / given.speed)
    chunks = [event for _, event in events if event.type == "chunk"]
    if chunks:
        last = max(chunks, key=lambda event: event.start or 0.0)
        low, high = (round((at or 0.0) * rate) * 2 for at in (last.start, last.end))
        alone = client.submit(
            client.upload(as_file(sound[low:high], rate)), lane="interactive", language=given.language
        )
        stretch_s = client.wait(alone.id).timings.inference_s or 0.0
        into.last_stretch_s.append(stretch_s)
        into.beyond_s.append(into.after_end_s[-1] - stretch_s)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--speed", type=float, default=1.0)
    parser.add_argument("--language", default="auto")
    parser.add_argument("--worker", type=int, help="process id of the only worker")
    given = parser.parse_args()
    into = Measured(idle_cpu=idle_cpu(given.worker))
    with Client() as client:
        for clip in given.clips:
            sound, rate = pcm(clip)
            measure(client, bytes(round(_LEAD_S * rate) * 2) + sound, rate, given, clip, into)
    print(json.dumps(into.told(len(given.clips))))


if __name__ == "__main__":
    main()
