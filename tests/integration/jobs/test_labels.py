"""What a client writes into a request for itself comes back, and finds the job."""

from __future__ import annotations

import pytest
from redis import Redis
from support.host import serving, transcribed

from asrq_jobs import Client
from asrq_jobs.errors import AudioUnreadableError, InvalidRequestError
from asrq_jobs.request import PathAudio, Request
from asrq_jobs.result import Result
from asrq_worker.job.control import JobControl
from asrq_worker.job.journal import Journal

AUDIO = PathAudio(path="/audio/a.wav")
LABELS = {"metadata": {"order": "4711", "Кто": ""}, "tags": ("night", "Ночь 1")}


def told(client: Client, job_id: str) -> tuple[object, ...]:
    """What the state, the result and the last event of a job say."""
    result = client.result(job_id)
    assert result is not None
    *_, last = client.events(job_id)
    return tuple((each.metadata, each.tags) for each in (client.state(job_id), result, last))


@pytest.mark.parametrize("job_id", ["good", "bad"])
def test_they_come_back_with_a_job_that_a_worker_ends(client: Client, redis: Redis, job_id: str) -> None:
    def work(request: Request, control: JobControl, journal: Journal) -> Result:
        if request.id == "bad":
            raise AudioUnreadableError("Not audio.")
        return transcribed(request)

    client.submit(AUDIO, id=job_id, **LABELS)
    with serving(redis, client.settings, work):
        client.wait(job_id, timeout_s=120)
    assert told(client, job_id) == ((LABELS["metadata"], LABELS["tags"]),) * 3


def test_they_come_back_with_a_job_that_is_canceled_while_it_waits(client: Client) -> None:
    client.submit(AUDIO, id="job", **LABELS)
    assert client.cancel("job") == "canceled"
    assert told(client, "job") == ((LABELS["metadata"], LABELS["tags"]),) * 3


def test_a_job_without_any_has_none(client: Client) -> None:
    client.submit(AUDIO, id="job")
    client.cancel("job")
    assert told(client, "job") == (({}, ()), ({}, ()), (None, None))


def test_a_tag_finds_jobs_wherever_they_are_in_a_long_lane(client: Client) -> None:
    tagged = {7, 150, 151, 260}
    answers = client.submit_many(
        Request.build(id=f"job-{number}", audio=AUDIO, tags=["night"] if number in tagged else ["day"])
        for number in range(261)
    )
    assert len(list(answers)) == 261
    client.submit(AUDIO, id="other", tags=["nights"])
    assert [job.id for job in client.jobs(tag="night")] == [f"job-{number}" for number in sorted(tagged)]
    assert [job.id for job in client.jobs("queued", tag="night", most=2)] == ["job-7", "job-150"]
    assert [job.id for job in client.jobs("queued", tag="night", most=2, after="job-150")] == ["job-151", "job-260"]
    assert client.jobs(tag="night ") == []


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"metadata": {"text": "x" * 4096}}, "4096 bytes"),
        ({"metadata": {"text": "ж" * 2048}}, "4096 bytes"),
        ({"tags": ["x" * 65]}, "tags"),
        ({"tags": ["\n"]}, "tags"),
        ({"tags": [str(number) for number in range(21)]}, "tags"),
    ],
)
def test_more_than_is_allowed_is_refused(client: Client, fields: dict[str, object], names: str) -> None:
    with pytest.raises(InvalidRequestError, match=names):
        client.submit(AUDIO, id="job", **fields)
