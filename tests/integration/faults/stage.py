"""A server, and a host, a reaper and a client that talk to it through a relay."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from redis import Redis
from support.host import Host, Work, serving
from support.ledger import contradictions, leftovers
from support.relay import Relay
from support.server import Server

from asrq_jobs import Client
from asrq_jobs.connection import connect
from asrq_jobs.request import PathAudio
from asrq_jobs.settings import Settings
from asrq_worker.reaper.reaper import Reaper

AUDIO = PathAudio(path="/audio/a.wav")
PASSWORD = "r1ght-secret"  # noqa: S105  # of these servers


@dataclass
class Stage:
    """What a test disturbs (`server`, `relay`) and asks (`host`, `client`); the `operator` is past the relay."""

    server: Server
    relay: Relay
    host: Host
    client: Client
    operator: Redis

    def all_is_well(self, *ids: str) -> None:
        """Wait for these jobs: each must complete at its first attempt, with everything that tells of it."""
        for each in ids:
            result = self.client.wait(each, timeout_s=120)
            assert (result.status, len(result.attempts)) == ("completed", 1)
        assert [wrong for each in ids for wrong in contradictions(self.client, each)] == []


@contextmanager
def staged(
    binary: str, folder: Path, work: Work, *, lease_s: float = 3, slots: int = 2, **options: str
) -> Iterator[Stage]:
    """Have all of it serve jobs until the block ends; then nothing may be left of them. `options` are the server's."""
    server = Server(binary, folder, requirepass=PASSWORD, **options)
    with server as url, Relay(url) as relay, Redis.from_url(url) as operator:
        settings = Settings(redis_url=relay.url, lease_s=lease_s, retry_delay_s=0.05, reaper_interval_s=0.1)
        with Client(settings) as client, connect(settings) as of_host, connect(settings) as of_reaper:
            reaper = Reaper(of_reaper, settings)
            with serving(of_host, settings, work, slots=slots) as host:
                reaper.start()
                try:
                    yield Stage(server, relay, host, client, operator)
                finally:
                    reaper.close()
            assert leftovers(client.redis) == []
