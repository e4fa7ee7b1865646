"""What happens in a run beside its schedule: jobs, what clients and operators do with them, and what may fail."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from simulation import uploads
from simulation.dictation import AUDIO
from simulation.facts import GROUP
from simulation.hosts import Script

from asrq_jobs.request import LANES, PathAudio, Request

CRASHES = ("crash", "crashed")
ANSWERS = ("unsent", "unheard")
STANDSTILLS = ("still", "away", "outage")
LOSSES = ("lost writes",)
CLOCKS = ("jump",)
FAULTS = (*CRASHES, *ANSWERS, *STANDSTILLS, *LOSSES, *CLOCKS)
"""What may go wrong, see `run.py`."""
AHEAD_S = (0.0, 0.0, 3600.0, -3600.0, 8 * 86_400.0)
"""How far the clocks of hosts are ahead."""
_WHERE = ("LMOVE", "begin", "note", "end_execution", "renew", "recover_dequeued")
_STEPS = ("cancel", "cancel", "retry", "wait", "submit", "purge", "erase")


@dataclass(frozen=True)
class Step:
    """Somebody does something to a job, so many seconds after what they did before."""

    after_s: float
    what: str


@dataclass(frozen=True)
class Scenario:
    """`clients` are lists of what each does, with the job; `workers` the lanes of each worker's slots."""

    requests: tuple[Request, ...]
    scripts: dict[str, Script]
    clients: tuple[tuple[str, tuple[Step, ...]], ...]
    workers: tuple[tuple[str, ...], ...] = (("batch",), ("batch",))
    special: tuple[bool, ...] = (False, False)
    """Which of the workers can serve only jobs in English."""
    reapers: int = 2
    faults: tuple[str, ...] = ()
    most_faults: int = 0
    at: tuple[str, ...] = ()
    """The steps at which something may fail, by how they begin; none: any."""
    receiver_fails: int = 0
    lengths_s: tuple[float, ...] = field(default=(2.0, 8.0, 20.0, 40.0))
    """How long standstills last."""
    blob_ttl_s: int = 86_400
    """How long an upload is kept that nobody renews."""


def job(number: int, *, lane: str = "batch", language: str = "en", **options: object) -> Request:
    """A request."""
    named = {"id": f"job{number}", "audio": PathAudio(path=f"/audio/{number}"), "lane": lane, "language": language}
    return Request.build(**(named | options))


def drawn(source: random.Random, kind: str | None = None) -> Scenario:
    """Draw one. Each is of another kind: few things at once find more than all ("swarm testing", Groce et al. 2012)."""
    return KINDS[kind or source.choice(tuple(KINDS))](source)


def _mixed(source: random.Random) -> Scenario:
    """Something of everything."""
    count = source.choice([1, 1, 2, 2, 3, 4])
    lane = source.choice(LANES)
    requests, scripts, clients = [], {}, []
    special = source.random() < 0.3
    for number in range(count):
        options: dict[str, object] = {"lane": lane if source.random() < 0.8 else source.choice(LANES)}
        if source.random() < 0.3:
            options["webhook"] = "http://receiver/"
        if source.random() < 0.15:
            options["queue_ttl_s"] = source.choice([3, 10, 30])
        if special and source.random() < 0.5:
            options["language"] = "ru"
        if source.random() < 0.3:
            options["audio"] = uploads.AUDIO[number % len(uploads.AUDIO)]
        request = job(number, **options)
        requests.append(request)
        scripts[request.id] = _script(source)
        clients.append((request.id, (Step(source.choice([0.0, 0.0, 0.5, 3.0]), "submit"), *_steps(source))))
        if source.random() < 0.4:
            clients.append((request.id, _steps(source, least=1)))
    kinds = source.sample(FAULTS, source.choice([0, 1, 1, 2, 3]))
    if source.random() < 0.7 and "lost writes" in kinds:
        kinds.remove("lost writes")
    slots = (lane,) if source.random() < 0.7 else (lane, lane)
    others = tuple(name for name in LANES if any(request.lane == name for request in requests) and name != lane)
    return Scenario(
        requests=tuple(requests),
        scripts=scripts,
        clients=tuple(clients),
        workers=((*slots, *others), (lane, *others)),
        special=(special, False),
        reapers=source.choice([1, 1, 2]),
        faults=tuple(kinds),
        most_faults=source.choice([1, 2, 3, 5]) if kinds else 0,
        receiver_fails=source.choice([0, 0, 1, 2]),
    )


def _small(
    source: random.Random, chunks: Sequence[float], ends: Sequence[str], steps: Sequence[Step], *,
    audio: Mapping[str, object] | None = None, **more: Any,
) -> Scenario:  # fmt: skip
    """One job, two workers."""
    options = {"webhook": "http://receiver/"} if source.random() < 0.3 else {}
    request = job(0, **options, **(_audio(source) if audio is None else audio))
    clients = [(request.id, (Step(0.0, "submit"), *steps))]
    defaults: dict[str, Any] = {"reapers": source.choice([1, 2]), "most_faults": source.choice([1, 2, 3])}
    return Scenario((request,), {request.id: Script(tuple(chunks), tuple(ends))}, tuple(clients), **(defaults | more))


def _late(source: random.Random) -> Scenario:
    """A worker, or the reaper, stands still or is cut off in the middle of something, and comes back."""
    faults = source.choice([("still",), ("still",), ("still",), ("away",), ("crashed", "still"), ("outage",)])
    chunks = source.choice([(0.1,), (1.0, 1.0), (12.0,), (20.0,)])
    ends = source.choice([(), ("bad",), ("bad",), ("again", "again", "again"), ("again",)])
    steps = _steps(source) if source.random() < 0.5 else ()
    return _small(source, chunks, ends, steps, faults=faults, at=_at(source), lengths_s=(14.0, 17.0, 24.0, 30.0, 45.0))


def _revived(source: random.Random) -> Scenario:
    """A worker stands still for a little longer than its lease, and the reaper as it acts upon that."""
    at = ("renew", "end_execution")
    return _small(
        source, (40.0,), (), (), reapers=1, faults=("still",), at=at, most_faults=2, lengths_s=(16.0, 17.0, 19.0)
    )


def _overtaken(source: random.Random) -> Scenario:
    """A slot stands still between its dequeue and the start, for so long that another has the job."""
    ends = source.choice([(), ("bad",), ("again",)])
    chunks = source.choice([(0.1,), (20.0,)])
    return _small(
        source, chunks, ends, (), faults=("still",), at=("begin",), most_faults=1, lengths_s=(24.0, 30.0, 45.0)
    )


def _woken(source: random.Random) -> Scenario:
    """A worker stands still as it tells of its work, and wakes when another is at the same job, or has ended it."""
    ends = source.choice([(), ("bad",), ("again", "again")])
    at = source.choice([("note",), ("end_execution",), ("note", "end_execution")])
    return _small(
        source, (20.0,), ends, (), faults=("still",), at=at, most_faults=1, lengths_s=(17.0, 20.0, 24.0, 45.0)
    )


def _unheard(source: random.Random) -> Scenario:
    """Answers are lost, so that commands come again."""
    chunks = source.choice([(0.1,), (12.0,), (1.0, 1.0)])
    ends = source.choice([(), (), ("bad",), ("again",)])
    return _small(source, chunks, ends, _steps(source), faults=source.choice([("unheard",), ANSWERS]), at=_at(source))


def _killed(source: random.Random) -> Scenario:
    """Workers die, again and again."""
    chunks = source.choice([(0.1,), (12.0,), (1.0, 6.0)])
    steps = _steps(source) if source.random() < 0.5 else ()
    faults = source.choice([("crashed",), CRASHES])
    return _small(source, chunks, (), steps, faults=faults, at=_at(source), most_faults=source.choice([1, 2, 4, 5]))


def _at(source: random.Random) -> tuple[str, ...]:
    return source.choice([(), (), *((step,) for step in _WHERE)])


def _canceled(source: random.Random) -> Scenario:
    """Canceled, retried and submitted again, by several at once, while answers are lost."""
    request = job(0, **_audio(source))
    steps = ("cancel", "cancel", "retry", "retry", "submit", "purge")
    clients = [(request.id, (Step(0.0, "submit"),))]
    for _ in range(source.choice([1, 2, 3])):
        acts = tuple(Step(_wait(source), source.choice(steps)) for _ in range(source.choice([1, 2, 4])))
        clients.append((request.id, acts))
    faults = source.choice([(), (), ANSWERS, ("unheard",), CRASHES, ("still",)])
    scripts = {
        request.id: Script(source.choice([(0.1,), (1.0,), (20.0,)]), source.choice([(), ("bad",), ("again", "bad")]))
    }
    at = _at(source) if source.random() < 0.5 else ()
    most = source.choice([1, 2, 4])
    return Scenario((request,), scripts, tuple(clients), reapers=1, faults=faults, at=at, most_faults=most)


def _erased(source: random.Random) -> Scenario:
    """Erased while it waits, runs or has ended, submitted again under its id, and worked on by who was late."""
    steps = tuple(Step(_wait(source), what) for what in ("erase", "submit", "erase")[: source.choice([1, 2, 2, 3])])
    chunks = source.choice([(0.1,), (1.0, 1.0), (20.0,)])
    ends = source.choice([(), ("bad",), ("again",)])
    faults = source.choice([(), ("still",), ("still",), ("unheard",), CRASHES])
    if source.random() < 0.3:
        return _small(source, chunks, ends, steps, audio={"audio": uploads.AUDIO[0]}, faults=("still",), at=("reuse",))
    return _small(source, chunks, ends, steps, faults=faults, at=_at(source))


def _short_of_time(source: random.Random) -> Scenario:
    """Jobs that may wait for a moment only, and one slot."""
    requests = tuple(job(number, queue_ttl_s=source.choice([1, 2, 4])) for number in range(source.choice([1, 2, 3])))
    scripts = {
        request.id: Script((source.choice([0.1, 1.0, 3.0]),), source.choice([(), ("again",)])) for request in requests
    }
    clients = tuple((request.id, (Step(0.0, "submit"), *_steps(source))) for request in requests)
    faults = source.choice([(), ("still",), ("still",), CRASHES])
    at = source.choice([(), ("end_execution",), ("end_execution", "begin")])
    return Scenario(
        requests, scripts, clients, workers=(("batch",),), special=(False,), reapers=source.choice([1, 2]),
        faults=faults, at=at, most_faults=source.choice([1, 2, 3]), lengths_s=(1.0, 2.0, 4.0, 8.0),
    )  # fmt: skip


def _crowded(source: random.Random) -> Scenario:
    """More jobs than slots, so that their order shows."""
    requests = tuple(job(number) for number in range(source.choice([3, 4, 5])))
    scripts = {
        request.id: Script((source.choice([0.1, 1.0, 6.0]),), source.choice([(), ("bad",), ("again",)]))
        for request in requests
    }
    clients = tuple((request.id, (Step(0.0, "submit"), *_steps(source))) for request in requests)
    faults = source.choice([(), ("crashed",), CRASHES, ("still",), ("away",)])
    return Scenario(
        requests, scripts, clients, workers=(("batch",),), special=(False,), reapers=1,
        faults=faults, most_faults=source.choice([1, 2]), lengths_s=(20.0, 30.0),
    )  # fmt: skip


def _grouped(source: random.Random) -> Scenario:
    """Jobs of a group of which one may be missing, and what becomes of them is changed again."""
    count = source.choice([1, 2, 2, 3])
    group = {
        "id": GROUP,
        "size": count + source.choice([0, 0, 0, 1]),
        "webhook": source.choice([None, *["http://r/"] * 3]),
    }
    requests = tuple(
        job(number, group=group, queue_ttl_s=source.choice([None, None, None, 2])) for number in range(count)
    )
    scripts = {request.id: _script(source) for request in requests}
    clients = [(request.id, (Step(source.choice([0.0, 0.0, 3.0]), "submit"), *_steps(source))) for request in requests]
    if source.random() < 0.4:
        clients.append((requests[0].id, _steps(source, least=1)))
    faults = source.choice([(), ANSWERS, ("unheard",), CRASHES, ("crashed",), ("still",), ("outage",), LOSSES])
    at = source.choice([(), (), ("end_execution",), ("tell_group",), ("cancel", "erase", "retry", "submit")])
    return Scenario(
        requests, scripts, tuple(clients), reapers=source.choice([1, 2]), faults=faults, at=at,
        most_faults=source.choice([1, 2, 3]), receiver_fails=source.choice([0, 0, 1]),
    )  # fmt: skip


def _touched(source: random.Random) -> Scenario:
    """RQ's own tools are used on a job that waits or runs."""
    request = job(0, group={"id": GROUP, "size": 1, "webhook": "http://receiver/"})
    clients = [(request.id, (Step(0.0, "submit"), *_steps(source)))]
    for _ in range(source.choice([1, 2])):
        first = source.choice(["rq cancel", "rq cancel", "rq delete"])
        second = {"rq cancel": source.choice(["rq requeue", "retry"]), "rq delete": "submit"}[first]
        clients.append((request.id, (Step(_wait(source), first), Step(source.choice([0.0, 1.0]), second))))
    scripts = {request.id: Script((source.choice([1.0, 6.0, 20.0]),), source.choice([(), ("bad",)]))}
    faults = source.choice([(), CRASHES, ("still",)])
    return Scenario((request,), scripts, tuple(clients), reapers=1, faults=faults, most_faults=source.choice([1, 2]))


def _dictated(source: random.Random) -> Scenario:
    """Somebody speaks, goes away and perhaps comes back; another sends what nobody should."""
    options = {"webhook": "http://receiver/"} if source.random() < 0.3 else {}
    request = job(0, audio=AUDIO, **options)
    first, then = source.choice([("dictate", "wait"), ("dictate half", "dictate"), ("dictate half", "wait")])
    clients = [(request.id, (Step(0.0, first), Step(_wait(source), then), *_steps(source)))]
    if source.random() < 0.7:
        steps = ("stray", "stray", "stray", "cancel", "retry", "erase")
        acts = tuple(
            Step(source.choice([1.0, 2.0, 5.0]), source.choice(steps)) for _ in range(source.choice([1, 3, 4]))
        )
        clients.append((request.id, acts))
    faults = source.choice([(), ANSWERS, ("unheard",), ("crashed",), CRASHES, ("still",), ("outage",), LOSSES, FAULTS])
    ends = source.choice([(), (), ("again",), ("bad",)])
    return Scenario(
        (request,), {request.id: Script(source.choice([(), (6.0,)]), ends)}, tuple(clients),
        reapers=source.choice([1, 2]), faults=faults,
        at=source.choice([(), (), ("append",), ("note",), ("end_execution",)]), most_faults=source.choice([1, 2, 3]),
    )  # fmt: skip


def _talked_over(source: random.Random) -> Scenario:
    """A recording has ended and is still to be heard, and somebody sends more of it."""
    request = job(0, audio=AUDIO)
    strays = tuple(Step(source.choice([1.0, 3.0, 8.0]), "stray") for _ in range(5))
    faults = source.choice([(), ("still",), ("crashed",), ANSWERS])
    return Scenario(
        (request,), {request.id: Script((20.0,), source.choice([(), ("again",)]))},
        ((request.id, (Step(0.0, "dictate"),)), (request.id, strays)),
        reapers=1, faults=faults, at=("append", "note"), most_faults=1,
    )  # fmt: skip


def _hesitating(source: random.Random) -> Scenario:
    """Somebody is silent for about as long as one may."""
    request = job(0, audio=AUDIO)
    faults = source.choice([(), (), ("still",), ("outage",)])
    return Scenario(
        (request,), {request.id: Script(())}, ((request.id, (Step(0.0, "hesitate"),)),), reapers=1, faults=faults,
        at=("append",), most_faults=1, lengths_s=(2.0, 8.0),
    )  # fmt: skip


def _uploaded(source: random.Random) -> Scenario:
    """Several jobs of one upload: some end while others still need it, or look for its text."""
    count = source.choice([2, 2, 3])
    requests = tuple(job(number, audio=uploads.AUDIO[0]) for number in range(count))
    chunks = source.choice([(0.1,), (1.0, 1.0), (6.0,), (20.0,)])
    scripts = {
        request.id: Script(chunks, source.choice([(), (), ("bad",), ("again",), ("again", "bad")]))
        for request in requests
    }
    steps = ("erase", "erase", "erase", "cancel", "retry", "purge", "upload", "submit")
    clients = [
        (
            request.id,
            (
                Step(source.choice([0.0, 0.0, 3.0, 10.0]), "submit"),
                *(Step(_wait(source), source.choice(steps)) for _ in range(source.choice([0, 1, 1, 2]))),
            ),
        )
        for request in requests
    ]
    faults = source.choice([(), (), ANSWERS, ("unheard",), CRASHES, ("crashed",), ("still",), LOSSES])
    return Scenario(
        requests, scripts, tuple(clients), reapers=1, faults=faults,
        at=source.choice([(), (), ("end_execution",), ("reuse",), ("erase", "submit")]),
        most_faults=source.choice([1, 2, 3]),
    )  # fmt: skip


def _kept(source: random.Random) -> Scenario:
    """A job takes longer, or waits for longer, than an upload is kept that nobody renews."""
    count = source.choice([1, 2])
    requests = tuple(job(number, audio=uploads.AUDIO[number]) for number in range(count))
    scripts = {request.id: Script((100.0,), source.choice([(), ("again",)])) for request in requests}
    again = tuple(Step(source.choice([30.0, 45.0]), "upload") for _ in range(source.choice([0, 0, 1, 2, 3])))
    clients = tuple((request.id, (Step(0.0, "submit"), *again)) for request in requests)
    faults = source.choice([(), ("crashed",), CRASHES, ("unheard",), ("still",)])
    return Scenario(
        requests, scripts, clients, workers=(("batch",),), special=(False,), reapers=source.choice([1, 2]),
        faults=faults, at=("EXPIRE", "MULTI"), most_faults=1, lengths_s=(2.0, 8.0), blob_ttl_s=80,
    )  # fmt: skip


def _audio(source: random.Random) -> dict[str, object]:
    return {"audio": uploads.AUDIO[0]} if source.random() < 0.4 else {}


def _script(source: random.Random) -> Script:
    chunks = tuple(source.choice([0.1, 0.1, 1.0, 6.0, 20.0]) for _ in range(source.choice([1, 1, 2, 3])))
    ends = source.choices(["well", "again", "bad"], [6, 3, 1], k=source.choice([0, 0, 1, 2, 4]))
    return Script(chunks, tuple(ends))


def _steps(source: random.Random, *, least: int = 0) -> tuple[Step, ...]:
    count = max(least, source.choice([0, 0, 1, 2, 3]))
    return tuple(Step(_wait(source), source.choice(_STEPS)) for _ in range(count))


def _wait(source: random.Random) -> float:
    return source.choice([0.0, 0.0, 0.2, 1.0, 3.0, 10.0, 20.0])


KINDS: Mapping[str, Callable[[random.Random], Scenario]] = {
    "mixed": _mixed,
    "late": _late,
    "revived": _revived,
    "overtaken": _overtaken,
    "woken": _woken,
    "unheard": _unheard,
    "killed": _killed,
    "canceled": _canceled,
    "erased": _erased,
    "short of time": _short_of_time,
    "crowded": _crowded,
    "grouped": _grouped,
    "touched": _touched,
    "uploaded": _uploaded,
    "kept": _kept,
    "dictated": _dictated,
    "talked over": _talked_over,
    "hesitating": _hesitating,
}
"""Kinds of scenarios."""
