"""Systems that transcribe, side by side: the same model, clips and options, one after the other in rounds.

    PYTHONPATH=ops/bench python -m systems [--manifest FILE] [--model NAME] [--rounds N] [--output FILE] …

Without a manifest it takes the two clips of this repository. What a contender needs is installed into a temporary
folder, which goes at the end. Prints tables; `--output` gets every figure of every round as JSON.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import json
import os
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from redis import Redis

from asrq_jobs import configuration
from asrq_jobs.errors import AsrqError
from asrq_worker.backends.cores import usable_cores
from asrq_worker.backends.whisper import models
from asrq_worker.bench import hardware
from asrq_worker.embedded.valkey import EmbeddedValkey
from systems import report
from systems.audio import Collected, collect, own_manifest
from systems.contender import ABSENT, CONTENDERS, install
from systems.measurement import Extent, Measured, best_batch, measure
from systems.phases import NoAnswerError
from systems.running import DiedError

_OPS = Path(__file__).resolve().parents[1]
_VERSIONS = ("asrq", "faster-whisper", "ctranslate2", "rq")


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m systems", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--manifest", type=Path, help="as for `asrq bench`, with kinds clip, long, noisy and bad")
    parser.add_argument("--model", default="base", help="what faster-whisper and asrq load (%(default)s)")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--compute-type", help="default: int8 on a CPU, float16 on CUDA")
    parser.add_argument("--threads", type=int, default=usable_cores(), help="of one decode, but for asrq (%(default)s)")
    parser.add_argument(
        "--batch", type=int, help="of BatchedInferencePipeline; default: its best for a long file, else 8"
    )
    parser.add_argument("--contender", choices=CONTENDERS, action="append", help="may be repeated; default: all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clips", type=int, default=16, help="of each language (%(default)s)")
    parser.add_argument("--alone", type=int, default=8, help="clips for latencies (%(default)s)")
    parser.add_argument("--every", type=float, default=3.0, help="seconds between clips where files run (%(default)s)")
    parser.add_argument("--patience", type=float, default=90.0, help="seconds to wait after a kill -9 (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="one round, two clips of each language")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write JSON there")
    given = parser.parse_args(arguments)
    if given.quick:
        given.rounds, given.clips, given.alone = 1, 2, 2
    given.compute_type = given.compute_type or ("int8" if given.device == "cpu" else "float16")
    return given


def environment(given: argparse.Namespace, url: str, folder: Path, name: str) -> dict[str, str]:
    """Return the environment of a contender; asrq's settings are those of this process, less what all share."""
    model = models.resolve(given.model, model_dir=configuration.load().model_dir).path
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(folder / name), str(_OPS)]),
        "TMPDIR": str(folder),
        "BENCH_REDIS_URL": url,
        "BENCH_MODEL": str(model),
        "BENCH_DEVICE": given.device,
        "BENCH_COMPUTE": given.compute_type,
        "BENCH_THREADS": str(given.threads),
        "BENCH_BATCH": str(given.batch or 8),
        "RQ_REDIS_URL": url,
        "ASRQ_REDIS_URL": url,
        "ASRQ_MODEL": given.model,
        "ASRQ_DEVICE": given.device,
        "ASRQ_COMPUTE_TYPE": given.compute_type,
        "ASRQ_CACHE_TTL_S": "0",  # the same clips are heard again and again
        "ASRQ_LOG_LEVEL": "error",
    }


def compete(
    given: argparse.Namespace, audio: Collected, folder: Path, url: str
) -> tuple[list[dict[str, Measured]], dict[str, str]]:
    """Measure all contenders, round by round; return the rounds, and why others were not measured."""
    extent = Extent(given.alone, given.every, given.patience)
    names = given.contender or list(CONTENDERS)
    absent = {} if given.contender else dict(ABSENT)
    for name in names:
        if reason := install(CONTENDERS[name], folder / name):
            absent[name] = reason
    rounds: list[dict[str, Measured]] = []
    with Redis.from_url(url) as redis:
        if given.batch is None and "batched" in names and audio.long:
            given.batch = tuned(audio, environment(given, url, folder, "batched"), redis, folder)
        for number in range(given.rounds):
            rounds.append({})
            turned = names[number % len(names) :] + names[: number % len(names)]  # nobody is always the first
            for name in [each for each in turned if each not in absent]:
                tell(f"round {number + 1} of {given.rounds}: {name}")
                log = folder / f"{name}.log"
                env = environment(given, url, folder, name)
                try:
                    rounds[-1][name] = measure(CONTENDERS[name], audio, extent, env, redis, log, first=number == 0)
                except (DiedError, NoAnswerError) as error:
                    absent[name] = f"in round {number + 1}: {error}"
                    tell(f"{name} {absent[name]}")
    return rounds, absent


def tuned(audio: Collected, env: Mapping[str, str], redis: Redis, folder: Path) -> int | None:
    """Return the best size of batch for a long file; None if that cannot be measured."""
    tell("batched: which size of batch is best")
    try:
        times = best_batch(CONTENDERS["batched"], audio.long, env, redis, folder / "batched.log")
    except (DiedError, NoAnswerError):  # and so it will in the first round, which tells
        return None
    tell(", ".join(f"{size}: {wall_s:.1f} s" for size, wall_s in times.items()))
    return min(times, key=lambda size: times[size])


def document(
    given: argparse.Namespace,
    audio: Collected,
    rounds: Sequence[Mapping[str, Measured]],
    absent: Mapping[str, str],
    machine: Mapping[str, str],
) -> dict[str, Any]:
    """Return everything that was measured, and how."""
    names = [name for name in CONTENDERS if any(name in each for each in rounds)]
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": dict(machine),
        "versions": {name: importlib.metadata.version(name) for name in _VERSIONS},
        "installed": {name: [*CONTENDERS[name].packages, *CONTENDERS[name].alone] for name in names},
        "options": {name: str(value) for name, value in vars(given).items()},
        "files": {name: [clip.name for clip in getattr(audio, name)] for name in vars(audio)},
        "not_measured": dict(absent),
        "summary": report.summary(rounds, names, languages(audio)),
        "rounds": [{name: dataclasses.asdict(found) for name, found in each.items()} for each in rounds],
    }


def languages(audio: Collected) -> list[str]:
    """Return the languages of the clips, in their order."""
    return list(dict.fromkeys(clip.language for clip in audio.clips))


def tell(step: str) -> None:
    """Say on stderr what is going on."""
    print(step, file=sys.stderr, flush=True)


def main() -> None:
    """Run and print."""
    given = options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    machine = hardware.describe()
    try:
        with tempfile.TemporaryDirectory(prefix="asrq-systems-") as name, EmbeddedValkey() as url:
            folder = Path(name)
            manifest = given.manifest or own_manifest(folder)
            audio = collect(manifest, ["en"] if given.model.endswith(".en") else ["en", "ru"], given.clips)
            rounds, absent = compete(given, audio, folder, url)
    except AsrqError as error:
        sys.exit(f"{error.code}: {error.message} {error.hint or ''}".strip())
    found = document(given, audio, rounds, absent, machine)
    if given.output:
        given.output.write_text(json.dumps(found, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    titles = {name: CONTENDERS[name].title for name in found["summary"]}
    print("; ".join(f"{name} {value}" for name, value in {**found["machine"], **found["versions"]}.items()))
    print("; ".join(f"{name} {value}" for name, value in found["options"].items() if name != "output"))
    print(f"\n{report.render(rounds, titles, languages(audio))}\n")
    for name, reason in absent.items():
        print(f"Not measured: {name}, {reason}")


if __name__ == "__main__":
    main()
