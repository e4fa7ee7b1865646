"""What one look of the reaper saw: facts, for decisions to be made from."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field


@dataclass(frozen=True)
class SeenJob:
    """A job as it was seen: `status` in RQ's words, None without a hash; `lane` None if its hash is not one of ours.

    `expires`: its hash has a time to live. `scheduled`: it is among the retries that wait. What `kept` and `traces` say
    is looked for only where there is no hash or the job has ended: there is a result; there are events, attempts
    or chunks that never expire.
    """

    status: str | None = None
    lane: str | None = None
    enqueued_at: str = ""
    queue_ttl_s: float | None = None
    blob: str | None = None
    expires: bool = False
    scheduled: bool = False
    kept: bool = False
    traces: bool = False


@dataclass(frozen=True)
class Places:
    """The places of a lane, as RQ knows them: ids that wait, ids in transit to a slot, retries that are due, and what
    is started (job and execution). `apart` are the ids that wait for a certain worker, by what they need. Of those that
    wait, this is the part that the look has passed; but each need is there that jobs wait for."""

    waiting: tuple[str, ...] = ()
    dequeued: tuple[str, ...] = ()
    due: tuple[str, ...] = ()
    started: tuple[tuple[str, str], ...] = ()
    apart: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Snapshot:
    """What one look saw. It was not read in one step, so each repair looks again.

    `lost` are jobs that are said to wait and are on no list, `leases` the members of `asrq:leases` with their expiry
    (Unix s), `blobs` the seconds that uploads have left (-1: no end, -2: gone), `workers` the last registration of
    each, `slots` the registered RQ workers and whether they have beaten lately; `ended` are groups whose end is to be
    told, `uncounted` jobs that their groups count as open, and which are not, with the group.
    """

    at: float
    lanes: dict[str, Places] = field(default_factory=dict)
    leases: dict[str, float] = field(default_factory=dict)
    jobs: dict[str, SeenJob] = field(default_factory=dict)
    lost: Set[str] = frozenset()
    blobs: dict[str, int] = field(default_factory=dict)
    workers: dict[str, str] = field(default_factory=dict)
    slots: dict[str, bool] = field(default_factory=dict)
    ended: tuple[str, ...] = ()
    uncounted: tuple[tuple[str, str], ...] = ()
