"""Schedules, at random and all of a small world: nothing may break, and what is broken on purpose is found."""

from __future__ import annotations

import time
from itertools import count

from redis import Redis
from simulation.explore import run, shortened, told

_SECONDS = 25.0  # on each server
_MOST = 400


def test_no_schedule_breaks_anything(server: str) -> None:
    end = time.monotonic() + _SECONDS
    with Redis.from_url(server) as redis:
        for seed in range(1, _MOST):
            outcome = run(redis, server, seed)
            if outcome.wrong:
                raise AssertionError(told(seed, shortened(redis, server, seed, outcome)))
            if time.monotonic() > end:
                return


def test_a_seed_is_a_schedule(valkey: str) -> None:
    with Redis.from_url(valkey) as redis:
        seed = next(seed for seed in count(1) if any("crash" in line for line in run(redis, valkey, seed).trace))
        once, again = run(redis, valkey, seed), run(redis, valkey, seed)
        replayed = run(redis, valkey, seed, choices=once.choices)
    assert once == again
    assert replayed.trace == once.trace
