"""Which stretches of a transcript are more likely wrong than right. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from asrq_jobs.result import Doubtful, Word

_LEAST = 0.5


def doubtful(words: Sequence[Word]) -> tuple[Doubtful, ...] | None:
    """Return the runs of words with a confidence below 0.5, each on one channel; None if no word has a confidence."""
    if all(word.confidence is None for word in words):
        return None
    runs = groupby(words, lambda word: (word.confidence is not None and word.confidence < _LEAST, word.channel))
    return tuple(_stretch(list(run), channel) for (doubted, channel), run in runs if doubted)


def _stretch(run: Sequence[Word], channel: int | None) -> Doubtful:
    return Doubtful(start=run[0].start, end=run[-1].end, text=_text(run), channel=channel)


def _text(run: Iterable[Word]) -> str:
    return "".join(word.word for word in run).strip()
