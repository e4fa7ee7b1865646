"""RQ's own tools on our jobs (`rq requeue`, `rq empty`, plain rq-dashboard): clients learn what became of one.

What each tool does is said in docs/how-to/use-the-dashboard.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from conftest import Asrq
from redis import Redis
from rq import Queue
from rq.job import Job, requeue_job
from rq.serializers import JSONSerializer

from asrq_jobs import Client, keys
from asrq_jobs.cli.follow import follow
from asrq_jobs.errors import AsrqError, AudioUnreadableError, CanceledError, JobNotFoundError
from asrq_jobs.request import PathAudio
from asrq_jobs.settings import Settings
from asrq_jobs.testing import ScriptedWorker
from asrq_worker.queue.execution import Execution
from asrq_worker.reaper.reaper import Reaper

AUDIO = PathAudio(path="/audio/talk.mp3")
LANE = "interactive"


@pytest.fixture
def client(valkey_url: str) -> Iterator[Client]:
    """A client that does not wait long before it looks what became of a job of which nothing is heard."""
    with Client(Settings(redis_url=valkey_url, redis_timeout_s=1)) as connected:
        yield connected


@pytest.fixture
def job(client: Client) -> str:
    """A job that waits."""
    return client.submit(AUDIO, lane=LANE).id


def rq_job(job_id: str, redis: Redis) -> Job:
    return Job.fetch(job_id, connection=redis, serializer=JSONSerializer)


def cancel(job_id: str, redis: Redis) -> None:
    rq_job(job_id, redis).cancel()


def delete(job_id: str, redis: Redis) -> None:
    rq_job(job_id, redis).delete()


def empty(_job_id: str, redis: Redis) -> None:
    Queue(keys.queue_name(LANE), connection=redis, serializer=JSONSerializer).empty()


@pytest.mark.parametrize(
    ("tool", "error", "said"),
    [
        (cancel, CanceledError, "canceled by one of RQ's own tools"),
        (delete, JobNotFoundError, "erased"),
        (empty, JobNotFoundError, "erased"),
    ],
)
def test_a_job_that_waits_and_is_ended_ends_the_wait_for_it(
    client: Client, redis: Redis, job: str, tool: Callable[[str, Redis], None], error: type[AsrqError], said: str
) -> None:
    tool(job, redis)
    with pytest.raises(error, match=said):
        client.wait(job, timeout_s=50)
    (*_, (_, last)) = follow(client, [job], timeout_s=20)
    assert isinstance(last, error)


def test_one_that_was_canceled_so_is_canceled_on_the_command_line_and_can_be_retried(
    asrq: Asrq, client: Client, redis: Redis, job: str
) -> None:
    cancel(job, redis)
    waited = asrq("wait", job, "--json")
    assert waited.returncode == 1
    assert '"status":"canceled"' in waited.stdout
    client.retry(job)
    worker = ScriptedWorker(redis)
    worker.complete(worker.take(), "after all")
    assert client.wait(job, timeout_s=120).text == "after all"


def test_one_that_runs_is_canceled_in_name_only(client: Client, redis: Redis, job: str) -> None:
    worker = ScriptedWorker(redis)
    execution = worker.take()
    cancel(job, redis)
    assert client.state(job).status == "canceled"
    waiting = follow(client, [job], timeout_s=20)
    next(waiting)
    worker.complete(execution, "done")
    assert [last for _, last in waiting][-1] == client.result(job)
    assert client.wait(job, timeout_s=120).text == "done"


def test_one_that_runs_and_is_canceled_so_is_not_retried_beside_itself(
    asrq: Asrq, client: Client, redis: Redis, job: str
) -> None:
    worker = ScriptedWorker(redis)
    execution = worker.take()
    cancel(job, redis)
    refused = asrq("retry", job)
    assert (refused.returncode, "is processing" in refused.stderr) == (1, True)
    assert not redis.exists(keys.queue(LANE))
    worker.complete(execution, "once")
    assert client.wait(job, timeout_s=120).text == "once"


def test_one_that_runs_and_is_submitted_again_after_it_was_deleted_has_one_execution(
    client: Client, redis: Redis, job: str
) -> None:
    worker = ScriptedWorker(redis)
    execution = worker.take()
    delete(job, redis)
    client.submit(AUDIO, id=job, lane=LANE)
    redis.lmove(keys.queue(LANE), keys.intermediate(LANE))
    assert Execution(job, "second", LANE, "w").begin(redis, lease_s=60).verdict == "taken"
    worker.complete(execution, "once")
    assert client.wait(job, timeout_s=120).text == "once"


@pytest.mark.parametrize("tool", [cancel, delete])
def test_one_that_has_ended_keeps_its_result(
    client: Client, redis: Redis, job: str, tool: Callable[[str, Redis], None]
) -> None:
    worker = ScriptedWorker(redis)
    worker.complete(worker.take(), "done")
    tool(job, redis)
    assert client.wait(job, timeout_s=120).text == "done"


def test_one_that_has_failed_and_is_requeued_runs_again(
    client: Client, redis: Redis, job: str, valkey_url: str
) -> None:
    worker = ScriptedWorker(redis)
    worker.fail(worker.take(), AudioUnreadableError("Not audio."))
    requeue_job(job, connection=redis, serializer=JSONSerializer)
    assert client.state(job).status == "queued"
    settings, now = Settings(redis_url=valkey_url), [time.time()]
    reaper = Reaper(redis, settings, clock=lambda: now[-1])
    reaper.run_once(whole=True)
    now.append(now[0] + settings.lease_s)
    assert reaper.run_once(whole=True).reconciled == (job,)
    assert redis.ttl(keys.job(job)) == -1  # RQ leaves it the time to live of a failed job
    execution = worker.take()
    assert client.result(job) is None
    worker.complete(execution, "now it is")
    assert client.wait(job, timeout_s=120).text == "now it is"
