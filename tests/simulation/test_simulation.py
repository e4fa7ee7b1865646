"""Schedules, at random and those of a small world: nothing may break, and what is broken on purpose is found."""

from __future__ import annotations

import time
from itertools import count

import pytest
from conftest import REPO
from redis import Redis
from simulation.exhaustive import schedules, small
from simulation.explore import run, shortened, told
from simulation.mutants import MUTANTS, Mutant
from simulation.scenario import Step

_SECONDS = 30.0  # on each server; `make simulate` takes as long as one likes
_FOUND_S = 60.0  # of one core, whatever else it does


def test_no_schedule_breaks_anything(server: str) -> None:
    """The same each time: what is found rarely is no fault of the change that is tested. `make simulate` has others."""
    end = time.monotonic() + _SECONDS
    with Redis.from_url(server) as redis:
        for seed in count(1):
            outcome = run(redis, server, seed)
            if outcome.wrong:
                raise AssertionError(told(seed, shortened(redis, server, seed, outcome)))
            if time.monotonic() > end:
                return


@pytest.mark.parametrize(
    ("steps", "faults", "most", "turns"),
    [
        ((), ("crashed", "unheard", "still"), 2, 0),
        ((), (), 0, 2),
        ((Step(0.5, "cancel"), Step(1.0, "retry")), ("crash", "crashed"), 2, 0),
        ((Step(0.5, "cancel"), Step(1.0, "retry")), ("unheard", "unsent", "still"), 1, 0),
        ((Step(1.0, "cancel"), Step(0.0, "retry")), (), 0, 2),  # as the job ends
        ((Step(1.0, "cancel"), Step(0.0, "retry")), ("unheard",), 1, 1),
        ((Step(0.0, "cancel"), Step(0.0, "retry")), ("unheard", "still"), 2, 0),
        ((Step(0.0, "cancel"), Step(0.0, "retry")), ("crashed",), 1, 1),
        ((Step(0.0, "rq cancel"), Step(0.0, "retry")), (), 0, 1),
    ],
)
@pytest.mark.timeout(600)  # a busy machine needs long for all of them
def test_no_schedule_of_a_small_world_breaks_anything(
    valkey: str, steps: tuple[Step, ...], faults: tuple[str, ...], most: int, turns: int
) -> None:
    with Redis.from_url(valkey) as redis:
        world = small(chunks=(1.0,), steps=steps, faults=faults, most=most)
        for outcome in schedules(redis, valkey, world, turns=turns):
            assert outcome.wrong is None, "\n".join(outcome.trace)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_what_is_broken_is_found(valkey: str, mutant: Mutant) -> None:
    end = time.process_time() + _FOUND_S
    with Redis.from_url(valkey) as redis:
        with mutant.made():
            for seed in count(1):
                if run(redis, valkey, seed, kind=mutant.kind, change=mutant.change).wrong:
                    break
                assert time.process_time() < end, f"{seed} schedules, and nothing is found"
        assert run(redis, valkey, seed, kind=mutant.kind).wrong is None, f"seed {seed} fails without it as well"


def test_the_documents_say_how_many_mistakes_are_made() -> None:
    text = (REPO / "docs" / "explanation" / "guarantees.md").read_text(encoding="utf-8")
    assert f"And {len(MUTANTS)} mistakes made on" in text


def test_a_seed_is_a_schedule(valkey: str) -> None:
    with Redis.from_url(valkey) as redis:
        seed = next(seed for seed in count(1) if any("crash" in line for line in run(redis, valkey, seed).trace))
        once, again = run(redis, valkey, seed), run(redis, valkey, seed)
        replayed = run(redis, valkey, seed, choices=once.choices)
    assert once == again
    assert replayed.trace == once.trace
