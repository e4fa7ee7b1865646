"""What a machine takes from the settings."""

from __future__ import annotations

import math

import pytest

from asrq_jobs.settings import Settings
from asrq_worker.job.transcriber import _batch_bound_s, backend_config


@pytest.mark.parametrize(
    ("lanes", "queue", "bound_s"),
    [
        ("interactive:2,batch:6", True, 3.0),
        ("interactive:2", True, 3.0),
        ("batch:6", True, math.inf),
        ("interactive:0,batch:6", True, math.inf),
        ("interactive:2,batch:6", False, math.inf),
    ],
)
def test_batches_have_a_bound_where_somebody_may_dictate(lanes: str, queue: bool, bound_s: float) -> None:
    assert _batch_bound_s(Settings(lanes=lanes, batch_s=3.0), queue=queue) == bound_s


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, (1, 0, True)),
        ({"cpu_threads": 2}, (2, 0, False)),
        ({"cpu_threads": 1}, (1, 0, False)),
        ({"parallel": 3}, (1, 3, False)),
        ({"cpu_threads": 2, "parallel": 1}, (2, 1, False)),
    ],
)
def test_what_is_set_is_not_measured(settings: dict[str, int], expected: tuple[int, int, bool]) -> None:
    config = backend_config(Settings(**settings), "whisper")
    assert (config.cpu_threads, config.parallel, config.tune) == expected
