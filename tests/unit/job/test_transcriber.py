"""What a machine takes from the settings."""

from __future__ import annotations

import math

import pytest

from asrq_jobs.settings import Settings
from asrq_worker.job.transcriber import batch_bound_s


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
    assert batch_bound_s(Settings(lanes=lanes, batch_s=3.0), queue=queue) == bound_s
