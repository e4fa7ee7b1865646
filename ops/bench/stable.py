"""What becomes of text that is called stable while somebody speaks: is it in the final text?

    python ops/bench/stable.py CLIP… [--model base] [--every 1] [--language ru]

Has Whisper hear drafts of each recording as it grows, all of it every so many seconds, which is far more often than a
worker does, and in the end the whole of it. Prints one JSON object:

    hearings, stable   drafts; words that were called stable
    taken_back         how often a later text did not begin with what was stable
    kept               the words called stable that the final text has, in that order, by all
"""

from __future__ import annotations

import argparse
import json
import re
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
from faster_whisper.audio import decode_audio

from asrq_worker.backends.base import SAMPLE_RATE, BackendConfig, Chunk, ChunkOptions, Samples, Transcript
from asrq_worker.backends.whisper.backend import WhisperBackend
from asrq_worker.job.agreement import Agreement
from asrq_worker.job.unfinished import shown


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--model", default="base")
    parser.add_argument("--every", type=float, default=1.0)
    parser.add_argument("--language")
    given = parser.parse_args()
    backend = WhisperBackend(BackendConfig(given.model, Path.home() / ".cache/asrq/models"))
    backend.load()

    def heard(samples: Samples, *, draft: bool) -> Transcript:
        [outcome] = backend.transcribe_batch([Chunk(samples, ChunkOptions(given.language, draft=draft))])
        if not isinstance(outcome, Transcript):
            raise outcome
        return outcome

    hearings = stable = taken_back = kept = 0
    for clip in given.clips:
        samples = np.asarray(decode_audio(str(clip), sampling_rate=SAMPLE_RATE))
        agreement, step = Agreement(), round(given.every * SAMPLE_RATE)
        for stop in range(step, len(samples), step):
            before = agreement.text[: agreement.stable]
            if text := shown(heard(samples[:stop], draft=True)):
                agreement.take(text)
            hearings += 1
            taken_back += not agreement.text.startswith(before)
        final = heard(samples, draft=False).text
        said, words = (re.findall(r"\w+", text.lower()) for text in (agreement.text[: agreement.stable], final))
        stable += len(said)
        same = SequenceMatcher(None, said, words, autojunk=False).get_matching_blocks()
        kept += sum(block.size for block in same)
    share = round(kept / stable, 4) if stable else None
    print(json.dumps({"hearings": hearings, "stable": stable, "taken_back": taken_back, "kept": share}))


if __name__ == "__main__":
    main()
