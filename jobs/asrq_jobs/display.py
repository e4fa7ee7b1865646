"""Text on its way to people: text of strangers can neither command a terminal, nor forge a line, nor hide.

File names, ids, messages and transcripts come from anybody. Shown as they are, an escape sequence changes the terminal,
a bidirectional control reorders what is read (CVE-2021-42574), a line separator begins a line that nobody wrote, and
what has no width makes two names look alike. Such characters are shown as escapes. Files, and the values in JSON, stay
exact.

Categories are those of the Unicode Character Database; which characters nobody sees is its Default_Ignorable_Code_Point
(Unicode Standard Annex 44).
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from typing import Any

_UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Of category Cf and yet visible: signs that enclose numbers and verses (Unicode, chapter 9.2).
_VISIBLE_FORMATS = frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd")
_FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")  # letters and marks that nobody sees
_JOINERS = frozenset("\u200c\u200d")
_SELECTORS = re.compile("[\u180b-\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_BEFORE_HEBREW = "\u0590"  # scripts below have no use for joiners and selectors
_KEYCAPS = frozenset("#*0123456789©®")


def visible(text: str) -> str:
    """Return text for one line of a terminal or log: characters that could do harm are shown as Python escapes."""
    return _escaped(text, kept="")


def visible_lines(text: str) -> str:
    """Return the same for a text of several lines: its line feeds and tabs stay."""
    return _escaped(text, kept="\n\t")


def json_text(value: Any, *, indent: int | None = None) -> str:
    """Return a value as JSON that is safe to show; any parser reads exactly the value from it, lone surrogates too."""
    separators = (",", ":") if indent is None else None
    return visible_json(json.dumps(value, ensure_ascii=False, separators=separators, indent=indent))


def visible_json(text: str) -> str:
    """Return JSON text that is safe to show, and has the same value."""
    # Outside strings, JSON has only characters that are kept.
    return _replaced(text, "\n", lambda character: json.dumps(character)[1:-1])


def _escaped(text: str, *, kept: str) -> str:
    return _replaced(text, kept, lambda character: character.encode("unicode_escape").decode())


def _replaced(text: str, kept: str, escape: Callable[[str], str]) -> str:
    if text.isascii() and text.isprintable():
        return text
    befores = " " + text
    return "".join(
        character if character in kept or _is_harmless(character, before) else escape(character)
        for before, character in zip(befores, text, strict=False)
    )


def _is_harmless(character: str, before: str) -> bool:
    if character in _JOINERS:  # Persian, the scripts of India and emoji need them
        return before >= _BEFORE_HEBREW and before not in _JOINERS and unicodedata.category(before)[0] in "LMS"
    if _SELECTORS.match(character):  # as do emoji, Mongolian and rare ideographs
        return (before >= _BEFORE_HEBREW or before in _KEYCAPS) and not _SELECTORS.match(before)
    if unicodedata.category(character) in _UNSAFE_CATEGORIES:
        return character in _VISIBLE_FORMATS
    return character not in _FILLERS
