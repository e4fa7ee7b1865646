"""Guards: whether samples are fit for a model, and whether what it made of them can be true. Pure, for any backend.

A finding never changes a text: it is said in `warnings[]`, and the caller decides what to try next.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from asrq_worker.backends.base import Samples

SILENT_PEAK = 1e-4
"""Samples that never exceed this are digital silence, give or take the last bits of 16: nothing for a model."""

Name = Literal["repetition", "too_long", "too_short", "wrong_script", "no_speech", "truncated"]

_RATIO = 2.4  # OpenAI's value for Whisper's own guard
_WINDOW = 600  # characters, about half a minute of speech: any longer text compresses better, loops or not
# A run is a loop from here on; "no, no, no, no" and "a rose is a rose is a rose is a rose" are shorter.
_RUN_TOKENS = 8
_RUN_REPEATS = 3
_RUN_CHARACTERS = 24
_LONGEST_UNIT = 30  # tokens: longer loops are seen by their compression
_RUN_OF_LETTERS = re.compile(r"(\w{1,4}?)\1{7,}")  # where it has as many characters as other loops

_FASTEST = {"letters": 35.0, "syllables": 15.0}  # characters per second that nobody exceeds
_BURST = 12  # characters that a chunk may have beyond that, however short: its edges cut words
_SLOWEST = {"letters": 0.8, "syllables": 0.3}
_LONG_ENOUGH_S = 10.0  # shorter chunks may well hold one word

_LATIN = "LATIN"
_NAMES_IN_LATIN = 24  # letters: "GitHub Actions" in the midst of Russian dictation is what was said
_SCRIPTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("ba", "be", "bg", "kk", "mk", "mn", "ru", "tg", "tt", "uk"), ("CYRILLIC",)),
    **dict.fromkeys(("az", "bs", "sr", "tk", "uz"), (_LATIN, "CYRILLIC")),
    **dict.fromkeys(("ar", "fa", "ps", "ur"), ("ARABIC",)),
    **dict.fromkeys(("hi", "mr", "ne", "sa"), ("DEVANAGARI",)),
    **dict.fromkeys(("as", "bn"), ("BENGALI",)),
    **dict.fromkeys(("zh", "yue"), ("CJK",)),
    **dict.fromkeys(("he", "yi"), ("HEBREW",)),
    "am": ("ETHIOPIC",),
    "bo": ("TIBETAN",),
    "el": ("GREEK",),
    "gu": ("GUJARATI",),
    "hy": ("ARMENIAN",),
    "ja": ("CJK", "HIRAGANA", "KATAKANA"),
    "ka": ("GEORGIAN",),
    "km": ("KHMER",),
    "kn": ("KANNADA",),
    "ko": ("HANGUL", "CJK"),
    "lo": ("LAO",),
    "ml": ("MALAYALAM",),
    "my": ("MYANMAR",),
    "pa": ("GURMUKHI", "ARABIC"),
    "sd": ("ARABIC", "DEVANAGARI"),
    "si": ("SINHALA",),
    "ta": ("TAMIL",),
    "te": ("TELUGU",),
    "th": ("THAI",),
}
_UNSPACED = frozenset({"CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN"})
_DENSE = frozenset({"CJK", "HIRAGANA", "KATAKANA", "HANGUL"})  # a character is a syllable or more


@dataclass(frozen=True)
class Suspicion:
    """What is suspicious: `name` goes into `warnings[]`, `reason` into a log."""

    name: Name
    reason: str


def clean(samples: Samples) -> Samples:
    """Return float32 samples of the same shape (n,) in which values that are not finite are 0."""
    return np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)


def is_silent(samples: Samples) -> bool:
    """Whether finite samples of shape (n,) are digital silence."""
    return float(np.abs(samples).max(initial=0.0)) < SILENT_PEAK


def judge(text: str, *, language: str | None, seconds: float, truncated: bool = False) -> tuple[Suspicion, ...]:
    """Return what is suspicious about a transcript.

    Args:
        text: all that a backend made of the chunk.
        language: ISO 639-1 code of the language that the text must be in because someone asked for it; None: any.
        seconds: length of the chunk.
        truncated: whether the backend had to stop before the end.
    """
    found = [Suspicion("truncated", "it reached the longest output that the model may give")] if truncated else []
    if not any(map(str.isalnum, text)):
        return (*found, Suspicion("no_speech", "the model found no words"))
    scripts = _scripts(text)
    checks = (repetition(text), _pace(text, scripts, seconds), _wrong_script(scripts, language))
    return (*found, *(finding for finding in checks if finding))


def _compression_ratio(text: str) -> float:
    """Return how much zlib shrinks the most repetitive stretch of a text, the same for any alphabet.

    As for Whisper (Radford et al. 2022, section 4.5), but each character is one byte, since UTF-8 alone would
    make Russian text look twice as repetitive as English, and texts are taken in windows.
    """
    codes = {ord(character): code % 256 for code, character in enumerate(sorted(set(text)))}
    data = text.translate(codes).encode("latin-1")
    starts = range(0, max(len(data) - _WINDOW // 2, 1), _WINDOW // 2)
    windows = [data[start : start + _WINDOW] for start in starts]
    return max((len(window) / len(zlib.compress(window)) for window in windows if window), default=0.0)


def _longest_loop(text: str) -> tuple[str, int]:
    """Return the phrase that is said most often in a row, weighed by its length, and how often; ("", 0) if none is.

    The phrase is in `words`, with spaces between them.
    """
    tokens = words(text)
    if max(Counter(tokens).values(), default=0) < _RUN_REPEATS:  # as each word of such a phrase is said so often
        return "", 0
    numbers = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    said = np.array([numbers[token] for token in tokens], np.int64)
    best, best_size = ("", 0), 0
    for size in range(1, min(_LONGEST_UNIT, len(tokens) // _RUN_REPEATS) + 1):
        # Where each token equals the one a unit later, for so long, the unit is repeated.
        equal = np.concatenate(([False], said[size:] == said[:-size], [False]))
        starts, ends = np.flatnonzero(equal[1:] > equal[:-1]), np.flatnonzero(equal[1:] < equal[:-1])
        if not len(starts):
            continue
        longest = int(np.argmax((ends - starts) // size))
        start, repeats = int(starts[longest]), int(ends[longest] - starts[longest]) // size + 1
        if repeats >= _RUN_REPEATS and repeats * size > best_size:
            best, best_size = (" ".join(tokens[start : start + size]), repeats), repeats * size
    return best


def words(text: str) -> list[str]:
    """Return the words of a text without case and punctuation; in scripts that write no spaces, its characters."""
    found: list[str] = []
    for word in re.findall(r"\w+", text.casefold()):
        found += list(word) if _script(word[0]) in _UNSPACED else [word]
    return found


def repetition(text: str) -> Suspicion | None:
    """Return a finding if a text goes round in circles."""
    if run := next(filter(_is_run, _RUN_OF_LETTERS.finditer(text)), None):
        return Suspicion("repetition", f"{run.group()[:_RUN_CHARACTERS]!r} in a row")
    phrase, repeats = _longest_loop(text)
    unit = phrase.split()
    if len(unit) * repeats >= _RUN_TOKENS and len("".join(unit)) * repeats >= _RUN_CHARACTERS:
        return Suspicion("repetition", f"{phrase!r} {repeats} times in a row")
    ratio = _compression_ratio(text)
    return Suspicion("repetition", f"compression ratio {ratio:.1f}") if ratio > _RATIO else None


def before_loop(text: str) -> str:
    """Return a text up to where the same words come again and again, with them once; "" where none do."""
    phrase, repeats = _longest_loop(text)
    once = r"\W*".join(map(re.escape, phrase.split()))
    found = re.search(rf"({once})(?:\W*{once}){{{repeats - 1}}}", text, re.IGNORECASE) if phrase else None
    return text[: found.end(1)] if found else ""


def without_runs(text: str) -> str:
    """Return a text without letters that are repeated as in no word: "ffff…"."""
    shorter = _RUN_OF_LETTERS.sub(lambda found: "" if _is_run(found) else found.group(), text)
    return text if shorter == text else shorter.rstrip()


def _is_run(found: re.Match[str]) -> bool:
    return len(found.group()) >= _RUN_CHARACTERS


def _pace(text: str, scripts: Counter[str], seconds: float) -> Suspicion | None:
    characters = sum(map(str.isalnum, text))
    dense = sum(count for script, count in scripts.items() if script in _DENSE)
    kind = "syllables" if dense > scripts.total() / 2 else "letters"
    reason = f"{characters} characters in {seconds:.1f} s"
    if characters > _FASTEST[kind] * seconds + _BURST:
        return Suspicion("too_long", reason)
    if seconds >= _LONG_ENOUGH_S and characters < _SLOWEST[kind] * seconds:
        return Suspicion("too_short", reason)
    return None


def _wrong_script(scripts: Counter[str], language: str | None) -> Suspicion | None:
    if language is None:
        return None
    wanted = _SCRIPTS.get(language, (_LATIN,))
    right = sum(scripts[script] for script in wanted)
    for script, count in scripts.most_common():
        if script not in wanted and count > right and (script != _LATIN or count >= _NAMES_IN_LATIN):
            return Suspicion("wrong_script", f"{count} {script} letters in {language!r}, {right} of its own")
    return None


def _scripts(text: str) -> Counter[str]:
    """Count letters by script."""
    scripts: Counter[str] = Counter()
    for character, count in Counter(text).items():
        if character.isalpha():
            scripts[_script(character)] += count
    return scripts


@lru_cache(4096)  # a text has few characters, many times
def _script(character: str) -> str:
    """Return the first word of a character's Unicode name, which for a letter is its script."""
    return unicodedata.name(character, "").partition(" ")[0]
