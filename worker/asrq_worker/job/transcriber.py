"""The part of a host that transcribes, without any queue: spool, decoders, engine, scheduler, pipeline."""

from __future__ import annotations

import math
from collections.abc import Callable

from pydantic import SecretStr

from asrq_jobs.errors import EngineError, SetupError, StorageError
from asrq_jobs.policy import Policy
from asrq_jobs.settings import Settings
from asrq_worker.audio.decoder import DecoderPool
from asrq_worker.audio.live import Feeds, Recordings
from asrq_worker.audio.source import Fetcher, Uploads
from asrq_worker.backends.base import SAMPLE_RATE, BackendConfig
from asrq_worker.engine.engine import Engine
from asrq_worker.engine.fleet import Fleet
from asrq_worker.engine.messages import Loaded
from asrq_worker.engine.recycling import Recycling, plenty
from asrq_worker.job.pipeline import Observe, Pipeline
from asrq_worker.job.shadow import Comparison, Shadow
from asrq_worker.storage.spool import Spool
from asrq_worker.storage.watch import StorageWatch
from asrq_worker.telemetry.logs import Log

_log = Log("asrq.transcriber")

_ROOM_OF_A_SLOT = 60 * SAMPLE_RATE * 4  # bytes: a minute of decoded audio; what is longer is seen to as it is written


class Transcriber:
    """Builds the parts from settings and owns their life.

    `uploads` reads what clients of a queue have uploaded, and `feeds` what they record; without a queue (one-shot use)
    jobs name files, anywhere.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        uploads: Uploads | None = None,
        feeds: Feeds | None = None,
        policy: Callable[[], Policy] | None = None,
        observe: Observe = lambda _backend, _outcome: None,
        compare: Callable[[Comparison], None] = lambda _comparison: None,
    ) -> None:
        self.spool = Spool(settings.spool_dir)
        self.storage = StorageWatch(self.spool, room=sum(settings.slots.values()) * _ROOM_OF_A_SLOT)
        self.decoders = DecoderPool(
            settings.decoders,
            memory_mb=settings.decoder_memory_mb,
            stall_s=settings.decoder_stall_s,
            max_s=settings.max_audio_s,
        )
        self._settings = settings
        self.fleet = Fleet(
            lambda backend: make_engine(settings, backend, room_mb=self.fleet.room_mb),
            model_of=settings.model_of,
            batch_s=_batch_bound_s(settings, queue=uploads is not None),
            budget_mb=settings.engine_memory_mb,
        )
        own = Policy(backend=settings.backend, fallback=settings.fallback_backend)
        source = Fetcher(settings, self.spool, uploads, any_path=uploads is None)
        self._shadow = Shadow(
            self.fleet,
            compare,
            chunk_s=settings.chunk_s,
            start_s=settings.engine_start_s,
        )
        self.pipeline = Pipeline(
            settings,
            self.spool,
            source,
            self.decoders,
            self.fleet,
            policy or (lambda: own),
            self._shadow,
            observe,
            storage=self.storage,
            webhooks=uploads is not None and settings.webhook_secret is not None,
            recordings=feeds and Recordings(feeds, self.spool, self.decoders, idle_s=settings.live_idle_s),
        )

    def start(self) -> None:
        """Start the children; the models load in the background (`wait_ready`)."""
        self.fleet.enlist(self._settings.backend)
        if self._settings.fallback_warm and self._settings.fallback_backend:
            self.fleet.enlist(self._settings.fallback_backend)
        self.decoders.start()

    @property
    def engine(self) -> Engine:
        """The engine of the backend that serves by the settings."""
        return self.fleet.enlist(self._settings.backend).engine

    def wait_ready(self) -> Loaded:
        """Wait until the backend is loaded and warm, or, if it cannot be, its fallback.

        Raises:
            SetupError, EngineError: neither can be served.
            StorageError: the model cannot be put where it has to be; it is tried again and again.
        """
        try:
            return self.engine.wait_ready(self._settings.engine_start_s)
        except (SetupError, EngineError, StorageError) as error:
            fallback = self._settings.fallback_backend
            if fallback is None:
                raise
            _log.error("backend.not_loaded", backend=self._settings.backend, code=error.code, fallback=fallback)
            return self.fleet.enlist(fallback).engine.wait_ready(self._settings.engine_start_s)

    def forget(self, job_id: str) -> None:
        """End what still goes on about a job after its end: it was erased."""
        self._shadow.forget(job_id)

    def close(self) -> None:
        """End the children, wait until they are gone, and remove the spool."""
        self._shadow.close()
        self.fleet.close()
        self.decoders.close()
        self.spool.close()

    def __enter__(self) -> Transcriber:
        self.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()


def _batch_bound_s(settings: Settings, *, queue: bool) -> float:
    """Return how many seconds of compute a batch may take: no limit where nobody dictates beside it."""
    return settings.batch_s if queue and settings.slots.get("interactive") else math.inf


def make_engine(settings: Settings, backend: str, *, room_mb: Callable[[], float] = plenty) -> Engine:
    """Build the engine of a backend from settings; `room_mb` says how much memory a second process of it may take."""
    return Engine(
        backend,
        backend_config(settings, backend),
        start_timeout_s=settings.engine_start_s,
        stall_s=settings.engine_stall_s,
        slowness=settings.engine_slowness,
        recycling=Recycling(settings.engine_max_batches, settings.engine_max_rss_mb),
        room_mb=room_mb,
    )


def backend_config(settings: Settings, backend: str) -> BackendConfig:
    """Return what the backend needs to know of the settings."""
    return BackendConfig(
        model=settings.model_of(backend),
        device=settings.device,
        compute_type=settings.compute_type,
        cpu_threads=settings.cpu_threads or 1,
        parallel=settings.parallel,
        tune=not (settings.cpu_threads or settings.parallel),
        download=settings.model_download,
        model_dir=settings.model_dir,
        options={name: _plain(value) for name, value in settings.options_of(backend).items()},
    )


def _plain(value: object) -> object:
    """An option as a child process can be told it; there the backend reads it as it declares it."""
    return value.get_secret_value() if isinstance(value, SecretStr) else value
