"""Looks for a schedule under which something breaks; `make simulate SECONDS=60`, or SEED=7 to see one again."""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Sequence
from itertools import count

from redis import Redis
from simulation.choosers import AtRandom, Replayed
from simulation.run import Run, RunResult
from simulation.scenario import drawn
from simulation.server import Change
from simulation.serving import binary, serving

_SHORTEN_S = 30.0
_SHOWN = 120  # lines of a trace


def run(
    redis: Redis, url: str, seed: int, *, kind: str | None = None, choices: Sequence[int] | None = None,
    change: Change | None = None,
) -> RunResult:  # fmt: skip
    """Run the scenario, of a kind, and the schedule of a seed; with `choices`, its scenario under another schedule."""
    source = random.Random(seed)
    scenario = drawn(source, kind)
    chooser = AtRandom(source) if choices is None else Replayed(choices)
    return Run(redis, url, scenario, chooser, seed).go(change)


def shortened(
    redis: Redis, url: str, seed: int, found: RunResult, *, kind: str | None = None, change: Change | None = None,
    within_s: float = _SHORTEN_S,
) -> RunResult:  # fmt: skip
    """Return a run in which as few choices as possible are unusual, and something is wrong all the same.

    Parts of the unusual choices, halves first, are made the usual ones (Zeller and Hildebrandt 2002, "Simplifying and
    isolating failure-inducing input").
    """
    end, size = time.monotonic() + within_s, len(found.choices)
    while size >= 1:
        at = 0
        while at < len(found.choices) and time.monotonic() < end:
            part = found.choices[at : at + size]
            if any(part):
                tried = (*found.choices[:at], *([0] * len(part)), *found.choices[at + size :])
                outcome = run(redis, url, seed, kind=kind, choices=tried, change=change)
                found = outcome if outcome.wrong else found
            at += size
        size //= 2
    return found


def told(seed: int, outcome: RunResult) -> str:
    """A finding for reading."""
    lines = outcome.trace[-_SHOWN:]
    return "\n".join([*lines, f"seed {seed}: {outcome.wrong}", f"make simulate SEED={seed} shows it again"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Explore until the time is over or something is found."""
    parser = argparse.ArgumentParser(prog="simulation.explore", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, help="only this one, and show what happens")
    parser.add_argument("--first", type=int, default=1, help="seed to begin with")
    parser.add_argument("--server", choices=["valkey", "redis"], default="valkey")
    asked = parser.parse_args(arguments)
    program = binary(asked.server)
    if program is None:
        print(f"There is no {asked.server} here.")
        return 1
    with serving(program) as url, Redis.from_url(url) as redis:
        if asked.seed is not None:
            outcome = run(redis, url, asked.seed)
            print(told(asked.seed, shortened(redis, url, asked.seed, outcome) if outcome.wrong else outcome))
            return int(outcome.wrong is not None)
        return _explore(redis, url, first=asked.first, seconds=asked.seconds)


def _explore(redis: Redis, url: str, *, first: int, seconds: float) -> int:
    end, steps = time.monotonic() + seconds, 0
    for seed in count(first):
        outcome = run(redis, url, seed)
        steps += outcome.steps
        if outcome.wrong:
            print(told(seed, shortened(redis, url, seed, outcome)))
            return 1
        if time.monotonic() > end:
            print(f"seeds {first} to {seed}, {steps} steps: nothing found")
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
