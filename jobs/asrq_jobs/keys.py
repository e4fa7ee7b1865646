"""Every Redis key, built in one place.

RQ's own keys keep RQ 3's format; ours start with `asrq:`. What belongs to a failed job lives for ASRQ_FAILURE_TTL_S.
Jobs of a lane that a worker could not serve wait in lists of their own, `rq:queue:asrq-<lane>@<need>`, registered in
`rq:queues` like any queue.

    key                        type    TTL                     owner (who writes)
    asrq:result:<id>           string  ASRQ_RESULT_TTL_S       end_execution.lua, cancel.lua, the quarantine
    asrq:events:<id>           stream  ASRQ_RESULT_TTL_S       submit, begin, note, end_execution, cancel, retry
    asrq:chunks:<id>           hash    ASRQ_RESULT_TTL_S       note.lua: finished chunks by checkpoint key
    asrq:cache:<key>           string  ASRQ_CACHE_TTL_S        reuse.lua: the lease of the execution whose result may
                                                       serve other jobs; <key> is the result's cache_key
    asrq:attempts:<id>         list    ASRQ_RESULT_TTL_S       begin.lua, end_execution.lua: one JSON per attempt
    asrq:canceled              string  none                    the worker: the result of a job canceled while it waited,
                                                       without its id; cancel.lua copies it
    asrq:cancel:<id>           string  ASRQ_RESULT_TTL_S       cancel.lua, while the job runs
    asrq:live:<id>             stream  a week                  append.lua: frames of a live job, entry ids are their
                                                       numbers; goes when the job ends, unless it fails
    asrq:blob:<sha256>         string  ASRQ_BLOB_TTL_S         the client; submit.lua and the reaper extend it
    asrq:uses:<sha256>         hash    as the upload           submit.lua: ids of the jobs that may still need an upload
    asrq:group:<id>            hash    as its jobs'            submit, begin, end_execution, cancel, retry, erase,
                                                       count: what became of each job of a group, and
                                                       counts; none while one is open or the end is untold
    asrq:group:<id>:events     stream  as the group            settle() in the scripts that end jobs
    asrq:groups                set     none                    groups whose end the reaper is to hand to the courier
    asrq:leases                zset    none                    begin.lua, lease keeper; score: expiry, Unix s
    asrq:limits                hash    none                    the worker at start: depth:<lane>, blob_ttl
    asrq:hosts                 hash    none                    the worker: <worker> -> JSON (state, engines, what it
                                                       can serve, …)
    asrq:reaper:leader         string  lease of the leader     the reaper
    asrq:stats                 hash    none                    counters: completed, failed, retry, front, refused,
                                                       canceled, expired, webhooks_delivered, webhooks_given_up,
                                                       not_served:<backend>:<code>; of completed jobs
                                                       completed:<lane>, audio_s:<lane>
    asrq:policy                string  none                    `asrq backend`, the reaper: which backend serves
    asrq:policy:log            stream  none, 1000 entries      who changes the policy
    asrq:outcomes:<backend>    list    none, 500 entries       the worker: how jobs ended, for automatic rollback
    asrq:shadow                stream  none, 1000 entries      the worker: comparisons of a shadow with what served
    asrq:webhooks              zset    none                    end_execution, tell_group, the courier; score: due
    asrq:damaged:<key>         any     a week                  the reaper: the value that a shared key had, when
                                                       it was of the wrong type
    asrq:command:<id>          string  60 s                    `asrq models`: what workers are to load or unload
    asrq:http:pending:<key>    set     none                    `asrq http`: jobs, of who has a limit, not counted yet
    asrq:http:audio:<key>:<d>  string  two days                `asrq http`: seconds of audio of its jobs on that day
    asrq:control               pub/sub                         cancel.lua, `asrq models`, `asrq backend` -> workers;
                                                       heard in all databases, so it only says where to look
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, get_args

from asrq_jobs.request import Lane

Registry = Literal["wip", "scheduled", "finished", "failed", "canceled"]
"""RQ's words for its registries of jobs that do not wait; `wip` has those that run."""
REGISTRIES: Final[tuple[Registry, ...]] = get_args(Registry)
FUNCTION = "asrq_worker.task.transcribe"
LEASES = "asrq:leases"
LIMITS = "asrq:limits"
WORKERS = "asrq:hosts"  # stays: workers and clients of other versions, and the rules of users in Redis, know it
LEADER = "asrq:reaper:leader"
STATS = "asrq:stats"
CONTROL = "asrq:control"
CANCELED = "asrq:canceled"
POLICY = "asrq:policy"
POLICY_LOG = "asrq:policy:log"
SHADOW = "asrq:shadow"
WEBHOOKS = "asrq:webhooks"
GROUPS = "asrq:groups"
RQ_QUEUES = "rq:queues"
RQ_WORKERS = "rq:workers"


def completed_of(lane: Lane | str) -> str:
    """Field of `asrq:stats`: completed jobs of a lane."""
    return f"completed:{lane}"


def audio_of(lane: Lane | str) -> str:
    """Field of `asrq:stats`: seconds of audio of the completed jobs of a lane."""
    return f"audio_s:{lane}"


def queue_name(lane: Lane | str) -> str:
    """RQ queue that carries a lane."""
    return f"asrq-{lane}"


def lane_of(queue: str) -> str:
    """Lane carried by an RQ queue name of ours."""
    return queue.removeprefix("asrq-")


def queue(lane: Lane | str) -> str:
    """List of job ids that wait in a lane (RQ)."""
    return f"rq:queue:{queue_name(lane)}"


def waiting(lane: Lane | str, need: str) -> str:
    """List of the ids of a lane's jobs that wait for a worker that can do what they need (RQ)."""
    return f"{queue(lane)}@{need}"


def needs(lane: Lane | str, queues: Iterable[bytes]) -> list[str]:
    """Of the lists that `rq:queues` names, what the jobs need that wait in those of a lane; sorted."""
    prefix = waiting(lane, "").encode()
    return sorted(name.removeprefix(prefix).decode(errors="replace") for name in queues if name.startswith(prefix))


def intermediate(lane: Lane | str) -> str:
    """List of job ids between dequeue and start (RQ)."""
    return f"{queue(lane)}:intermediate"


def registry(kind: Registry, lane: Lane | str) -> str:
    """RQ registry of a lane."""
    return f"rq:{kind}:{queue_name(lane)}"


def job(job_id: str) -> str:
    """Job hash (RQ)."""
    return f"rq:job:{job_id}"


def rq_results(job_id: str) -> str:
    """Stream of RQ results of a job."""
    return f"rq:results:{job_id}"


def rq_execution(job_id: str, execution_id: str) -> str:
    """Execution hash (RQ)."""
    return f"rq:execution:{job_id}:{execution_id}"


def rq_executions(job_id: str) -> str:
    """Sorted set of a job's executions (RQ)."""
    return f"rq:executions:{job_id}"


def rq_workers(lane: Lane | str) -> str:
    """Set of the RQ workers that serve a lane (RQ)."""
    return f"{RQ_WORKERS}:{queue_name(lane)}"


def rq_worker(worker: str) -> str:
    """Hash of an RQ worker, and its member of `rq:workers`."""
    return f"rq:worker:{worker}"


def rq_worker_executions(worker: str) -> str:
    """Set of the executions that an RQ worker runs (RQ)."""
    return f"{rq_worker(worker)}:executions"


def result(job_id: str) -> str:
    """Result document of a job."""
    return f"asrq:result:{job_id}"


def events(job_id: str) -> str:
    """Event stream of a job."""
    return f"asrq:events:{job_id}"


def chunks(job_id: str) -> str:
    """Checkpoints of a job: finished chunks."""
    return f"asrq:chunks:{job_id}"


def cache(key: str) -> str:
    """Whose result has a `cache_key`, or will have it."""
    return f"asrq:cache:{key}"


def attempts(job_id: str) -> str:
    """Attempts of a job, oldest first."""
    return f"asrq:attempts:{job_id}"


def cancel(job_id: str) -> str:
    """Mark that a running job is to be canceled."""
    return f"asrq:cancel:{job_id}"


def group(group_id: str) -> str:
    """What became of each job of a group, and counts."""
    return f"asrq:group:{group_id}"


def group_events(group_id: str) -> str:
    """Event stream of a group."""
    return f"{group(group_id)}:events"


def live(job_id: str) -> str:
    """Frames of a live job's sound."""
    return f"asrq:live:{job_id}"


def command(command_id: str) -> str:
    """What workers are told to do."""
    return f"asrq:command:{command_id}"


def blob(sha256: str) -> str:
    """Uploaded audio bytes."""
    return f"asrq:blob:{sha256}"


def uses(sha256: str) -> str:
    """Jobs that may still need an upload."""
    return f"asrq:uses:{sha256}"


def http_pending(holder: str) -> str:
    """Jobs of the holder of a key whose audio has not been counted."""
    return f"asrq:http:pending:{holder}"


def http_audio(holder: str, day: str) -> str:
    """Seconds of audio that the holder of a key has had transcribed on a day, such as 2026-11-30."""
    return f"asrq:http:audio:{holder}:{day}"


def outcomes(backend: str) -> str:
    """Recent outcomes of a backend, newest first."""
    return f"asrq:outcomes:{backend}"


def aside(key: str) -> str:
    """Where a value of the wrong type is moved that was found under a key."""
    return f"asrq:damaged:{key}"
