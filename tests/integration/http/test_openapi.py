"""The description at /openapi.json is true: what it allows is answered as it says."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

from redis import Redis
from support.needs import missing

from asrq_jobs import keys
from asrq_jobs.request import LANES

CHECKS = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")


def test_the_description_holds(address: str, redis: Redis) -> None:
    if importlib.util.find_spec("schemathesis") is None:
        missing("schemathesis")
    redis.hset(keys.LIMITS, mapping={f"depth:{lane}": 0 for lane in LANES})  # so that nothing waits for a worker
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{address}/openapi.json", "--no-color"),
        *("--seed=1", "--max-examples=8", "--phases=examples,coverage,fuzzing", f"--checks={','.join(CHECKS)}"),
        *("--request-timeout=20", "--suppress-health-check=all", "--generation-database=none"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=150)
    assert done.returncode == 0, done.stdout + done.stderr
