"""When two channels are worth hearing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from asrq_worker.audio.apart import Apart
from asrq_worker.backends.base import Samples

RANDOM = np.random.default_rng(1)
ONE, OTHER, HISS = (RANDOM.normal(0, 0.1, 20_000).astype(np.float32) for _ in range(3))
NOTHING = np.zeros_like(ONE)


def heard(*blocks: Samples) -> tuple[Sequence[int], bool]:
    written: list[list[Samples]] = [[], []]
    apart = Apart([written[0].append, written[1].append])
    for block in blocks:
        apart.write(block)
    both = [np.concatenate(each) for each in written]
    wanted = np.concatenate([block if block.ndim > 1 else np.stack((block, block), axis=1) for block in blocks])
    np.testing.assert_array_equal(np.stack(both, axis=1), wanted)
    return apart.heard()


@pytest.mark.parametrize(
    ("first", "second", "channels"),
    [
        (ONE, OTHER, [0, 1]),
        (ONE, 0.3 * ONE + 0.1 * OTHER, [0, 1]),  # what leaks from the other side
        (ONE, NOTHING, [0, 1]),
        (NOTHING, NOTHING, [0, 1]),
        (ONE, ONE, [0]),
        (ONE, -ONE, [0]),  # wired the wrong way round
        (0.01 * ONE, ONE, [1]),
        (ONE, ONE + 0.03 * HISS, [1]),  # what an encoder makes of it
        (ONE, 0.5 * ONE + 0.02, [0]),  # an offset of the recorder is no sound
    ],
)
def test_channels_that_hold_the_same_are_heard_once(first: Samples, second: Samples, channels: list[int]) -> None:
    blocks = np.split(np.stack((first, second), axis=1).astype(np.float32), 4)
    assert heard(*blocks) == (channels, len(channels) == 1)


def test_sound_of_one_channel_is_no_second_one() -> None:
    assert heard(ONE, OTHER) == ([0], False)
    assert heard(ONE, np.stack((OTHER, HISS), axis=1)) == ([0, 1], False), "two channels from the middle on"
    assert heard(np.zeros((0, 2), dtype=np.float32)) == ([0, 1], False)
