"""Text that goes to and comes from Qwen3-ASR: the context, answers, names of languages, words. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from asrq_jobs.languages import NAMES
from asrq_worker.backends.base import ChunkOptions

_CODES = {name.lower(): code for code, name in NAMES.items()}
_TEXT_TAG = "<asr_text>"
_MARKUP = re.compile(rf"<\|[^|<>]*\|>|{_TEXT_TAG}")


@dataclass(frozen=True)
class ModelOutput:
    """What the model said of a chunk."""

    text: str
    language: str | None
    """Code; None where the model named none, or one that has no code here."""
    raw_text: str
    """The text before the package collapsed what is repeated twenty times and more."""
    cut: bool
    """Whether it ran into the limit of tokens before it had said all."""


def context(options: ChunkOptions) -> str:
    """Return the system message: the prompt and, on a line of their own, the hotwords.

    Whatever the tokenizer would take for control tokens is left out: it would end the message, or stand for audio.
    """
    parts = (options.prompt, ", ".join(options.hotwords))
    return _MARKUP.sub(" ", "\n".join(part for part in parts if part)).strip()


def read_answer(text: str, names: str, raw: str, *, forced: bool, cut: bool) -> ModelOutput:
    """Return what the model said.

    Args:
        text: what the package takes for the text.
        names: the language or languages that the package found, by name.
        raw: all that was generated: `language X<asr_text>TEXT`, or only the text where the language was `forced`.
        forced: whether the language was asked for.
        cut: whether it ran into the limit of tokens.
    """
    _, tag, rest = raw.partition(_TEXT_TAG)
    if not forced and cut and not tag:  # cut within the header: the package takes that for text
        return ModelOutput("", None, "", cut)
    return ModelOutput(text, language_code(names), rest if tag and not forced else raw, cut)


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
