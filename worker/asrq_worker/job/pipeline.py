"""From a request to a result: fetch, decode, transcribe on the backend that the policy chooses, merge.

Knows no queue.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict

from asrq_jobs.errors import (
    AsrqError,
    AudioUnreadableError,
    EngineUnavailableError,
    InvalidRequestError,
    NoRoomError,
    SetupError,
    StorageError,
)
from asrq_jobs.events import Event
from asrq_jobs.policy import Policy
from asrq_jobs.request import LiveAudio, Request, UrlAudio
from asrq_jobs.result import Result, Timings
from asrq_jobs.settings import Settings
from asrq_worker.audio.decoder import DecoderPool
from asrq_worker.audio.live import Recording, Recordings
from asrq_worker.audio.sound import DecodedAudio, Sound
from asrq_worker.audio.source import Fetcher, LocalAudio
from asrq_worker.engine.fleet import Fleet, Member
from asrq_worker.engine.messages import Loaded
from asrq_worker.job import answer, cache, inference, transcription
from asrq_worker.job.answer import Served
from asrq_worker.job.control import JobControl
from asrq_worker.job.hearing import InferenceJob
from asrq_worker.job.journal import Journal
from asrq_worker.job.shadow import Shadow
from asrq_worker.job.transcription import Transcription
from asrq_worker.job.voices import fingerprint, tell_apart
from asrq_worker.routing.admission import refuse_webhook
from asrq_worker.routing.offers import Offer
from asrq_worker.routing.policy import BackendOutcome, Route, cannot, falls_back, route
from asrq_worker.storage.spool import Spool, discard
from asrq_worker.storage.watch import StorageWatch
from asrq_worker.telemetry import reports
from asrq_worker.telemetry.logs import Log

_PROGRESS_EVERY_S = 0.5

_log = Log("asrq.pipeline")

Observe = Callable[[str, BackendOutcome], None]


class Pipeline:
    """Runs jobs on the decoders and engines of this host; any number of threads may call `run`."""

    def __init__(
        self,
        settings: Settings,
        spool: Spool,
        source: Fetcher,
        decoders: DecoderPool,
        fleet: Fleet,
        policy: Callable[[], Policy],
        shadow: Shadow,
        observe: Observe,
        *,
        storage: StorageWatch,
        webhooks: bool,
        recordings: Recordings | None = None,
    ) -> None:
        """`policy` returns the one in force; `observe` is told how each backend did on each job.

        `recordings` opens those of live jobs; None: there are no such jobs.

        `storage` says what becomes of a job that could not write; `webhooks` says whether jobs may name one.
        """
        self.storage = storage
        self._shadow = shadow
        self._settings = settings
        self._spool = spool
        self._source = source
        self._recordings = recordings
        self._decoders = decoders
        self._fleet = fleet
        self._policy = policy
        self._observe = observe
        self._webhooks = webhooks

    def run(self, request: Request, control: JobControl, journal: Journal) -> Result:
        """Transcribe one request.

        Raises:
            AsrqError: what stops the job, from the tree in `asrq_jobs.errors`.
        """
        try:
            return self._run(request, control, journal)
        except (StorageError, NoRoomError) as error:
            raise self.storage.failed(error) from error

    def _run(self, request: Request, control: JobControl, journal: Journal) -> Result:
        began = time.monotonic()
        refuse_webhook(request, enabled=self._webhooks)
        if request.timeout_s is not None:
            control.limit(request.timeout_s)
        policy = self._policy()
        chosen = route(request, policy, self._fleet.offers(policy), self._fleet.usable)
        engine = self._fleet.enlist(chosen.candidates[0]).engine  # it loads while the audio is fetched
        if isinstance(request.audio, LiveAudio):
            return self._dictated(InferenceJob(request, control, journal), request.audio, chosen, began=began)
        if isinstance(request.audio, UrlAudio):
            journal.event(Event(type="progress", at=time.time(), stage="fetch"))
        local = self._source.fetch(request.audio, control.check)
        fetch_s = time.monotonic() - began
        try:
            key = self._cache_key(request, local, chosen, engine.loaded)
            if key and (earlier := cache.reuse(key, control, journal)):
                return answer.reused(earlier, request, local, total_s=time.monotonic() - began)
            decoded = self._decode(local, request, control, journal)
        finally:
            local.discard()
        decode_s = time.monotonic() - began
        job, taken_over = InferenceJob(request, control, journal), False
        try:
            if request.timeout_s is None:
                control.limit(self._limit_s(decoded.seconds * len(decoded.sides)))
            served, told = self._serve(job, decoded, chosen), tell_apart(job, decoded, self._settings.voices_dir)
            shadow = self._policy().shadow_of(request, served.heard.loaded.identity.backend)
            if shadow is not None:
                taken_over = self._shadow.follow(job, decoded, served.heard, shadow)
        finally:
            if not taken_over:
                control.afterwards(decoded.discard)
        total_s = time.monotonic() - began
        as_asked = served.fallback_from is None
        if key != self._cache_key(request, local, chosen, served.heard.loaded if as_asked else None):
            key = None
        times = {"fetch_s": fetch_s, "decode_s": decode_s, "total_s": total_s}
        result = answer.completed(request, local, decoded, served, voices=told, **times)
        return result.model_copy(update={"cache_key": None if told.warning else key})

    def _dictated(self, job: InferenceJob, audio: LiveAudio, chosen: Route, *, began: float) -> Result:
        """Transcribe a recording that goes on. No other job is served by it, or compared with a shadow."""
        if self._recordings is None:
            raise InvalidRequestError("Nothing is recorded here: live audio needs a queue or the bridge.")

        def on_end(recording: Recording) -> None:
            if job.request.timeout_s is None:
                elapsed_s = time.monotonic() - began
                job.control.limit(elapsed_s + self._limit_s(recording.seconds))

        with self._recordings.open(job.request.id, audio, job.control.check, on_end) as recording:
            served = self._serve(job, recording, chosen)
            local, decoded = recording.whole()
        total_s = time.monotonic() - began
        return answer.completed(job.request, local, decoded, served, fetch_s=None, decode_s=None, total_s=total_s)

    def _limit_s(self, audio_s: float) -> float:
        return 600.0 + self._settings.job_slowness * audio_s

    def failure(self, request: Request, error: AsrqError) -> Result:
        """Return the result of a request that ended with an error: canceled, or failed."""
        name = request.backend or self._policy().backend
        member = self._fleet.find(name)
        loaded = member.engine.loaded if member else None
        result = Result.from_error(error.info(), request.id, task=request.task)
        if loaded is None:
            return result
        timings = Timings(model_load_s=round(loaded.load_s, 4))
        return result.model_copy(update={"timings": timings, **asdict(loaded.identity)})

    def offers(self) -> tuple[Offer, ...]:
        """Return what can be served here, as far as is known now."""
        return self._fleet.offers(self._policy())

    def _decode(self, local: LocalAudio, request: Request, control: JobControl, journal: Journal) -> DecodedAudio:
        told = time.monotonic()  # of what is short nothing: each event is a round trip, and wakes who waits

        def on_progress(seconds: float) -> None:
            nonlocal told
            now = time.monotonic()
            if now - told >= _PROGRESS_EVERY_S:
                told = now
                journal.event(Event(type="progress", at=time.time(), stage="decode", done_s=round(seconds, 3)))

        apart = request.channels == "separate"
        samples, second = self._spool.new_file(".f32"), self._spool.new_file(".f32") if apart else None
        try:
            decoded = self._decoders.decode(
                local.file,
                samples,
                on_progress=on_progress,
                check=control.check,
                track=request.track,
                second=second,
                urgent=request.lane == "interactive",
            )
            if local.changed:
                raise AudioUnreadableError(
                    "The file was written to while it was read.", hint="Name files that are complete."
                )
        except BaseException as error:
            for file in filter(None, (samples, second)):
                discard(file)
            reports.capture(error, job_id=request.id, lane=request.lane)
            raise
        self.storage.written()
        return decoded

    def _cache_key(self, request: Request, local: LocalAudio, chosen: Route, loaded: Loaded | None) -> str | None:
        """Return the key of what is heard by an engine; None where it is to serve no other job."""
        alone = request.keep == "nothing" or not self._settings.cache_ttl_s
        if alone or loaded is None or chosen.candidates[0] != chosen.wanted:
            return None
        stand_in = len(chosen.candidates) > 1
        voices = fingerprint(request, self._settings.voices_dir)
        engine, chunk_s = loaded.fingerprint, self._settings.chunk_s
        return cache.key(request, local.sha256, engine, chunk_s=chunk_s, stand_in=stand_in, voices=voices)

    def _serve(self, job: InferenceJob, sound: Sound, chosen: Route) -> Served:
        first, wanted = chosen.refused, chosen.wanted
        because = None if chosen.candidates[0] == wanted else EngineUnavailableError.code
        for name in chosen.candidates:
            rest = chosen.candidates[chosen.candidates.index(name) + 1 :]
            try:
                heard = self._try(job, sound, name, rest)
            except AsrqError as error:
                if not rest and first is not None and (cannot(error) or isinstance(error, SetupError)):
                    raise first from error  # that the fallback is not installed is not what the user asked about
                if not rest or not (falls_back(error) or cannot(error)):
                    raise
                first = first or error
                if cannot(error):  # nobody knew before it was loaded; it is as if it had been left out
                    wanted = rest[0] if name == wanted else wanted
                    continue
                because = error.code
                _log.warning("job.falls_back", id=job.request.id, backend=name, to=rest[0], code=error.code)
                job.journal.event(
                    Event(type="progress", at=time.time(), stage="inference", fallback_from=name, error=error.info())
                )
            else:
                return Served(heard, None if name == wanted else wanted, because if name != wanted else None)
        raise AssertionError("a route has at least one candidate, and the last one returns or raises")

    def _try(self, job: InferenceJob, sound: Sound, name: str, rest: tuple[str, ...]) -> Transcription:
        """Serve a job on one backend."""
        with self._fleet.at_work(name) as member:
            try:
                return self._hear(job, sound, member, self._loaded(job, member, rest), rest)
            except AsrqError as error:
                reports.capture(error, job_id=job.request.id, lane=job.request.lane, backend=name)
                raise

    def _loaded(self, job: InferenceJob, member: Member, rest: tuple[str, ...]) -> Loaded:
        if member.engine.loaded is None and any(self._fleet.ready(other) for other in rest):
            raise EngineUnavailableError(f"The backend {member.name} is still loading.")
        return transcription.ready(member, job.control, within_s=self._settings.engine_start_s)

    def _hear(
        self, job: InferenceJob, sound: Sound, member: Member, loaded: Loaded, rest: tuple[str, ...]
    ) -> Transcription:
        """Have a loaded backend hear the audio.

        What becomes of it is observed and moves the backend's circuit, and nothing else does: that a backend loads,
        that it is left alone, or that no chunk went to it says nothing of how well it does.
        """
        call = member.breaker.begin(anyway=not rest)
        if call is None:
            raise EngineUnavailableError(f"The backend {member.name} has just failed repeatedly.")
        began = time.monotonic()
        with call:
            try:
                heard = inference.transcribe(
                    job,
                    sound,
                    member,
                    loaded,
                    chunk_s=self._settings.chunk_s,
                    stand_in=bool(rest),
                )
                if rest:
                    transcription.condemn(heard)
            except AsrqError as error:
                if falls_back(error) and not isinstance(error, StorageError):
                    call.failed()
                    self._observe(member.name, BackendOutcome(at=time.time(), code=error.code))
                raise
            if heard.work:
                call.succeeded()
                rtfx = None if isinstance(sound, Recording) else sound.seconds / max(time.monotonic() - began, 1e-3)
                self._observe(member.name, BackendOutcome(at=time.time(), rtfx=rtfx))
        return heard
