"""What is in Redis of the jobs of a run, read in one step beside all actors."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from redis import Redis

ENDED = {"finished": "completed", "failed": "failed", "canceled": "canceled"}
"""RQ's words for jobs that have ended, with ours."""
COUNTED = ("open", "completed", "failed", "canceled")
"""What becomes of the jobs of a group."""
GROUP = "group"
_SCRIPT = (Path(__file__).parent / "facts.lua").read_text(encoding="utf-8")


class Frame(NamedTuple):
    """An entry of the sound of a live job: its number, whether it is `audio` or `end`, and what it holds."""

    number: str
    kind: str
    value: str


@dataclass(frozen=True)
class JobFacts:
    """A job. `ttls` are those of its hash, events, attempts and chunks: -1 forever, -2 not there, 0 for a while."""

    status: str
    before: int
    enqueued_at: str
    attempts: int
    event: str
    events: int
    result: str
    cancel: int
    ttls: tuple[int, ...]
    frames: tuple[Frame, ...]
    sound_ttl: int
    """Of its frames, as in `ttls`."""

    @property
    def ended(self) -> str | None:
        """How it ended, in our words."""
        return ENDED.get(self.status)

    @property
    def outcome(self) -> dict[str, Any] | None:
        """Its result document."""
        return json.loads(self.result) if self.result else None


@dataclass(frozen=True)
class UploadFacts:
    """An upload. `ttls` are its own and that of `users`, the jobs that may need it, as of jobs; `made_by`: the job that
    others look to for its text."""

    ttls: tuple[int, ...]
    users: frozenset[str]
    made_by: str

    @property
    def there(self) -> bool:
        """Whether it is."""
        return self.ttls[0] != -2


@dataclass(frozen=True)
class GroupFacts:
    """The group of all jobs that are in one. `fields` is its hash, `untold`: its end waits to be told; `ttls` are those
    of its hash and its events, as of jobs."""

    fields: dict[str, str]
    event: str
    events: int
    untold: bool
    ttls: tuple[int, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many of its jobs are open, completed, failed and canceled."""
        return {name: int(self.fields[f":{name}"]) for name in COUNTED}

    @property
    def ended(self) -> bool:
        """Whether all of its jobs have."""
        return sum(self.counts.values()) - self.counts["open"] >= int(self.fields[":size"])

    @property
    def jobs(self) -> dict[str, str]:
        """What became of each."""
        return {name: outcome for name, outcome in self.fields.items() if not name.startswith(":")}


@dataclass(frozen=True)
class Facts:
    """All of it. `leases` by member with their expiry; `started` the entries of RQ's registry of started jobs."""

    jobs: dict[str, JobFacts]
    lists: dict[str, list[str]]
    scheduled: frozenset[str]
    started: frozenset[str]
    leases: dict[str, float]
    webhooks: int
    """What is still to be told."""
    uploads: dict[str, UploadFacts]
    group: GroupFacts | None = None

    def leases_of(self, job_id: str) -> list[str]:
        """The leases of a job."""
        return [lease for lease in self.leases if f"/{job_id}/" in lease]

    def places(self, job_id: str) -> list[str]:
        """The lists that hold a job."""
        return [name for name, ids in self.lists.items() for each in ids if each == job_id]


def asking(redis: Redis, ids: Iterable[str], uploads: Collection[str]) -> tuple[str | int, ...]:
    """Return the command that reads the facts of jobs, and of uploads by their sha256."""
    return ("EVALSHA", str(redis.script_load(_SCRIPT)), len(uploads), *uploads, *ids)


def facts(answer: str | bytes) -> Facts:
    """Parse its answer."""
    read = json.loads(answer)
    jobs = {
        job_id: JobFacts(**(job | {"ttls": tuple(job["ttls"]), "frames": _frames(job["frames"])}))
        for job_id, job in dict(read["jobs"] or {}).items()
    }
    return Facts(
        jobs=jobs,
        lists={name: ids.split() for name, ids in dict(read["lists"]).items()},
        scheduled=frozenset(read["scheduled"] or ()),
        started=frozenset(read["started"] or ()),
        leases=dict(read["leases"] or {}),
        webhooks=read["webhooks"],
        uploads={
            sha256: UploadFacts(tuple(upload["ttls"]), frozenset(upload["users"] or ()), upload["made_by"])
            for sha256, upload in dict(read["uploads"] or {}).items()
        },
        group=GroupFacts(**(group | {"ttls": tuple(group["ttls"])})) if (group := read.get("group")) else None,
    )


def _frames(entries: Iterable[tuple[str, list[str]]]) -> tuple[Frame, ...]:
    return tuple(Frame(number, fields[0], fields[1]) for number, fields in entries)
