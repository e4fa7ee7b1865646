"""Text that goes to and comes from Qwen3-ASR: the context, names of languages, words. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from asrq_jobs.languages import NAMES
from asrq_worker.backends.base import ChunkOptions

_CODES = {name.lower(): code for code, name in NAMES.items()}
_MARKUP = re.compile(r"<\|[^|<>]*\|>|<asr_text>")


def context(options: ChunkOptions) -> str:
    """Return the system message: the prompt and, on a line of their own, the hotwords.

    Whatever the tokenizer would take for control tokens is left out: it would end the message, or stand for audio.
    """
    parts = (options.prompt, ", ".join(options.hotwords))
    return _MARKUP.sub(" ", "\n".join(part for part in parts if part)).strip()


def language_code(names: str) -> str | None:
    """Return the code of the first language named in an answer such as `Chinese,English`, or None."""
    return _CODES.get(names.partition(",")[0].strip().lower())


def language_codes(names: Iterable[str]) -> frozenset[str]:
    """Return the codes of languages by their English names; those without a code here are left out."""
    return frozenset(_CODES[name.lower()] for name in names if name.lower() in _CODES)


def spell(bare: Sequence[str], text: str) -> list[str]:
    """Cut a text into as many pieces as there are words, each with its word; joined, they are the text.

    The aligner keeps letters, numbers and apostrophes (`Qwen3ForceAlignProcessor.is_kept_char`) and drops the rest.
    Words that do not follow each other so in the text are returned as they are.
    """
    pieces: list[str] = []
    start = position = 0
    for word in bare:
        kept = 0
        while kept < len(word) and position < len(text):
            kept += _is_kept(text[position])
            position += 1
        while position < len(text) and not text[position].isspace() and not _is_kept(text[position]):
            position += 1
        pieces.append(text[start:position])
        start = position
    pieces[-1:] = [piece + text[start:] for piece in pieces[-1:]]
    if ["".join(filter(_is_kept, piece)) for piece in pieces] != list(bare):
        return list(bare)
    return pieces


def _is_kept(character: str) -> bool:
    return character == "'" or unicodedata.category(character)[0] in "LN"
