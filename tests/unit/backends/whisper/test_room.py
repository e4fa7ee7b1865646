"""What is heard at once fits into memory, as far as anything does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrq_worker.backends.whisper import room as module

MB = 2**20
BASE = (130 * MB, 22_000)  # bytes for a window, and for a frame


@pytest.mark.parametrize(
    ("free_mb", "decodes", "fixed", "expected"),
    [
        (8000, 2, False, (2, 16_000)),
        (8000, 16, False, (16, 11_214)),
        (4000, 16, False, (16, 5607)),
        (2000, 16, False, (9, 4766)),
        (2000, 16, True, (16, 3000)),
        (300, 2, False, (1, 3574)),
        (100, 2, False, (1, 3000)),
        (0, 4, True, (4, 3000)),
    ],
)
def test_what_fits(free_mb: float, decodes: int, *, fixed: bool, expected: tuple[int, int]) -> None:
    found = module.room(free_mb * MB, module.Need(*BASE), decodes, 1, fixed=fixed)
    assert (found.decodes, found.frames) == expected


@given(
    free_mb=st.floats(0, 1e6),
    window=st.floats(1, 1e9),
    frame=st.floats(1, 1e6),
    decodes=st.integers(1, 128),
    spare=st.integers(0, 1),
)
def test_no_more_is_heard_than_fits(free_mb: float, window: float, frame: float, decodes: int, spare: int) -> None:
    found = module.room(free_mb * MB, module.Need(window, frame), decodes, spare, fixed=False)
    assert 1 <= found.decodes <= decodes
    assert module.WINDOW_FRAMES <= found.frames <= module.MOST_FRAMES
    at_once, free = found.decodes + spare, free_mb * MB * 1.001
    if found.decodes > 1:
        assert at_once * (window + module.WINDOW_FRAMES * frame) <= free
    if found.frames > module.WINDOW_FRAMES:
        assert at_once * found.frames * frame <= free * module.SHARE
