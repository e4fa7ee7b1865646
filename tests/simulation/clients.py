"""Those who ask for something: clients of ours, and operators with RQ's own tools."""

from __future__ import annotations

from contextlib import suppress
from io import BytesIO

from redis.exceptions import RedisError
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import Job
from rq.registry import CanceledJobRegistry, FailedJobRegistry
from rq.serializers import JSONSerializer
from simulation.connection import client
from simulation.dictation import Speaker
from simulation.hosts import Scene
from simulation.scenario import Step
from simulation.uploads import sent

from asrq_jobs import Client, keys
from asrq_jobs.errors import AsrqError, QueueRefusedError, QueueUnreachableError
from asrq_jobs.request import BlobAudio

_TRIES = 5
_AGAIN_S = 2.0
_PATIENCE_S = 120.0


class Caller:
    """Does one step after the other to one job, whatever becomes of each."""

    def __init__(self, scene: Scene, number: int, job_id: str, steps: tuple[Step, ...]) -> None:
        self._scene = scene
        self._job_id = job_id
        self._steps = steps
        self._redis = client(scene.settings, f"c{number}")
        self._client = Client(scene.settings, redis=self._redis)
        self._speaker = Speaker(scene.scheduler, self._client, scene.ledger.requests[job_id], scene.look)

    def act(self) -> None:
        """Do them."""
        scheduler = self._scene.scheduler
        for step in self._steps:
            scheduler.pause(seconds=step.after_s)
            scheduler.note(f"{step.what} …")
            with suppress(RedisError):
                scheduler.note(f"{step.what}: {self._do(step.what)}")

    def _do(self, what: str) -> str:
        ledger, job_id = self._scene.ledger, self._job_id
        said = "done"
        try:
            match what:
                case "submit":
                    said = self._submit()
                case "cancel":
                    said = self._client.cancel(job_id)
                    if said == "requested":
                        ledger.asked_at[job_id] = self._scene.scheduler.now
                case "retry":
                    self._client.retry(job_id)
                case "purge":
                    self._client.purge(job_id)
                case "erase":
                    self._client.erase(job_id)
                case "upload":
                    self._upload()
                case "wait":
                    said = self._client.wait(job_id, timeout_s=_PATIENCE_S).status
                case "dictate" | "dictate half" | "hesitate" | "stray":
                    said = self._speaker.act(what)
                case _:
                    said = self._tool(what)
        except AsrqError as error:
            said = error.code
        return said

    def _submit(self) -> str:
        ledger = self._scene.ledger
        request, audio = ledger.requests[self._job_id], ledger.requests[self._job_id].audio
        for _ in range(_TRIES):
            try:
                self._client.submit_request(
                    request, audio=BytesIO(sent(audio)) if isinstance(audio, BlobAudio) else None
                )
            except (QueueUnreachableError, QueueRefusedError):
                self._scene.scheduler.pause(seconds=_AGAIN_S)
            else:
                ledger.accepted.add(self._job_id)
                return "accepted"
        return "given up"

    def _upload(self) -> None:
        """As a client does whose submission is refused then."""
        audio = self._scene.ledger.requests[self._job_id].audio
        assert isinstance(audio, BlobAudio)
        self._redis.set(keys.blob(audio.sha256), sent(audio), ex=self._scene.settings.blob_ttl_s)

    def _tool(self, what: str) -> str:
        """As RQ's dashboard does."""
        self._scene.ledger.tampered.add(self._job_id)
        try:
            found = Job.fetch(self._job_id, connection=self._redis, serializer=JSONSerializer)
            {"rq cancel": found.cancel, "rq requeue": lambda: _requeue(found), "rq delete": found.delete}[what]()
        except (NoSuchJobError, InvalidJobOperation, ValueError) as error:  # ValueError: an execution has just ended
            return type(error).__name__
        return "done"


def _requeue(found: Job) -> None:
    """From whichever registry the job is in: canceled jobs as well, which RQ allows."""
    registry = CanceledJobRegistry if found.is_canceled else FailedJobRegistry
    registry(found.origin, connection=found.connection, serializer=JSONSerializer).requeue(found)
