"""The arithmetic of a benchmark: error rates and percentiles. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import jiwer


@dataclass(frozen=True)
class Errors:
    """Edit operations that turn what was heard into the reference, and the length of the reference; they add up.

    `words` and `characters` are of the reference, spaces between words counted among the characters. Of the word
    errors, `invented` are those that stand for nothing in the reference, and `lost` those that nothing was heard for.
    """

    words: int = 0
    word_errors: int = 0
    characters: int = 0
    character_errors: int = 0
    invented: int = 0
    lost: int = 0

    def __add__(self, other: Errors) -> Errors:
        return Errors(
            self.words + other.words,
            self.word_errors + other.word_errors,
            self.characters + other.characters,
            self.character_errors + other.character_errors,
            self.invented + other.invented,
            self.lost + other.lost,
        )

    @property
    def wer(self) -> float | None:
        """Word error rate in percent; None without any word to be right or wrong about."""
        return _percent(self.word_errors, self.words)

    @property
    def cer(self) -> float | None:
        """Character error rate in percent; None as for `wer`."""
        return _percent(self.character_errors, self.characters)


def compare(reference: str, heard: str) -> Errors:
    """Count the errors in a normalised text by jiwer's alignment; any word is wrong where the reference is empty."""
    by_word = jiwer.process_words(reference, heard)
    by_character = jiwer.process_characters(reference, heard)
    return Errors(
        words=by_word.hits + by_word.substitutions + by_word.deletions,
        word_errors=by_word.substitutions + by_word.deletions + by_word.insertions,
        characters=by_character.hits + by_character.substitutions + by_character.deletions,
        character_errors=by_character.substitutions + by_character.deletions + by_character.insertions,
        invented=by_word.insertions,
        lost=by_word.deletions,
    )


def total(errors: Iterable[Errors]) -> Errors:
    """Add errors up: rates of a whole corpus weigh each clip by its length."""
    return sum(errors, Errors())


def percentile(values: Sequence[float], percent: float) -> float:
    """Return a percentile of at least one value, interpolated linearly between neighbours (numpy's default)."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    below, above = ordered[math.floor(place)], ordered[math.ceil(place)]
    return below + (above - below) * (place - math.floor(place))


def _percent(part: int, whole: int) -> float | None:
    return round(100 * part / whole, 2) if whole else None
