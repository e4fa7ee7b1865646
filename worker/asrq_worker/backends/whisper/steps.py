"""How many clips are heard at once: each is a generator that asks the model for one step at a time.

A clip's own code reads as if it had the model to itself. What the clips ask for next is served together, earlier steps
first, so that those that were heard again, or are in an earlier window, catch up with the others.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float32]
"""log-Mel features of shape (mels, frames), 100 frames a second."""
Encoded = NDArray[Any]
"""What the encoder makes of them: shape (1, frames / 2, width), float32 or float16."""


@dataclass(frozen=True)
class Search:
    """How the decoder looks for a text. Greedy where `beam_size` is 1."""

    beam_size: int
    no_repeat_ngram_size: int = 0
    repetition_penalty: float = 1.0


@dataclass(frozen=True)
class Decoded:
    """A text that the decoder found."""

    tokens: tuple[int, ...]
    """Of text and of times; the end of the text is not among them."""
    text: str
    compression_ratio: float
    """zlib's, over the text in UTF-8 as for OpenAI's models; 0 for an empty one."""
    logprob: float
    """Mean over the tokens and the end of the text, natural logarithm."""
    no_speech: float
    """Probability that there is no speech in the window."""
    truncated: bool
    """It reached the limit; the figures are those of a longer text."""


@dataclass(frozen=True)
class TokenTimes:
    """When the tokens of a text are said, and how probable each is."""

    times: tuple[float, ...]
    """Seconds from the start of the window at which each token begins, and the last one ends: one more than tokens."""
    probabilities: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Encode:
    """Asks for `Encoded` of `frames`; those after the features are silence."""

    features: Features
    frames: int


@dataclass(frozen=True, eq=False)
class Detect:
    """Asks for languages with probabilities, the likeliest first: a list of (ISO 639-1 code, probability)."""

    encoded: Encoded


@dataclass(frozen=True, eq=False)
class Decode:
    """Asks for `Decoded`, of `limit` tokens at most."""

    encoded: Encoded
    prompt: tuple[int, ...]
    search: Search
    limit: int


@dataclass(frozen=True, eq=False)
class Align:
    """Asks for `TokenTimes`; `frames` of the window hold speech, `start` is the prompt without earlier text."""

    encoded: Encoded
    start: tuple[int, ...]
    tokens: tuple[int, ...]
    frames: int


Request = Encode | Detect | Decode | Align
_ORDER: tuple[type[Request], ...] = (Encode, Detect, Decode, Align)

T = TypeVar("T")
Steps = Generator[Request, Any, T]
Serve = Callable[[Sequence[Request]], Sequence[Any]]


def together(clips: Sequence[Steps[T]], serve: Serve) -> list[T | Exception]:
    """Return what each clip comes to, or what it raises.

    Args:
        clips: each is sent what it asks for.
        serve: answers requests of one kind; an answer that is an exception is raised where it was asked for.
    """
    found: dict[int, T | Exception] = {}
    asked: dict[int, Request] = {}

    def advance(number: int, go_on: Callable[[], Request]) -> None:
        try:
            asked[number] = go_on()
        except StopIteration as end:
            found[number] = end.value
        except Exception as error:  # noqa: BLE001  # the other clips go on
            found[number] = error

    for number, clip in enumerate(clips):
        advance(number, functools.partial(next, clip))
    while asked:
        kind = next(kind for kind in _ORDER if any(isinstance(request, kind) for request in asked.values()))
        chosen = {number: request for number, request in asked.items() if isinstance(request, kind)}
        answers = serve(list(chosen.values()))
        for number, answer in zip(chosen, answers, strict=True):
            del asked[number]
            go_on = clips[number].throw if isinstance(answer, Exception) else clips[number].send
            advance(number, functools.partial(go_on, answer))
    return [found[number] for number in range(len(clips))]
