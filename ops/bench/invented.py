"""Whether the limits of `backends/spoken.py` were well chosen: fitted on one half of recordings, checked on the other.

    python ops/bench/invented.py hear MANIFEST --model base --output base.jsonl
    python ops/bench/invented.py fit base.jsonl ...

`hear` transcribes without judging: the clips of a manifest, the same clips cut off, snippets of them, stretches of its
long recordings, and noise. `ONEDNN_MAX_CPU_ISA` (AMD) or `CT2_FORCE_CPU_ISA` gives the arithmetic of other processors.
Interrupted, it leaves a fair sample. `fit` tries all limits of a grid on what was heard and prints a table. What is in
which half goes by names, and by time within a long recording. Wants the extra `bench`.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import itertools
import json
import math
import os
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from faster_whisper.audio import decode_audio
from rapidfuzz import fuzz

import noises
from asrq_jobs.settings import Settings
from asrq_worker.audio import speech
from asrq_worker.audio.split import split
from asrq_worker.backends import spoken
from asrq_worker.backends.base import SAMPLE_RATE, BackendConfig, Chunk, ChunkOptions, Samples, TimedSegment, Transcript
from asrq_worker.backends.registry import backend_class
from asrq_worker.bench.normalise import normalise

LONGEST_S = 28.0
NOBODY = spoken.PaceLimits(math.inf, math.inf, -math.inf, math.inf)
GRID = [
    spoken.PaceLimits(*values)
    for values in itertools.product(
        (15.0, 20.0, 25.0, 30.0, 35.0), (30.0, 40.0, 50.0, 60.0, 80.0), (-1.0, -0.8, -0.6, -0.4), (0.2, 0.3, 0.4, 0.6)
    )
]
ARITHMETIC = ("CT2_FORCE_CPU_ISA", "CT2_USE_MKL", "ONEDNN_MAX_CPU_ISA")
BRACKETS = str.maketrans("()[]", "    ")  # what stands in them is said, and normalising would drop it
KINDS = ("clips", "clips cut off", "snippets", "stretches", "noise")
ALIKE = 60.0
"""Per cent of a segment's letters that are in what was said, in their order: it is that, however badly heard."""
HALVES = ("fitting", "checking")


@dataclass(frozen=True)
class Recording:
    """What is heard, and a text in which all is that is said in it."""

    name: str
    kind: str
    half: str
    language: str
    text: str
    samples: Samples


def digest(name: str) -> bytes:
    """Return what stands for chance, but is the same each time."""
    return hashlib.sha256(name.encode()).digest()


def by_name(name: str) -> str:
    """Return the half that a recording is in, where nothing else decides."""
    return HALVES[digest(name)[0] % 2]


def recordings(manifest: Path, languages: Sequence[str]) -> Iterator[Recording]:
    """Yield all that is heard, with the same cuts each time."""
    entries = [json.loads(line) for line in manifest.read_text("utf-8").splitlines()]
    entries = [entry for entry in entries if entry["language"] in languages]
    long = [entry for entry in entries if entry["kind"] == "long" and entry.get("segments")]
    in_half = {half: " ".join(normalise(said(entry, half), entry["language"]) for entry in long) for half in HALVES}
    for entry in entries:
        if entry["kind"] != "clip" or not entry["text"]:
            continue
        name, language, samples = entry["path"], entry["language"], decoded(manifest.parent / entry["path"])
        again = [half for half in HALVES if normalise(entry["text"], language) in in_half[half]]
        half = again[0] if again else by_name(name)
        clip = Recording(name, "clips", half, language, entry["text"], samples=samples)
        yield clip
        end = int(len(samples) * random.Random(name).uniform(0.4, 0.9))  # noqa: S311  # no secret
        yield replace(clip, kind="clips cut off", samples=samples[:end])
        for number in (1, 2):
            drawn = random.Random(f"{number} {name}")  # noqa: S311
            length = int(drawn.uniform(0.2, 1.0) * SAMPLE_RATE)
            start = int(drawn.uniform(0, len(samples) - length))
            cut = samples[start : start + length]
            yield replace(clip, name=f"{name} {number}", kind="snippets", samples=cut)
    for entry in long:
        yield from stretches(entry, decoded(manifest.parent / entry["path"]))
    for kind, seconds, gain in itertools.product(noises.KINDS, (5, 12, 30, 60), (1, 5)):
        name = f"{kind.__name__} {seconds} s, {gain} times as loud"
        samples = np.clip(kind(seconds) * gain, -1, 1).astype(np.float32)
        yield Recording(name, "noise", by_name(name), languages[0], "", samples=samples)


def stretches(entry: dict[str, Any], samples: Samples) -> Iterator[Recording]:
    """Yield stretches of 8 to 28 s of a long recording; the first half of it is for fitting."""
    drawn = random.Random(entry["path"])  # noqa: S311
    middle, start = len(samples) / SAMPLE_RATE / 2, 0.0
    while start + 8 < 2 * middle:
        half = HALVES[start >= middle]
        stop = min(start + drawn.uniform(8, 28), 2 * middle if start >= middle else middle)
        if stop - start >= 8:
            text = " ".join(part["text"] for part in entry["segments"] if part["start"] < stop and part["end"] > start)
            cut = samples[int(start * SAMPLE_RATE) : int(stop * SAMPLE_RATE)]
            name = f"{entry['path']} from {start:.1f} s"
            yield Recording(name, "stretches", half, entry["language"], text, samples=cut)
        start = stop


def said(entry: dict[str, Any], half: str) -> str:
    """Return what is said in a half of a long recording."""
    middle = entry["seconds"] / 2
    return " ".join(part["text"] for part in entry["segments"] if (part["end"] > middle) == (half == HALVES[1]))


def decoded(path: Path) -> Samples:
    """Return the samples of a file, float32 of shape (n,)."""
    samples: Samples = decode_audio(str(path), sampling_rate=SAMPLE_RATE)
    return samples


def hear(given: argparse.Namespace) -> None:
    """Write what a model makes of each recording, nothing left out, as JSON lines."""
    spoken.LIMITS = NOBODY
    settings = Settings()
    backend = backend_class("whisper")(BackendConfig(model=given.model, model_dir=settings.model_dir, parallel=1))
    backend.load()
    languages = ["en"] if given.model.endswith(".en") else ["en", "ru"]
    forced = [f"{name}={os.environ[name]}" for name in ARITHMETIC if name in os.environ]
    about = {"model": given.model, "arithmetic": " ".join(forced) or "own"}
    wanted = [found for found in recordings(given.manifest, languages) if found.kind in (given.kind or KINDS)]
    with given.output.open("w", encoding="utf-8") as out:
        for recording in sorted(wanted, key=lambda recording: digest(recording.kind + recording.name)):
            heard = [
                {
                    "seconds": len(piece) / SAMPLE_RATE,
                    "sounds": "".join(map(str, spoken.sound(piece).astype(int))),
                    "segments": [asdict(segment) for segment in segments],
                }
                for piece, segments in transcribed(backend, recording)
            ]
            fields = {name: value for name, value in vars(recording).items() if name != "samples"}
            out.write(json.dumps(about | fields | {"heard": heard}, ensure_ascii=False) + "\n")
            out.flush()


def transcribed(backend: Any, recording: Recording) -> Iterator[tuple[Samples, tuple[TimedSegment, ...]]]:
    """Yield the pieces that a recording is cut into, and the segments of each."""
    samples = recording.samples
    spans = speech.find(io.BytesIO(samples.tobytes()), len(samples), on_block=lambda: None)
    for piece in split(spans, longest_s=LONGEST_S, read=lambda start, stop: samples[start:stop]):
        cut = samples[piece.start : piece.stop]
        (outcome,) = backend.transcribe_batch([Chunk(cut, ChunkOptions(language=recording.language))])
        if not isinstance(outcome, Transcript):
            raise outcome
        yield cut, outcome.segments


@dataclass(frozen=True)
class Piece:
    """A piece that was heard; `words`: of each segment, how many were said and how many were not."""

    model: str
    arithmetic: str
    kind: str
    half: str
    segments: tuple[TimedSegment, ...]
    words: tuple[tuple[int, int], ...]
    sounds: spoken.Sound
    seconds: float


@dataclass(frozen=True)
class Count:
    """Words that are in a text though nobody said them, and words that were said, heard, and left out."""

    invented: int = 0
    lost: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.invented + other.invented, self.lost + other.lost)


def pieces(lines: Iterable[str]) -> Iterator[Piece]:
    """Yield what was heard, compared with what was said."""
    for row in map(json.loads, lines):
        text = normalise(row["text"].translate(BRACKETS), row["language"])
        for heard in row["heard"]:
            yield Piece(
                row["model"],
                row["arithmetic"],
                row["kind"],
                row["half"],
                tuple(TimedSegment(**(segment | {"words": None})) for segment in heard["segments"]),
                tuple(judged(normalise(segment["text"], row["language"]), text) for segment in heard["segments"]),
                np.array(list(heard["sounds"])) == "1",
                heard["seconds"],
            )


def judged(heard: str, text: str) -> tuple[int, int]:
    """Return how many words of a segment were said, and how many not: all or none, as its letters are in the text."""
    words = len(heard.split())
    said = bool(text) and len(heard) < 1.5 * len(text) and fuzz.partial_ratio(heard, text) >= ALIKE
    return (words, 0) if said else (0, words)


def counted(piece: Piece, limits: spoken.PaceLimits) -> Count:
    """Count what is invented or lost in a piece that is judged by these limits."""
    spoken.LIMITS = limits
    gone = spoken.invented(piece.segments, piece.sounds, piece.seconds)
    kept = [segment not in gone for segment in piece.segments]
    return Count(
        sum(words[1] for words, keep in zip(piece.words, kept, strict=True) if keep),
        sum(words[0] for words, keep in zip(piece.words, kept, strict=True) if not keep),
    )


def total(heard: Iterable[Piece], limits: spoken.PaceLimits) -> Count:
    """Count over all pieces."""
    return sum((counted(piece, limits) for piece in heard), Count())


def fit(given: argparse.Namespace) -> None:
    """Print the limits that do best on one half, and a table of what they and ours do on both."""
    ours = spoken.LIMITS
    heard = [piece for file in given.files for piece in pieces(file.read_text("utf-8").splitlines())]
    loosest = spoken.PaceLimits(
        min(limits.fastest for limits in GRID),
        min(limits.densest for limits in GRID),
        max(limits.improbable for limits in GRID),
        min(limits.silent for limits in GRID),
    )
    doubtful = [piece for piece in heard if counted(piece, loosest) != counted(piece, NOBODY)]
    halves = {half: [piece for piece in doubtful if piece.half == half] for half in HALVES}
    scores = {half: {limits: total(found, limits) for limits in GRID} for half, found in halves.items()}

    def rank(count: Count) -> tuple[int, int]:
        return count.lost, count.invented

    best = min(map(rank, scores[HALVES[0]].values()))
    equals = [limits for limits, count in scores[HALVES[0]].items() if rank(count) == best]
    print(f"{len(heard)} pieces, {len(doubtful)} of them with something that a limit of the grid would leave out")
    for name in vars(ours):
        print(f"{name}: ours {getattr(ours, name)}; as good: {sorted({getattr(limits, name) for limits in equals})}")
    checked = [rank(scores[HALVES[1]][limits]) for limits in equals]
    print(f"ours is among the {len(equals)} best of {len(GRID)}: {ours in equals}")
    print(
        f"checking half (lost, invented): ours {rank(total(halves[HALVES[1]], ours))}, "
        f"those best in fitting {min(checked)} to {max(checked)}, "
        f"best of all {min(map(rank, scores[HALVES[1]].values()))}"
    )
    print("heard by", ", ".join(sorted({f"{piece.model} ({piece.arithmetic})" for piece in heard})))
    print("| | half | pieces | invented before | after | lost |\n|---|---|---|---|---|---|")
    for kind, half in itertools.product(KINDS, HALVES):
        own = [piece for piece in heard if (piece.kind, piece.half) == (kind, half)]
        before, after = total(own, NOBODY), total(own, ours)
        print(f"| {kind} | {half} | {len(own)} | {before.invented} | {after.invented} | {after.lost} |")


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    hearing = commands.add_parser("hear")
    hearing.add_argument("manifest", type=Path)
    hearing.add_argument("--model", default="base")
    hearing.add_argument("--kind", action="append", choices=KINDS)
    hearing.add_argument("--output", type=Path, required=True)
    hearing.set_defaults(run=hear)
    fitting = commands.add_parser("fit")
    fitting.add_argument("files", type=Path, nargs="+")
    fitting.set_defaults(run=fit)
    given = parser.parse_args()
    given.run(given)


if __name__ == "__main__":
    main()
