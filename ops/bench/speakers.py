"""How well speakers are told apart: dialogues made from clips whose speakers are known.

    python ops/bench/speakers.py ../shared/speech [--dialogues 30] [--held-out]

The folder has `manifest.jsonl` with `path`, `kind`, `language`, `seconds` and `speaker`. A dialogue has 2 to 6
speakers, each third of them a Russian one, 14 to 26 turns of 2 to 7 s at different levels, pauses of 0.2 to 1 s, and a
faint hiss. Prints the confusion (the share of speech that both sides call speech and that is given to the wrong
speaker, under the best matching of names), how often the number of speakers is right, and the processor time as a share
of the length.

With `--held-out` the people are divided in two, and both thresholds are looked at on each half: that between two voices
of a recording, in dialogues of that half alone, and that of enrolled voices. Those are of 5 s or longer, and tried with
pieces of 2 s or longer, of other clips. Their errors are means: over people (their voice is not found), and over pairs
of people (one's is found for another's).
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

import av
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from asrq_worker.audio import speech
from asrq_worker.backends.base import SAMPLE_RATE, Samples
from asrq_worker.speakers import clusters
from asrq_worker.speakers.clusters import Number, Span, Turn, Vectors
from asrq_worker.speakers.enrolled import SIZE
from asrq_worker.speakers.voices import VoiceNetwork

_FRAME = SAMPLE_RATE // 100
_UNSURE = {"golos-unknown", "pocketsphinx-numbers", "pocketsphinx-something", "pocketsphinx-goforward"}
_SHORTEST_S = 1.9  # of clips
_PIECE = 5 * SAMPLE_RATE

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
    count = min(2 + seed % 5, len(of))
    who = rng.sample(sorted(of), count)
    if seed % 3 == 0 and not any(language == "ru" for language, _ in who):
        who[0] = next((key for key in sorted(of) if key[0] == "ru"), who[0])
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


@dataclass(frozen=True)
class Made:
    """A dialogue, and what was heard of it."""

    wanted: NDArray[np.int64]
    count: int
    seconds: int
    spans: list[Span]
    listened: list[Span]
    vectors: Vectors

    def told(self, number: Number) -> tuple[int, int, int]:
        """Return how many frames are given to the wrong speaker, of how many, and how many speakers were found."""
        whose = clusters.speakers(self.vectors, self.listened, number)
        turns = clusters.turns(self.spans, self.listened, whose.tolist())
        return *confused(self.wanted, frames(turns, self.seconds * SAMPLE_RATE)), len({turn.speaker for turn in turns})


def made(of: dict[Key, list[Samples]], seed: int, voices: VoiceNetwork) -> Made:
    """Make a dialogue, and listen to it."""
    sound, wanted, count = dialogue(of, seed)
    sound = sound[: len(sound) // SAMPLE_RATE * SAMPLE_RATE]
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(sound.astype("<f4").tobytes())
        # Of another type on Windows.
        spans = speech.find(cast("BinaryIO", file), len(sound), on_block=lambda: None)
    listened = clusters.windows(spans)
    vectors = voices.vectors(partial(_piece, sound), len(sound), listened, _untold)
    return Made(frames(wanted, len(sound)), count, len(sound) // SAMPLE_RATE, list(spans), listened, vectors)


@dataclass(frozen=True)
class Said:
    """What one person has said: the voice of `enrolled` pieces of 5 s or longer, and of `tried` ones, shape (n, 192).

    `apart` says which of both are of different clips: shape (enrolled, tried).
    """

    enrolled: Vectors
    tried: Vectors
    apart: NDArray[np.bool_]


def said(of: list[Samples], voices: VoiceNetwork) -> Said:
    """Listen to somebody: clips are joined to 5 s to be enrolled, and tried as they are, or in parts of 5 s."""
    enrolled: list[tuple[Vectors, set[int]]] = []
    tried: list[tuple[Vectors, int]] = []
    left, whose = np.zeros(0, dtype=np.float32), set[int]()
    for number, clip in enumerate(of):
        tried += [(_voice(part, voices), number) for part in np.array_split(clip, max(1, len(clip) // _PIECE))]
        left, whose = np.concatenate([left, clip]), whose | {number}
        if len(left) >= _PIECE:
            enrolled += [(_voice(part, voices), whose) for part in np.array_split(left, len(left) // _PIECE)]
            left, whose = left[:0], set()
    apart = [[number not in clips for _, number in tried] for _, clips in enrolled]
    return Said(
        np.array([vector for vector, _ in enrolled], dtype=np.float32).reshape(-1, SIZE),
        np.array([vector for vector, _ in tried], dtype=np.float32),
        np.array(apart, dtype=bool).reshape(len(enrolled), len(tried)),
    )


def _voice(part: Samples, voices: VoiceNetwork) -> Vectors:
    listened = clusters.windows([(0, len(part))])
    vectors = voices.vectors(partial(_piece, part), len(part), listened, _untold)
    mean: Vectors = clusters.means(vectors, listened, np.zeros(len(listened), dtype=np.int64))[0]
    return mean


def errors(of: dict[Key, Said], same: float) -> tuple[float, float]:
    """Return how often a voice is not found again, and how often somebody else's is taken for it."""
    again, others = [], []
    for who, mine in of.items():
        if mine.apart.any():
            again.append((mine.enrolled @ mine.tried.T < same)[mine.apart].mean())
        if len(mine.enrolled):
            others += [(mine.enrolled @ each.tried.T >= same).mean() for other, each in of.items() if other != who]
    return float(np.mean(again)), float(np.mean(others))


def held_out(of: dict[Key, list[Samples]], dialogues: int, voices: VoiceNetwork) -> None:
    """Print both thresholds' errors for each half of the people."""
    people = sorted(of, key=lambda who: (-sum(map(len, of[who])), who))
    halves = [{who: of[who] for who in people[first::2]} for first in (0, 1)]
    listened = [{who: said(clips, voices) for who, clips in half.items()} for half in halves]
    for half, each in zip("AB", listened, strict=True):
        kept = (f"{who} {len(one.enrolled)}/{len(one.tried)}" for (_, who), one in each.items())
        print(f"half {half}, pieces enrolled/tried: {', '.join(kept)}")
    print("enrolled from   not found A, B   another's A, B")
    for same in np.arange(0.35, 0.71, 0.05):
        missed, taken = zip(*(errors(each, float(same)) for each in listened), strict=True)
        print(f"{same:13.2f}   {missed[0]:6.1%} {missed[1]:6.1%}   {taken[0]:6.1%} {taken[1]:6.1%}", flush=True)
    heard = [[made(half, seed, voices) for seed in range(dialogues)] for half in halves]
    print("apart from   confusion A, B   number right A, B")
    for clusters.APART in (0.4, 0.42, 0.44, 0.46, 0.48, 0.5, 0.52, 0.54, 0.56, 0.6):
        told = [[(*each.told(Number()), each.count) for each in half] for half in heard]
        wrong = [sum(each[0] for each in half) / sum(each[1] for each in half) for half in told]
        right = [sum(each[2] == each[3] for each in half) / len(half) for half in told]
        print(f"{clusters.APART:10.2f}   {wrong[0]:6.2%} {wrong[1]:6.2%}   {right[0]:6.0%} {right[1]:6.0%}", flush=True)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dialogues", type=int, default=30)
    parser.add_argument("--held-out", action="store_true")
    given = parser.parse_args()
    of, voices = clips(given.folder), VoiceNetwork()
    if given.held_out:
        held_out(of, given.dialogues, voices)
        return
    wrong = of_all = right = told = seconds = 0
    spent = 0.0
    for seed in range(given.dialogues):
        began = time.process_time()
        one = made(of, seed, voices)
        bad, all_, heard = one.told(Number())
        spent += time.process_time() - began
        wrong, of_all, right = wrong + bad, of_all + all_, right + (heard == one.count)
        seconds += one.seconds
        told += one.told(Number(one.count, one.count))[0]
        print(f"dialogue {seed:2}: {one.count} speakers, {heard} found, {bad / all_:.1%} confused", flush=True)
    print(
        f"{given.dialogues} dialogues, {seconds} s: confusion {wrong / of_all:.2%} "
        f"({told / of_all:.2%} if the number is given), "
        f"the number is right in {right / given.dialogues:.0%}, {spent / seconds:.3f} x real time of one core"
    )


if __name__ == "__main__":
    main()
