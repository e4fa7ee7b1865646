"""One contender's part of a round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from redis import Redis

from asrq_worker.bench.manifest import Clip
from systems import phases
from systems.audio import Collected, seconds
from systems.contender import Contender
from systems.phases import Killed, Loaded, Stretch
from systems.running import Running, running

_SIZES = (2, 4, 8, 16)


@dataclass(frozen=True)
class Extent:
    """How much is measured. `alone`: clips for latencies, one every `every_s` where files run."""

    alone: int
    every_s: float
    patience_s: float
    """How long a contender may give no answer before what it owes counts as lost."""


@dataclass(frozen=True)
class Measured:
    """All of a round; what is None was not to be measured: for lack of files, or of anything of its own to measure."""

    start_s: float
    stream: Stretch
    alone_s: list[float]
    long: Stretch | None
    loaded: Loaded | None
    peak_mb: int
    invented_in_silence: int | None = None
    invented_in_noise: int | None = None
    killed: Killed | None = None


def measure(
    contender: Contender,
    audio: Collected,
    extent: Extent,
    env: Mapping[str, str],
    redis: Redis,
    log: Path,
    *,
    first: bool,
) -> Measured:
    """Measure a contender.

    Raises:
        DiedError, NoAnswerError: it does not live through it.
    """
    few = _few(audio.clips, extent.alone)
    with running(contender, env, redis, log) as host:
        start_s = phases.started(host, audio.clips[0])
        stream = phases.stream(host, audio.clips)
        alone_s = phases.alone(host, few)
        hears = contender.hears
        long = phases.stream(host, audio.long) if hears and audio.long else None
        silence, noise = (_invented(host, files) if hears and first else None for files in (audio.silent, audio.noisy))
        loaded = None
        if contender.queues and audio.long:
            loaded = phases.loaded(host, audio.long, few, every_s=extent.every_s)
        peak_mb = host.peak_mb
    killed = None
    if contender.queues and first:
        with running(contender, env, redis, log) as host:
            phases.started(host, audio.clips[0])
            killed = phases.killed(host, audio.clips, patience_s=extent.patience_s)
    return Measured(start_s, stream, alone_s, long, loaded, peak_mb, silence, noise, killed)


def best_batch(
    contender: Contender, long: Sequence[Clip], env: Mapping[str, str], redis: Redis, log: Path
) -> dict[int, float]:
    """Return the seconds that the shortest long file takes at each size of batch.

    Raises:
        DiedError, NoAnswerError: it does not live through it.
    """
    file = min(long, key=seconds)
    found = {}
    for size in _SIZES:
        with running(contender, {**env, "BENCH_BATCH": str(size)}, redis, log) as host:
            phases.started(host, file)
            found[size] = phases.stream(host, [file]).wall_s
    return found


def _invented(host: Running, files: Sequence[Clip]) -> int | None:
    return phases.invented(host, files) if files else None


def _few(clips: Sequence[Clip], most: int) -> list[Clip]:
    """Every n-th clip: of all languages and speakers."""
    return list(clips[:: max(1, -(-len(clips) // most))])
