"""Text taken apart into what subtitles do not cut: words or, in scripts that write no spaces, characters.

Where Chinese and Japanese may be cut follows their own rules for the beginning and end of lines (kinsoku, JIS X 4051).
A word too long for a line is cut between characters as people see them, best after a hyphen or slash.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal

Ends = Literal["sentence", "clause", "other"]

_SENTENCE_ENDS = ".!?…。！？｡؟۔।॥"
_CLAUSE_ENDS = ",;:–—、，；：،؛"
_CLOSING = "\"'”’»«)]}）］｝」』】〉》〕"
# A letter or a title with its full stop, and what is made of letters with one each, such as i.e.
_ABBREVIATION = re.compile(
    r"\W*(?:(?:\w\.)+|(?:Mrs?|Ms|Dr|Prof|St|vs|No|Mt|Jr|Sr|им|ул|руб|тыс|млн|см|др|пр)\.)", re.IGNORECASE
)

_NOT_AT_START = frozenset(
    "、。，．・：；？！｡､･」』）］｝〕〉》】〙〗〟’”»ゝゞーｰァィゥェォッャュョヮヵヶぁぃぅぇぉっゃゅょゎゕゖ々〻‐゠–—〜～…‥%％‰℃°)]},.!?:;"
)
_NOT_AT_END = frozenset("「『（［｛〔〈《【〘〖〝‘“«([{$＄¥￥£￡#＃")
_HYPHENS = frozenset("-/\\_.,;:?&=+~|")

# What a cut before an atom costs beside what its place in the sentence does.
_WITHIN_UNSPACED = 0.2
_AFTER_HYPHEN = 3.0
_WITHIN_WORD = 6.0


@dataclass(frozen=True)
class Atom:
    """A piece of cleaned text, from `start` to before `end` (characters); `spaced`: a space parts it from the last.

    `width` is in columns, `glue` what a cut before it costs, and `ends` what ends with it.
    """

    text: str
    start: int
    end: int
    width: int
    spaced: bool
    glue: float
    ends: Ends


def cleaned(text: str) -> str:
    """Return a text with single spaces, and none at its ends: tabs and newlines would end a cue."""
    return " ".join(text.split())


def joined(texts: Iterable[str]) -> str:
    """Join texts with a space, or without one between characters of scripts that write none."""
    parts: list[str] = []
    for text in filter(None, map(str.strip, texts)):
        if parts and not (_unspaced(parts[-1][-1]) and _unspaced(text[0])):
            parts.append(" ")
        parts.append(text)
    return "".join(parts)


def _unspaced(character: str) -> bool:
    # Chinese, Japanese and their full-width punctuation; Korean writes spaces.
    name = unicodedata.name(character, "")
    return unicodedata.east_asian_width(character) in "WF" and not name.startswith("HANGUL")


def split(text: str, *, longest: int, after: str = "") -> list[Atom]:
    """Return the atoms of a text, once it is cleaned; together they hold all of it but its spaces.

    `longest` is what a line holds, in columns: words beyond that are cut. `after` is the text before it,
    perhaps with no space between.
    """
    text = cleaned(text)
    words = [(word.start(), word[0]) for word in re.finditer(r"\S+", text)]
    spaced = bool(after and text) and not (_stands_alone(after[-1]) and _stands_alone(text[0]))
    return [atom for start, word in words for atom in _atoms(word, start, longest, spaced=start > 0 or spaced)]


def _atoms(word: str, offset: int, longest: int, *, spaced: bool) -> Iterator[Atom]:
    cuts = [0, *(at for at in range(1, len(word)) if _may_cut(word, at)), len(word)]
    for first, last in pairwise(cuts):
        part = word[first:last]
        if _columns(part) <= longest:
            yield _atom(part, offset + first, _WITHIN_UNSPACED if first else 0.0, spaced=first == 0 and spaced)
            continue
        at = 0
        for cluster in _clusters(part):
            glue = 0.0 if first + at == 0 else _AFTER_HYPHEN if at and part[at - 1] in _HYPHENS else _WITHIN_WORD
            yield _atom(cluster, offset + first + at, glue, spaced=first + at == 0 and spaced)
            at += len(cluster)


def _atom(text: str, start: int, glue: float, *, spaced: bool) -> Atom:
    return Atom(text, start, start + len(text), _columns(text), spaced, glue, _ends(text))


def _ends(text: str) -> Ends:
    bare = text.rstrip(_CLOSING)
    if bare.endswith(tuple(_SENTENCE_ENDS)):
        return "other" if _ABBREVIATION.fullmatch(bare) else "sentence"
    return "clause" if bare.endswith(tuple(_CLAUSE_ENDS)) else "other"


def _columns(text: str) -> int:
    """Return how wide a text is: one for each character, two for each wide one."""
    return len(text) if text.isascii() else sum(2 if _is_wide(character) else 1 for character in text)


def _may_cut(word: str, at: int) -> bool:
    """Whether lines may part before a character, in a word that has no spaces."""
    before, after = word[at - 1], word[at]
    if before in _NOT_AT_END or after in _NOT_AT_START or _clings(before, after):
        return False
    return _stands_alone(before) or _stands_alone(after)


@lru_cache(maxsize=4096)
def _stands_alone(character: str) -> bool:
    """Whether a character is of a script that writes no spaces; Korean does."""
    return _is_wide(character) and not unicodedata.name(character, "").startswith("HANGUL")


@lru_cache(maxsize=4096)
def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"


def _clusters(text: str) -> Iterator[str]:
    """Yield what people see as characters: letters with their marks, emoji with their parts."""
    first = 0
    for at in range(1, len(text)):
        if not _clings(text[at - 1], text[at]):
            yield text[first:at]
            first = at
    yield text[first:]


def _clings(before: str, after: str) -> bool:
    return (
        unicodedata.category(after).startswith("M")
        or "\u200d" in {before, after}
        or "\U0001f3fb" <= after <= "\U0001f3ff"  # the colours of skin
    )
