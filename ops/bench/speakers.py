"""How well speakers are told apart: dialogues made from clips whose speakers are known.

    python ops/bench/speakers.py ../shared/speech [--dialogues 30]

The folder has `manifest.jsonl` with `path`, `kind`, `language`, `seconds` and `speaker`. A dialogue has 2 to 6
speakers, each third of them a Russian one, 14 to 26 turns of 2 to 7 s at different levels, pauses of 0.2 to 1 s, and a
faint hiss. Prints the confusion (the share of speech that both sides call speech and that is given to the wrong
speaker, under the best matching of names), how often the number of speakers is right, and the processor time as a share
of the length.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

import av
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from asrq_worker.audio import speech
from asrq_worker.backends.base import SAMPLE_RATE, Samples
from asrq_worker.speakers import groups
from asrq_worker.speakers.groups import Number, Turn
from asrq_worker.speakers.voices import Voices

_FRAME = SAMPLE_RATE // 100
_UNSURE = {"golos-unknown", "pocketsphinx-numbers", "pocketsphinx-something", "pocketsphinx-goforward"}
_SHORTEST_S = 1.9  # of clips

Key = tuple[str, str]


def load(path: Path) -> Samples:
    """Return a clip at 16 kHz mono."""
    resampler = av.AudioResampler(format="fltp", layout="mono", rate=SAMPLE_RATE)
    parts: list[Samples] = []
    with av.open(str(path)) as container:
        for frame in [*container.decode(audio=0), None]:
            if frame is not None:
                frame.pts = None
            parts += [each.to_ndarray()[0] for each in resampler.resample(frame)]
    return np.concatenate(parts)


def clips(folder: Path) -> dict[Key, list[Samples]]:
    """Return the clips of each speaker; not of those who may be the same as another one."""
    found: dict[Key, list[Samples]] = {}
    for line in (folder / "manifest.jsonl").read_text("utf-8").splitlines():
        clip = json.loads(line)
        who = clip.get("speaker")
        if who and clip["kind"] == "clip" and who not in _UNSURE and clip["seconds"] >= _SHORTEST_S:
            found.setdefault((clip["language"], who), []).append(load(folder / clip["path"]))
    return found


def dialogue(of: dict[Key, list[Samples]], seed: int) -> tuple[Samples, list[Turn], int]:
    """Return sound, its turns and the number of speakers."""
    rng = random.Random(seed)  # noqa: S311  # the same for all
    count = 2 + seed % 5
    who = rng.sample(sorted(of), count)
    if seed % 3 == 0 and not any(language == "ru" for language, _ in who):
        who[0] = next(key for key in sorted(of) if key[0] == "ru")
    order = list(range(count))
    rng.shuffle(order)
    while len(order) < rng.randint(14, 26):
        order.append(rng.choice([each for each in range(count) if each != order[-1]]))
    parts: list[Samples] = []
    turns: list[Turn] = []
    at = 0
    for each in order:
        pause = np.zeros(int(rng.uniform(0.2, 1.0) * SAMPLE_RATE), dtype=np.float32)
        said = rng.choice(of[who[each]])
        length = int(rng.uniform(2.0, 7.0) * SAMPLE_RATE)
        if len(said) > length * 1.3:
            first = rng.randrange(0, len(said) - length)
            said = said[first : first + length]
        said = said * np.float32(rng.uniform(0.25, 0.7) / np.abs(said).max())
        turns.append(Turn(at + len(pause), at + len(pause) + len(said), each))
        parts += [pause, said]
        at += len(pause) + len(said)
    hiss = np.random.default_rng(seed).normal(0, 0.0007, at)
    return (np.concatenate(parts) + hiss).astype(np.float32), turns, count


def frames(turns: Sequence[Turn], samples: int) -> NDArray[np.int64]:
    """Return who speaks in each hundredth of a second, -1 for nobody."""
    said = np.full(samples // _FRAME + 1, -1)
    for turn in turns:
        said[turn.start // _FRAME : turn.stop // _FRAME] = turn.speaker
    return said


def confused(wanted: NDArray[np.int64], found: NDArray[np.int64]) -> tuple[int, int]:
    """Return how many frames are given to the wrong speaker, and of how many."""
    both = (wanted >= 0) & (found >= 0)
    table = np.zeros((wanted.max() + 1, found.max() + 1))
    np.add.at(table, (wanted[both], found[both]), 1)
    right = table[linear_sum_assignment(-table)].sum()
    return int(both.sum() - right), int(both.sum())


def _piece(sound: Samples, start: int, stop: int) -> Samples:
    return sound[start:stop]


def _untold(_done: int) -> None:
    pass


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dialogues", type=int, default=30)
    given = parser.parse_args()
    of, voices = clips(given.folder), Voices()
    wrong = of_all = right = told = seconds = 0
    spent = 0.0
    for seed in range(given.dialogues):
        sound, wanted, count = dialogue(of, seed)
        with tempfile.TemporaryFile(buffering=0) as file:
            file.write(sound.astype("<f4").tobytes())
            began = time.process_time()
            # Of another type on Windows.
            spans = speech.find(cast("BinaryIO", file), len(sound), on_block=lambda: None)
        listened = groups.windows(spans)
        vectors = voices.vectors(partial(_piece, sound), len(sound), listened, _untold)
        for number in (Number(), Number(count, count)):
            turns = groups.turns(spans, listened, groups.speakers(vectors, listened, number).tolist())
            bad, all_ = confused(frames(wanted, len(sound)), frames(turns, len(sound)))
            if number.most is None:
                spent += time.process_time() - began
                heard = len({turn.speaker for turn in turns})
                wrong, of_all, right = wrong + bad, of_all + all_, right + (heard == count)
                seconds += len(sound) // SAMPLE_RATE
                print(f"dialogue {seed:2}: {count} speakers, {heard} found, {bad / all_:.1%} confused", flush=True)
            else:
                told += bad
    print(
        f"{given.dialogues} dialogues, {seconds} s: confusion {wrong / of_all:.2%} "
        f"({told / of_all:.2%} if the number is given), "
        f"the number is right in {right / given.dialogues:.0%}, {spent / seconds:.3f} x real time of one core"
    )


if __name__ == "__main__":
    main()
