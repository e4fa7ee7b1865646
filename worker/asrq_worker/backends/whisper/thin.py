"""Where a text is too thin for the speech under it, so that something was probably said that it lacks. Pure.

Whisper leaves out whole sentences where recordings are joined without a pause, where a sentence is said again, and
where somebody speaks more quietly than the others. Its segments then last for all of that. How the limits were found
and what they cost: docs/explanation/quality-and-speed.md.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from asrq_worker.backends.base import SAMPLE_RATE, Samples, TimedSegment
from asrq_worker.backends.guards import words
from asrq_worker.backends.spoken import DIGIT, Sound, seconds_of_sound

_FRAME = SAMPLE_RATE // 50
_AROUND = 75  # frames, 1.5 s: what is much quieter than all that is so near is a pause
_SMOOTH = 5  # frames: a click is no speech
_PAUSE = 15  # frames, 0.3 s: shorter silences are parts of words and sentences
_BELOW = 0.01  # of the energy around: 20 dB less
_FAINT = 1e-4  # of the energy of the loudest: 40 dB less is nothing, whatever is around it
_HUSHED = 0.06  # of the energy of what is loud: 12 dB less is another speaker, or one who is far away
_HUSHED_S = 1.5
_RISES = 10  # 10 dB between what is loud and what is faint in a stretch

SLOW = 8.5
"""Letters a second of speech below which more is looked for: few sentences have fewer, and those are slow."""
SLOWEST = 5.0
"""Letters a second that nobody falls short of: less is not all that was said."""
_DOUBTED_S = 3.0  # of speech in a segment: a short one may be one slow word
_GAP_S = 2.0  # of speech between segments
_LACKING_S = 3.0  # of speech for which there is no text
_ALIKE = 2  # the second shortest of those that say the same is how long it takes: one may have been cut short
_TWICE = 1.6
_ONCE_S = 0.8  # of speech, at least: a word that is said again and again may be drawn out

_WEIGHTS = {"CJK": 4.0, "HIRAGANA": 2.0, "KATAKANA": 2.0, "HANGUL": 2.0, "ETHIOPIC": 2.0, "ARABIC": 1.6}
"""Latin letters that take as long to say as one of a script.

People read aloud 987 characters a minute of English, 255 of Chinese, 357 of Japanese (of which kana are the shorter
ones) and 612 of Arabic; of Hebrew and texts in alphabets, 833 to 1078 (Trauzettel-Klosinski and Dietz, "Standardized
Assessment of Reading Performance: The New International Reading Speed Texts IReST", 2012, doi:10.1167/iovs.11-8284).
It has no Korean and Amharic; their signs are syllables, as kana nearly are. In Thai and the scripts of India, signs for
vowels count, and so a syllable has as many letters as in an alphabet.
"""


class Stretch(NamedTuple):
    """Seconds from the start of a chunk."""

    start: float
    end: float


def spelled(text: str) -> float:
    """Return how many Latin letters take as long to say as a text. The signs for vowels count as letters."""
    return sum(map(_weight, text))


@lru_cache(4096)  # a text has few characters, many times
def _weight(character: str) -> float:
    if character.isdigit():
        return DIGIT
    if not character.isalpha():
        return float(unicodedata.category(character) in {"Mc", "Mn"})
    return _WEIGHTS.get(unicodedata.name(character, "").partition(" ")[0], 1.0)


def speech(samples: Samples) -> Sound:
    """Return where samples of shape (n,), cut close to what is said, are part of it: all but pauses of 0.3 s and more.

    What is said more quietly is speech as well: each 20 ms is compared with what is around it.
    """
    energy = _energy(samples)
    if not len(energy):
        return np.zeros(0, np.bool_)
    smooth = np.convolve(energy, np.full(_SMOOTH, 1 / _SMOOTH), "same")
    around = sliding_window_view(np.pad(smooth, _AROUND), 2 * _AROUND + 1).max(axis=1)
    loud = (energy > _BELOW * around) & (energy > _FAINT * energy.max())
    return _without_pauses(loud)


def hushed(samples: Samples) -> list[Stretch]:
    """Return where for a while all that is said is much more quiet than the rest."""
    energy = _energy(samples)
    if not len(energy):
        return []
    smooth = np.convolve(energy, np.full(_SMOOTH, 1 / _SMOOTH), "same")
    near = sliding_window_view(np.pad(smooth, _PAUSE), 2 * _PAUSE + 1).max(axis=1)
    quiet = near < _HUSHED * np.quantile(energy, 0.9)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], quiet, [False]]))).reshape(-1, 2).tolist()
    least = _FAINT * energy.max()
    return [
        Stretch(start / 50, end / 50)
        for start, end in edges
        if end - start >= _HUSHED_S * 50 and _is_spoken(smooth[start:end], least)
    ]


def _is_spoken(energies: NDArray[np.float64], least: float) -> bool:
    """Whether a quiet stretch rises and falls as speech does, and noise in a pause does not."""
    low, high = np.quantile(energies, [0.1, 0.9])
    return bool(high > max(least, _RISES * low))


def thin(segments: Sequence[TimedSegment], said: Sound, seconds: float) -> list[Stretch]:
    """Return the segments of a chunk, and the gaps between them, that have too little text for what is said there.

    Args:
        segments: all of the chunk, in order.
        said: where it is speech.
        seconds: its length.
    """
    found, at = [], 0.0
    for segment in segments:
        if seconds_of_sound(said, at, segment.start) >= _GAP_S:
            found.append(Stretch(at, segment.start))
        spoken_s = seconds_of_sound(said, segment.start, segment.end)
        if spoken_s >= _DOUBTED_S and spelled(segment.text) < SLOW * spoken_s:
            found.append(Stretch(segment.start, segment.end))
        at = max(at, segment.end)
    if seconds_of_sound(said, at, seconds) >= _GAP_S:
        found.append(Stretch(at, seconds))
    return found


def stretched(segments: Sequence[TimedSegment], said: Sound) -> list[TimedSegment]:
    """Return segments that last as long as what they say takes twice, going by others that say the same."""
    lasting = [(" ".join(words(each.text)), seconds_of_sound(said, each.start, each.end), each) for each in segments]
    found = []
    for text, seconds, segment in lasting:
        usual = sorted(other for same, other, _ in lasting if same == text)[:_ALIKE][-1]
        if text and seconds >= _TWICE * usual and seconds - usual >= _ONCE_S:
            found.append(segment)
    return found


def lacks(segments: Sequence[TimedSegment], said: Sound, seconds: float) -> bool:
    """Whether there is so much more speech than text in any of these places that something is missing."""
    for start, end in thin(segments, said, seconds):
        inside = sum(spelled(segment.text) for segment in segments if start <= segment.start < end)
        if seconds_of_sound(said, start, end) - inside / SLOWEST >= _LACKING_S:
            return True
    return False


def _energy(samples: Samples) -> NDArray[np.float64]:
    frames = samples[: len(samples) // _FRAME * _FRAME].reshape(-1, _FRAME)
    energy: NDArray[np.float64] = np.square(frames, dtype=np.float64).mean(axis=1)
    return energy


def _without_pauses(loud: Sound) -> Sound:
    """Take short silences for speech."""
    places = np.flatnonzero(loud)
    filled = loud.copy()
    for before, after in itertools.pairwise(places):
        if 1 < after - before <= _PAUSE:
            filled[before:after] = True
    return filled
