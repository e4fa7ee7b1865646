"""Short chaos runs; `make chaos` runs longer ones."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from chaos.run import Plan, run
from support.needs import missing
from support.server import SERVERS
from support.subjects import subject

PLANS = [
    Plan(seconds=12, seed=7, workers=2, lease_s=3, kill_every_s=1.2, jobs_per_second=4),
    Plan(
        seconds=10,
        seed=3,
        workers=2,
        lease_s=3,
        kill_every_s=1.2,
        jobs_per_second=1.5,
        backend="whisper",
        server="redis",
    ),
]


@pytest.mark.timeout(1800)  # for what hangs: it is over when its jobs are, however long a machine takes for them
@pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them")
@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.backend)
def test_every_job_ends_once_and_nothing_is_left(plan: Plan, tmp_path: Path) -> None:
    if SERVERS[plan.server]() is None:
        missing(f"a {plan.server} server")
    if lacking := subject(plan.backend).missing:
        missing(lacking)
    summary = run(plan, tmp_path)
    print(summary)  # pytest shows it with a failure
    assert summary.problems == []
    assert summary.jobs > plan.seconds * plan.jobs_per_second / 2
    assert summary.kills >= 5
