"""Makes texts comparable before they are scored: what is said counts, not how it is written.

English: Whisper's English normaliser (Radford et al. 2022, appendix C; package whisper-normalizer), which among much
else writes numbers as digits. Russian: NFKC, lower case, ё as е, numbers as words in the nominative (num2words, so a
number in another case counts as an error), letters and digits only. Others: Whisper's basic normaliser.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

from num2words import num2words
from whisper_normalizer.basic import BasicTextNormalizer
from whisper_normalizer.english import EnglishTextNormalizer

DESCRIPTION = {
    "en": "EnglishTextNormalizer of whisper-normalizer",
    "ru": "NFKC, lower case, ё as е, numbers as words (num2words), letters and digits only",
    "other": "BasicTextNormalizer of whisper-normalizer",
}

_THOUSANDS = re.compile(r"(?<=\d) (?=\d{3}\b)")  # NFKC has made a plain space of a no-break one
_NUMBER = re.compile(r"\d+")
_LONGEST_NUMBER = 15  # digits; a longer one is a model's loop or a serial number, and nobody says quadrillions
_SYMBOLS = {"%": " процентов ", "$": " долларов "}


def normalise(text: str, language: str) -> str:
    """Return the words to be compared, with single spaces between them; `language` is an ISO 639-1 code."""
    if language == "ru":
        return _russian(text)
    spoken: str = (_english() if language == "en" else _basic())(text)
    return " ".join(spoken.split())


def _russian(text: str) -> str:
    text = unicodedata.normalize("NFKC", text).lower()
    text = _NUMBER.sub(_in_words, _THOUSANDS.sub("", text))
    for symbol, word in _SYMBOLS.items():
        text = text.replace(symbol, word)
    text = "".join(character if unicodedata.category(character)[0] in "LN" else " " for character in text)
    return " ".join(text.replace("ё", "е").split())


def _in_words(found: re.Match[str]) -> str:
    digits = found.group()
    parts = [digits] if len(digits) <= _LONGEST_NUMBER else list(digits)
    return f" {' '.join(num2words(int(part), lang='ru') for part in parts)} "


@cache
def _english() -> EnglishTextNormalizer:
    return EnglishTextNormalizer()


@cache
def _basic() -> BasicTextNormalizer:
    return BasicTextNormalizer()
