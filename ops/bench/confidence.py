"""How often words are right that a model gives some probability: fitted on one half of speech, checked on the other.

    asrq transcribe --model base --language ru --word-timestamps --json CLIPS… > base-ru.jsonl
    python ops/bench/confidence.py MANIFEST base-ru.jsonl …

For each file of results it prints the two numbers of `backends/whisper/confidence.py` as they come out of each half,
and the expected calibration error on the other half: of the probability as it is, of the confidence as fitted on the
first half, and of ours. Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian Binning" (2015); ten
bins. A word is right where jiwer's alignment with the reference, both normalised, has the same. What is in which half
goes by names, and by the minute within a long recording. A clip called NAME.wav has the reference of NAME, so that
copies with noise can be heard as well:

    ffmpeg -i NAME -filter_complex "anoisesrc=color=pink:amplitude=0.05:seed=7[n];
      [0:a]aresample=16000,aformat=channel_layouts=mono[s];
      [s][n]amix=inputs=2:duration=first:normalize=0" NAME.wav

Wants the extra `bench`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import jiwer
import numpy as np
from numpy.typing import NDArray

from asrq_jobs.result import Result, Word
from asrq_worker.backends.whisper import confidence
from asrq_worker.bench.normalise import normalise

BINS = 10
LONG_S = 60.0
ROUNDS = 50
RIDGE = 1e-3
"""Keeps the slope finite where all words are right."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Heard:
    """Words of some recordings: the probability of each, and whether it is right."""

    probability: Values
    right: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.right)


def heard(results: Sequence[tuple[str, Result]], half: int) -> Heard:
    """Return the words of the recordings in a half; each result comes with its reference."""
    found = [
        (word.probability, right)
        for text, result in results
        for word, right in judged(text, result)
        if word.probability is not None and _half(result, word) == half
    ]
    return Heard(np.array([pair[0] for pair in found]), np.array([pair[1] for pair in found], dtype=bool))


def judged(text: str, result: Result) -> Iterator[tuple[Word, bool]]:
    """Yield each word, and whether the reference has it there."""
    language = result.language or "en"
    spoken = [(part, word) for word in result.words or () for part in normalise(word.word, language).split()]
    reference = normalise(text, language)
    if not spoken or not reference:
        return
    aligned = jiwer.process_words(reference, " ".join(part for part, _ in spoken)).alignments[0]
    right = {
        place for chunk in aligned if chunk.type == "equal" for place in range(chunk.hyp_start_idx, chunk.hyp_end_idx)
    }
    for place, (_, word) in enumerate(spoken):
        yield word, place in right


def fit(words: Heard) -> tuple[float, float]:
    """Return offset and slope of the logistic curve over the logit of the probability (Platt), by Newton's method."""
    inputs = np.stack([np.ones(len(words)), _logit(words.probability)])
    weights = np.zeros(2)
    for _ in range(ROUNDS):
        guess = _logistic(weights @ inputs)
        slope = inputs @ (guess - words.right) + RIDGE * weights * (0, len(words))
        curve = (inputs * (guess * (1 - guess))) @ inputs.T + np.diag((0, RIDGE * len(words)))
        weights = weights - np.linalg.solve(curve, slope)
    return float(weights[0]), float(weights[1])


def calibration_error(claimed: Values, right: NDArray[np.bool_]) -> float:
    """Return the mean distance between what is claimed and what is so, over bins weighed by their words."""
    bins = np.minimum((claimed * BINS).astype(int), BINS - 1)
    parts = [bins == number for number in range(BINS)]
    return float(sum(abs(claimed[part].mean() - right[part].mean()) * part.mean() for part in parts if part.any()))


def _logit(probability: Values) -> Values:
    clipped = np.clip(probability, confidence.LEAST, 1 - confidence.LEAST)
    found: Values = np.log(clipped / (1 - clipped))
    return found


def _logistic(values: Values) -> Values:
    return 1 / (1 + np.exp(-values))


def _half(result: Result, word: Word) -> int:
    minute = int(word.start // 60) if (result.duration or 0.0) > LONG_S else 0
    return hashlib.sha256(f"{minute} {_name(result)}".encode()).digest()[0] % 2


def _name(result: Result) -> str:
    return Path(result.audio.name if result.audio and result.audio.name else "").name


def _read(file: Path, references: dict[str, str]) -> list[tuple[str, Result]]:
    results = [Result.from_json(line) for line in file.read_text("utf-8").splitlines()]
    found = [(references.get(_name(each)) or references.get(Path(_name(each)).stem), each) for each in results]
    return [(text, result) for text, result in found if text and result.words]


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("results", type=Path, nargs="+")
    given = parser.parse_args()
    rows = [json.loads(line) for line in given.manifest.read_text("utf-8").splitlines()]
    references = {Path(row["path"]).name: row["text"] for row in rows if row.get("text")}
    print("| model, language | words | right | offset, slope | error as it is | fitted | ours |")
    print("|---|---|---|---|---|---|---|")
    for file in given.results:
        results = _read(file, references)
        model, language = results[0][1].model or "", results[0][1].language or ""
        for half in (0, 1):
            here, there = heard(results, half), heard(results, 1 - half)
            offset, slope = fit(here)
            fitted = _logistic(offset + slope * _logit(there.probability))
            ours = [confidence.of_word(model, language, float(p)) for p in there.probability]
            told = [math.nan if value is None else value for value in ours]
            errors = [calibration_error(claimed, there.right) for claimed in (there.probability, fitted)]
            own = calibration_error(np.array(told), there.right) if None not in ours else math.nan
            print(
                f"| {model}, {language} | {len(there)} | {there.right.mean():.3f} | {offset:.2f}, {slope:.2f} "
                f"| {errors[0]:.3f} | {errors[1]:.3f} | {own:.3f} |"
            )


if __name__ == "__main__":
    main()
