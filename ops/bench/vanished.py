"""How many words vanish without a warning where clips are joined, repeated, slowed down, sped up, hushed or cut.

    python ops/bench/vanished.py MANIFEST --model base --language en --language ru [--kind joined] [--texts]

Makes recordings from the clips and long recordings of a manifest, and noise, and hears each with its language given.
Prints a table by kind: word errors, words that are missing in a row (four and more: fewer are misheard), how many of
these are in a recording without a warning, words that nobody said, recordings with a warning that text is missing, how
many windows were encoded for a piece, and the processor's seconds for a second of sound. `--texts` prints those
with missing words. Wants the extra `bench`.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import jiwer
import numpy as np
from faster_whisper.audio import decode_audio

import noises
from asrq_jobs.settings import Settings
from asrq_worker.audio import speech
from asrq_worker.audio.split import split
from asrq_worker.backends.base import SAMPLE_RATE, BackendConfig, Chunk, ChunkOptions, Samples, Transcript
from asrq_worker.backends.whisper.backend import WhisperBackend
from asrq_worker.backends.whisper.steps import Encode
from asrq_worker.bench.markdown import table
from asrq_worker.bench.normalise import normalise

LONGEST_S = 28.0
BATCH = 16
IN_A_ROW = 4  # missing words
SHORT_S = 6.0  # of a sentence that is repeated
DRAWN = 8  # triples
TIMES = (5, 2, 8, 3, 12)
CUT_S = 30
BRACKETS = str.maketrans("()[]", "    ")  # what stands in them is said, and normalising would drop it
MISSING = ("too_short", "truncated")  # warnings


@dataclass(frozen=True)
class Recording:
    """What is heard, and what is said in it."""

    kind: str
    name: str
    language: str
    text: str
    samples: Samples


@dataclass
class Count:
    """What came of the recordings of a kind."""

    pieces: int = 0
    words: int = 0
    errors: int = 0
    invented: int = 0
    missing: int = 0
    silently: int = 0
    warned: int = 0
    windows: int = 0
    seconds: float = 0.0
    cpu_s: float = 0.0
    texts: list[str] = field(default_factory=list)


def recordings(manifest: Path, language: str) -> Iterator[Recording]:
    """Yield all of a language."""
    entries = [json.loads(line) for line in manifest.read_text("utf-8").splitlines()]
    entries = [entry for entry in entries if entry["language"] == language and entry["text"]]
    clips = {}
    for entry in entries:
        samples = decode_audio(str(manifest.parent / entry["path"]), sampling_rate=SAMPLE_RATE)
        if entry["kind"] == "clip" and "number-format" not in (entry.get("tags") or ()):
            clips[entry["path"]] = (entry["text"], samples)
            yield Recording("as they are", entry["path"], language, entry["text"], samples)
        elif entry["kind"] == "long":
            yield Recording("long", entry["path"], language, entry["text"], samples)
            yield Recording("cut every 30 s", entry["path"], language, entry["text"], samples)
    for number, (name, (text, samples)) in enumerate(clips.items()):
        if number % 4 == 1:
            yield Recording("slow (0.7)", name, language, text, at_tempo(samples, 0.7))
        elif number % 4 == 3:
            yield Recording("fast (1.4)", name, language, text, at_tempo(samples, 1.4))
    yield from repeated(clips, language)
    yield from joined(clips, language)


def repeated(clips: dict[str, tuple[str, Samples]], language: str) -> Iterator[Recording]:
    """Yield short sentences again and again, with and without a pause."""
    short = [name for name, (text, samples) in clips.items() if len(samples) <= SHORT_S * SAMPLE_RATE and " " in text]
    for number, name in enumerate(short):
        drawn = random.Random(name)  # noqa: S311  # no secret
        (text, samples), times, pause = clips[name], TIMES[number % len(TIMES)], drawn.choice((0.0, 0.2, 0.4))
        gap = np.zeros(round(pause * SAMPLE_RATE), np.float32)
        sound = np.tile(np.concatenate([samples, gap]), times)
        yield Recording("repeated", f"{name} {times} times, {pause} s", language, " ".join([text] * times), sound)


def joined(clips: dict[str, tuple[str, Samples]], language: str) -> Iterator[Recording]:
    """Yield three clips in a row: at once, after pauses, with the second hushed."""
    drawn = random.Random(language)  # noqa: S311
    names = [name for name, (_, samples) in clips.items() if 3 * SAMPLE_RATE < len(samples) < 13 * SAMPLE_RATE]
    for _ in range(DRAWN):
        three = drawn.sample(names, 3)
        text = " ".join(clips[name][0] for name in three)
        one, two, last = (clips[name][1] for name in three)
        gap = np.zeros(round(0.2 * SAMPLE_RATE), np.float32)
        for kind, parts in {
            "three joined": (one, two, last),
            "three, pauses of 0.2 s": (one, gap, two, gap, last),
            "three, the second hushed": (one, two * np.float32(0.1), last),
        }.items():
            yield Recording(kind, " + ".join(three), language, text, np.concatenate(parts))


def noise() -> Iterator[Recording]:
    """Yield what is no speech."""
    for kind, seconds, gain in itertools.product(noises.KINDS, (5, 12, 30, 60), (1, 5)):
        samples = np.clip(kind(seconds) * gain, -1, 1).astype(np.float32)
        yield Recording("noise", f"{kind.__name__} {seconds} s x {gain}", "en", "", samples)


def at_tempo(samples: Samples, tempo: float) -> Samples:
    """Return the same samples slower or faster, at the same pitch."""
    graph = av.filter.Graph()
    source = graph.add_abuffer(sample_rate=SAMPLE_RATE, format="flt", layout="mono", time_base=Fraction(1, SAMPLE_RATE))
    change, sink = graph.add("atempo", str(tempo)), graph.add("abuffersink")
    source.link_to(change)
    change.link_to(sink)
    graph.configure()
    frame = av.AudioFrame.from_ndarray(samples[np.newaxis], format="flt", layout="mono")
    frame.sample_rate = SAMPLE_RATE
    graph.push(frame)
    graph.push(None)
    found = []
    while True:
        try:
            found.append(graph.pull().to_ndarray().ravel())
        except (av.error.EOFError, av.error.BlockingIOError):
            return np.concatenate(found)


def pieces(recording: Recording) -> list[Chunk]:
    """Return what is heard at once."""
    samples, options = recording.samples, ChunkOptions(recording.language)
    if recording.kind.startswith("cut"):
        step = CUT_S * SAMPLE_RATE
        return [Chunk(samples[start : start + step], options) for start in range(0, len(samples), step)]
    spans = speech.find(io.BytesIO(samples.tobytes()), len(samples), on_block=lambda: None)
    return [
        Chunk(samples[piece.start : piece.stop], options)
        for piece in split(spans, longest_s=LONGEST_S, read=lambda start, stop: samples[start:stop])
    ]


def heard(backend: WhisperBackend, chunks: Sequence[Chunk]) -> list[Transcript]:
    """Return what a model makes of chunks, the short ones first."""
    order = sorted(range(len(chunks)), key=lambda number: len(chunks[number].samples))
    found: dict[int, Transcript] = {}
    for start in range(0, len(order), BATCH):
        batch = order[start : start + BATCH]
        for number, outcome in zip(batch, backend.transcribe_batch([chunks[each] for each in batch]), strict=True):
            if not isinstance(outcome, Transcript):
                raise outcome
            found[number] = outcome
    return [found[number] for number in range(len(chunks))]


def missing(said: str, text: str) -> tuple[int, int, int]:
    """Return how many words are wrong, how many nobody said, and how many are missing in long rows."""
    if not said:
        return 0, len(text.split()), 0
    aligned = jiwer.process_words(said, text or "-")
    gone = [
        each.ref_end_idx - each.ref_start_idx
        for each in aligned.alignments[0]
        if each.type == "delete" and each.ref_end_idx - each.ref_start_idx >= IN_A_ROW
    ]
    wrong = aligned.substitutions + aligned.deletions + aligned.insertions
    return wrong, aligned.insertions, sum(gone)


def count(backend: WhisperBackend, kind: str, found: Sequence[Recording], windows: list[int]) -> Count:
    """Hear the recordings of a kind."""
    result = Count(seconds=sum(len(each.samples) for each in found) / SAMPLE_RATE)
    cut = [pieces(each) for each in found]
    before, started = windows[0], time.process_time()
    answers = iter(heard(backend, [chunk for chunks in cut for chunk in chunks]))
    result.cpu_s, result.windows = time.process_time() - started, windows[0] - before
    for recording, chunks in zip(found, cut, strict=True):
        told = [next(answers) for _ in chunks]
        warned = any(warning in MISSING for each in told for warning in each.warnings)
        said = normalise(recording.text.translate(BRACKETS), recording.language)
        text = normalise(" ".join(each.text for each in told).translate(BRACKETS), recording.language)
        wrong, invented, gone = missing(said, text)
        result.pieces += len(chunks)
        result.words += len(said.split())
        result.errors += wrong
        result.invented += invented
        result.missing += gone
        result.silently += 0 if warned else gone
        result.warned += warned
        if gone or warned or (invented and not said) or invented > 5:
            warnings = sorted({warning for each in told for warning in each.warnings})
            result.texts.append(
                f"{kind}: {recording.name} {warnings}, {gone} missing, {invented} invented"
                f"\n  said  {said}\n  heard {text}"
            )
    return result


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--model", default="base")
    parser.add_argument("--language", action="append", required=True)
    parser.add_argument("--kind", action="append")
    parser.add_argument("--texts", action="store_true")
    given = parser.parse_args()
    backend = WhisperBackend(BackendConfig(given.model, model_dir=Settings().model_dir, cpu_threads=1, parallel=1))
    backend.load()
    windows, serve = [0], backend._model.serve

    def counting(requests: Sequence[object]) -> Sequence[object]:
        windows[0] += sum(isinstance(request, Encode) for request in requests)
        return serve(requests)  # type: ignore[arg-type]  # they are

    backend._model.serve = counting  # type: ignore[assignment,method-assign]  # to count, and nothing else
    rows = []
    for language in given.language:
        found: dict[str, list[Recording]] = {}
        for recording in (*recordings(given.manifest, language), *(noise() if language == "en" else ())):
            if not given.kind or recording.kind in given.kind:
                found.setdefault(recording.kind, []).append(recording)
        for kind, these in found.items():
            told = count(backend, kind, these, windows)
            if given.texts:
                print(*told.texts, sep="\n", flush=True)
            rows.append(
                [
                    f"{kind}, {language}",
                    str(len(these)),
                    str(told.words),
                    f"{100 * told.errors / told.words:.1f} %" if told.words else "–",
                    str(told.missing),
                    str(told.silently),
                    str(told.invented),
                    str(told.warned),
                    f"{told.windows / max(told.pieces, 1):.2f}",
                    f"{told.cpu_s / told.seconds:.3f}",
                ]
            )
            print(rows[-1], flush=True)
    heads = ["", "recordings", "words", "WER", "missing", "silently", "invented", "warned", "windows", "CPU"]
    print(table(heads, rows))


if __name__ == "__main__":
    main()
