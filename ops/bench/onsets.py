"""Whether the first word is lost where silence comes before speech.

    python ops/bench/onsets.py MANIFEST --model tiny.en --language en

Puts silence, and noise 50 dB below full scale, before each clip of a manifest and aligns the text with that of the clip
as it is. Prints one JSON object. Slow: each clip is heard five times. Wants the extra `bench`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import soundfile
from faster_whisper.audio import decode_audio

from asrq_jobs.settings import Settings
from asrq_worker.backends.base import SAMPLE_RATE, Samples
from asrq_worker.bench.manifest import Selection, load
from asrq_worker.bench.normalise import normalise
from asrq_worker.programs.one_shot import transcribe

SECONDS = (5, 20)
LEVELS = {"silence": 0.0, "noise": 10 ** (-50 / 20)}


def preceded(samples: Samples, seconds: int, level: float) -> Samples:
    """Return samples of shape (n,) with noise of this level before them; the same each time."""
    noise = np.random.default_rng(seconds).standard_normal(seconds * SAMPLE_RATE) * level
    return np.concatenate([noise.astype(np.float32), samples])


def loses_first_word(heard: str, undisturbed: str) -> bool:
    """Whether a text's first word has no counterpart in what was heard; both normalised."""
    if not undisturbed:
        return False
    operations = jiwer.process_words(undisturbed, heard).alignments[0]
    return operations[0].type == "delete"


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--model", default="base")
    parser.add_argument("--language", required=True)
    given = parser.parse_args()
    clips = load(given.manifest, Selection(languages={given.language}, kinds={"clip"}))
    variants = [("", 0, 0.0), *((name, seconds, LEVELS[name]) for name in LEVELS for seconds in SECONDS)]
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for number, clip in enumerate(clips):
            samples = decode_audio(str(clip.file), sampling_rate=SAMPLE_RATE)
            for name, seconds, level in variants:
                files.append(Path(folder) / f"{number}-{name}-{seconds}.wav")
                soundfile.write(files[-1], preceded(samples, seconds, level), SAMPLE_RATE, subtype="FLOAT")
        results = transcribe(Settings(model=given.model), files, language=given.language)
        texts = [normalise(result.text or "", given.language) for result in results]
    lost: Counter[str] = Counter()
    examples = []
    for number, clip in enumerate(clips):
        undisturbed, *others = texts[number * len(variants) : (number + 1) * len(variants)]
        for (name, seconds, _), text in zip(variants[1:], others, strict=True):
            if loses_first_word(text, undisturbed):
                lost[f"{name} {seconds} s"] += 1
                examples.append((clip.name, name, seconds, undisturbed[:40], text[:40]))
    report: dict[str, Any] = {"model": given.model, "clips": len(clips), "first words lost": dict(lost)}
    print(json.dumps(report | {"examples": examples}, ensure_ascii=False, indent=1))


if __name__ == "__main__":
    main()
