"""A worker and a reaper whose clock is wrong say so: in their log and on /readyz."""

from __future__ import annotations

import sys

import pytest
from conftest import free_port
from integration.monitor.asking import ask, failing
from integration.worker.processes import Process
from redis import Redis
from waiting import until

from asrq_worker.queue import clock

LATE = """
import sys, time
real = time.time
time.time = lambda: real() - 8.0
from asrq_jobs.cli import main
sys.argv[:] = ["asrq", *sys.argv[1:]]
sys.exit(main())
"""


def test_the_clock_of_this_machine_is_that_of_a_server_here(redis: Redis) -> None:
    measured = clock.measure(redis)
    assert abs(measured.ahead_s) <= measured.uncertain_s + 0.1


@pytest.mark.parametrize(
    "command", [("worker", "--backend", "fake", "--model", "m"), ("reaper",)], ids=lambda each: each[0]
)
def test_a_wrong_clock_is_named(valkey_url: str, command: tuple[str, ...]) -> None:
    port = free_port()
    env = {"ASRQ_REDIS_URL": valkey_url, "ASRQ_DECODERS": "1", "ASRQ_METRICS_PORT": str(port)}
    running = Process("-c", LATE, *command, env=env, program=sys.executable)
    try:
        told = running.wait_for("clock.off")
        assert float(str(told["ahead_s"])) == pytest.approx(-8.0, abs=1.0)
        until(lambda: failing(port) == ["clock"])
        [message] = [check["message"] for check in ask(port, "/readyz")[1]["checks"] if check["name"] == "clock"]
        assert message.startswith("The clock of this machine is ")
        assert "behind that of Redis" in message
        assert failing(port, "/healthz") == []
        assert running.end() == 0
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait(60)
