"""Which texts of a short window are heard again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from asrq_worker.backends.whisper.doubt import doubtful
from asrq_worker.backends.whisper.steps import Decoded

ZERO = 1000
SECONDS = 4.0
SOUNDS = np.ones(200, np.bool_)  # 20 ms each
GOOD = Decoded(
    tokens=(ZERO, 1, 2, ZERO + 190), text="It may be late, but it comes.", compression_ratio=1.0, logprob=-0.2,
    no_speech=0.0, truncated=False,
)  # fmt: skip


def test_what_is_well_is_believed() -> None:
    assert not doubtful(GOOD, ZERO, SOUNDS, 0.0, SECONDS)


@pytest.mark.parametrize(
    "wrong",
    [
        {"truncated": True},
        {"logprob": -1.1},
        {"compression_ratio": 3.0},
        {"tokens": ()},
        {"tokens": (ZERO, 1, 2)},
        {"tokens": (ZERO, 1, 2, ZERO + 300)},
        {"tokens": (ZERO, 1, 2, ZERO + 120)},
        {"text": "It is."},
    ],
    ids=["cut off", "a guess", "a loop", "nothing", "no end", "past the end", "speech goes on", "too few words"],
)
def test_each_sign_alone_is_enough(wrong: dict[str, object]) -> None:
    assert doubtful(replace(GOOD, **wrong), ZERO, SOUNDS, 0.0, SECONDS)  # type: ignore[arg-type]  # any field


def test_only_the_sound_of_the_window_counts() -> None:
    sounds = np.concatenate([np.ones(500, np.bool_), np.zeros(300, np.bool_)])
    early = replace(GOOD, tokens=(ZERO, 1, 2, ZERO + 100))
    assert doubtful(early, ZERO, sounds, 0.0, SECONDS)
    assert not doubtful(early, ZERO, sounds, 10.0, SECONDS), "what follows is silence"


def test_what_is_left_to_the_next_window_is_not_missing() -> None:
    unfinished = replace(GOOD, tokens=(ZERO, 1, 2, ZERO + 100, ZERO + 100))
    assert not doubtful(unfinished, ZERO, SOUNDS, 0.0, SECONDS)
