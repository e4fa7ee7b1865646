"""How wide Whisper is to search, and in how long a window: chosen on one half of recordings, checked on the other.

    python ops/bench/margins.py MANIFEST --language ru [--model base]

Hears the clips of a manifest, and its long recordings cut where the manifest says, with each of several margins and
beams, once, so without second hearings, and in the last row as asrq does at first. Prints word error rates on both
halves and the processor's seconds. Which half a recording is in goes by its name. Wants the extra `bench`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from faster_whisper.audio import decode_audio

from asrq_jobs.settings import Settings
from asrq_worker.backends.base import SAMPLE_RATE, Chunk, ChunkOptions, Samples, Transcript
from asrq_worker.backends.whisper import models
from asrq_worker.backends.whisper.hearing import MARGINS_S as FIRST_AND_WHOLE_S
from asrq_worker.backends.whisper.hearing import hear
from asrq_worker.backends.whisper.model import Model
from asrq_worker.backends.whisper.steps import Search, together
from asrq_worker.bench.markdown import table
from asrq_worker.bench.normalise import normalise
from asrq_worker.bench.score import compare, total

MARGINS_S = (3.0, 5.0, 8.0, 30.0)
BEAMS = (1, 2, 3, 5)
BATCH = 16
LONGEST_S = 28.0


@dataclass(frozen=True)
class Recording:
    """What is heard, and what is said in it."""

    half: int
    text: str
    samples: Samples


def recordings(manifest: Path, language: str) -> Iterator[Recording]:
    """Yield the clips of a language, and the parts of its long recordings."""
    for line in manifest.read_text("utf-8").splitlines():
        entry = json.loads(line)
        kind, spoken = entry["kind"], entry["language"]
        if kind not in {"clip", "long"} or spoken not in {language, "mul"} or "number-format" in entry.get("tags", ()):
            continue
        samples = decode_audio(str(manifest.parent / entry["path"]), sampling_rate=SAMPLE_RATE)
        if kind == "clip":
            yield Recording(half(entry["path"]), entry["text"], samples)
        for part in entry.get("segments") or ():
            if part.get("language", spoken) == language and 1 <= part["end"] - part["start"] <= LONGEST_S:
                start, stop = (round(part[edge] * SAMPLE_RATE) for edge in ("start", "end"))
                yield Recording(half(f"{entry['path']}@{part['start']:.1f}"), part["text"], samples[start:stop])


def half(name: str) -> int:
    """Return which half a recording is in: 0 to choose, 1 to check."""
    return zlib.crc32(name.encode()) % 2


def texts(model: Model, found: Sequence[Recording], search: Search | None, margin_s: float, language: str) -> list[str]:
    """Return what is heard in recordings, each once."""
    heard: list[str] = []
    for start in range(0, len(found), BATCH):
        chunks = [Chunk(recording.samples, ChunkOptions(language)) for recording in found[start : start + BATCH]]
        outcomes = together([hear(chunk, model, search, [margin_s]) for chunk in chunks], model.serve)
        for outcome in outcomes:
            if not isinstance(outcome, Transcript):
                raise outcome
            heard.append(outcome.text)
    return heard


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--language", required=True)
    parser.add_argument("--model", default="base")
    given = parser.parse_args()
    folder = models.resolve(given.model, model_dir=Settings().model_dir).path
    model = Model(str(folder), device="cpu", compute_type="int8", cpu_threads=1, parallel=1)
    found = sorted(recordings(given.manifest, given.language), key=lambda recording: len(recording.samples))
    rows = []
    ways = [(margin_s, Search(beam)) for margin_s, beam in itertools.product(MARGINS_S, BEAMS)]
    for margin_s, search in [*ways, (FIRST_AND_WHOLE_S[0], None)]:
        started = time.process_time()
        heard = texts(model, found, search, margin_s, given.language)
        took_s = time.process_time() - started
        errors = [
            total(
                compare(normalise(recording.text, given.language), normalise(text, given.language))
                for recording, text in zip(found, heard, strict=True)
                if recording.half == number
            )
            for number in (0, 1)
        ]
        rates = [f"{error.wer or 0:.1f} %" for error in errors]
        window = f"{margin_s:g} s" if margin_s < max(MARGINS_S) else "30 s in all"
        rows.append([window, str(search.beam_size) if search else "as asrq does", *rates, f"{took_s:.1f} s"])
    print(table(["window", "beam", "WER, chosen on", "WER, checked on", "CPU"], rows))


if __name__ == "__main__":
    main()
