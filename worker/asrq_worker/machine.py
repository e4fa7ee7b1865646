"""The part of a host that transcribes, without any queue: spool, decoders, engine, scheduler, pipeline."""

from __future__ import annotations

from types import TracebackType

from redis import Redis

from asrq_jobs.settings import Settings
from asrq_worker.audio.decoder import DecoderPool
from asrq_worker.audio.source import Source
from asrq_worker.backends.base import BackendConfig
from asrq_worker.engine.engine import Engine
from asrq_worker.engine.scheduler import Scheduler
from asrq_worker.pipeline import Pipeline
from asrq_worker.spool import Spool


class Machine:
    """Builds the parts from settings and owns their life.

    `redis` is where uploads are read from; without it (one-shot use) jobs name files, anywhere.
    """

    def __init__(self, settings: Settings, *, redis: Redis | None = None) -> None:
        self.spool = Spool(settings.spool_dir)
        self.decoders = DecoderPool(
            settings.decoders,
            memory_mb=settings.decoder_memory_mb,
            stall_s=settings.decoder_stall_s,
            max_s=settings.max_audio_s,
        )
        self.engine = Engine(
            settings.backend,
            backend_config(settings),
            start_timeout_s=settings.engine_start_s,
            stall_s=settings.engine_stall_s,
            slowness=settings.engine_slowness,
        )
        self.scheduler = Scheduler(self.engine)
        source = Source(settings, self.spool, redis, any_path=redis is None)
        self.pipeline = Pipeline(settings, self.spool, source, self.decoders, self.engine, self.scheduler)

    def start(self) -> None:
        """Start the children; the model loads in the background (`engine.wait_ready`)."""
        self.engine.start()
        self.decoders.start()

    def close(self) -> None:
        """End the children, wait until they are gone, and remove the spool."""
        self.scheduler.close()
        self.engine.close()
        self.decoders.close()
        self.spool.close()

    def __enter__(self) -> Machine:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def backend_config(settings: Settings) -> BackendConfig:
    """Return what the backend needs to know of the settings."""
    return BackendConfig(
        model=settings.model,
        device=settings.device,
        compute_type=settings.compute_type,
        cpu_threads=settings.cpu_threads,
        parallel=settings.parallel,
        download=settings.model_download,
        model_dir=settings.model_dir,
        options={"beam_size": settings.beam_size},
    )
