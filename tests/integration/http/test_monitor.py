"""What a gateway tells at its metrics port."""

from __future__ import annotations

from conftest import free_port

from asrq_jobs.settings import Settings
from asrq_worker.http.service import GatewayMonitor


def test_it_is_ready_while_redis_answers(valkey_url: str) -> None:
    for url, ready in ((valkey_url, True), (f"redis://127.0.0.1:{free_port()}/0", False)):
        monitor = GatewayMonitor(Settings(redis_url=url))
        try:
            assert (monitor.alive().ok, monitor.ready().ok) == (True, ready)
        finally:
            monitor.close()
