"""Checks of this machine and its queue, each with what mends it."""

from __future__ import annotations

import platform
import shutil
import sys
import tempfile
import time
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from redis import Redis
from redis.exceptions import NoPermissionError

from asrq_jobs import configuration
from asrq_jobs.connection import connect, queue_errors
from asrq_jobs.errors import AsrqError, ExtraMissingError, SettingsError
from asrq_jobs.settings import Settings

Status = Literal["ok", "warn", "fail"]

_OLDEST_PYTHON = (3, 11)
_OLDEST_REDIS = (6, 2)
_SKEW_WARN_S = 1.0
_SAMPLE_BYTES = 16_000 * 4  # one second of decoded audio


@dataclass(frozen=True)
class Check:
    """One finding: `mend` is what to do about it, None where nothing is to be done."""

    name: str
    status: Status
    message: str
    mend: str | None = None


def examine() -> Iterator[Check]:
    """Yield the findings, each as soon as it is known."""
    yield python(sys.version_info[:2])
    try:
        config = configuration.load()
    except SettingsError as error:
        yield Check("settings", "fail", error.message, error.hint)
        return
    yield Check("settings", "ok", "Settings are valid.")
    yield from _queue(config)
    yield from _backends(config)
    yield _guarded("decoder", lambda: _decoder(config))
    yield _disk(config)


def _guarded(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except AsrqError as error:
        return Check(name, "fail", error.message, error.hint)


def python(version: tuple[int, ...]) -> Check:
    """Judge the version of Python."""
    shown = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}."
    if version < _OLDEST_PYTHON:
        return Check("python", "fail", shown, "Install Python 3.11 or newer.")
    return Check("python", "ok", shown)


def _queue(config: Settings) -> Iterator[Check]:
    where = configuration.mask_url(config.redis_url)
    try:
        with connect(config) as redis, queue_errors(config):
            ahead_s = _clock_ahead_s(redis)
            info = _info(redis)
    except AsrqError as error:
        yield Check("redis", "fail", error.message, error.hint)
        return
    if info is None:
        yield Check(
            "redis",
            "warn",
            f"Redis at {where} answers, but tells this user nothing of itself: persistence and eviction are unknown.",
            "Run asrq doctor as the user of the worker, or give this one the right to INFO.",
        )
        yield clock(ahead_s, lease_s=config.lease_s)
        return
    yield server(info, where)
    yield persistence(info)
    yield eviction(info)
    yield clock(ahead_s, lease_s=config.lease_s)


def _info(redis: Redis) -> dict[str, Any] | None:
    try:
        return redis.info()
    except NoPermissionError:
        return None


def _clock_ahead_s(redis: Redis) -> float:
    before = time.time()
    seconds, microseconds = redis.time()
    return (before + time.time()) / 2 - (seconds + microseconds / 1e6)


def server(info: dict[str, Any], where: str) -> Check:
    """Judge the server by its INFO."""
    version = str(info.get("redis_version", "0"))
    named = f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {version}"
    if tuple(int(part) for part in version.split(".")[:2]) < _OLDEST_REDIS:
        return Check("redis", "fail", f"{named} at {where} is too old.", "Install Redis 6.2 or newer, or Valkey.")
    return Check("redis", "ok", f"{named} at {where} answers.")


def persistence(info: dict[str, Any]) -> Check:
    """Judge by INFO whether jobs survive a restart of the server."""
    if int(info.get("aof_enabled", 0)):
        return Check("persistence", "ok", "The append-only file is on: jobs survive a restart of Redis.")
    return Check(
        "persistence",
        "warn",
        "The append-only file is off: jobs are lost when Redis restarts.",
        "Set appendonly yes in redis.conf, now: redis-cli CONFIG SET appendonly yes (asrq up: name a --data folder).",
    )


def eviction(info: dict[str, Any]) -> Check:
    """Judge by INFO whether Redis may throw jobs away."""
    policy = info.get("maxmemory_policy", "noeviction")
    if policy == "noeviction":
        return Check("eviction", "ok", "Redis refuses rather than evicts when memory runs out (noeviction).")
    return Check(
        "eviction",
        "fail",
        f"Redis may throw jobs away when memory runs out (maxmemory-policy {policy}).",
        "Set maxmemory-policy noeviction in redis.conf, now: redis-cli CONFIG SET maxmemory-policy noeviction",
    )


def clock(ahead_s: float, *, lease_s: float) -> Check:
    """Judge this machine's clock by that of Redis: leases are times."""
    off = abs(ahead_s)
    message = f"The clock is {off:.1f} s {'ahead of' if ahead_s > 0 else 'behind'} that of Redis."
    mend = "Synchronise both clocks, for example: timedatectl set-ntp true"
    if off >= lease_s / 3:
        return Check("clock", "fail", f"{message} Leases of {lease_s:g} s cannot be trusted.", mend)
    if off >= _SKEW_WARN_S:
        return Check("clock", "warn", message, mend)
    return Check("clock", "ok", f"The clock agrees with that of Redis within {max(off, 0.001):.3f} s.")


def _backends(config: Settings) -> Iterator[Check]:
    """Look at whatever is to serve, the fallback included."""
    for name in filter(None, (config.backend, config.fallback_backend)):
        if name == "whisper":
            model = _guarded("model", lambda: _model(config))
            yield model
            if model.status != "ok":
                continue
            yield _guarded("memory", lambda: _memory(config))
        yield _guarded("engine", lambda: _engine(config, name))  # noqa: B023  # called at once


def _model(config: Settings) -> Check:
    from asrq_worker.models import resolve

    found = resolve(config.model_of("whisper"), model_dir=config.model_dir)
    revision = f", {found.revision}" if found.revision else ""
    return Check("model", "ok", f"{found.name} is in {found.path} ({found.source}{revision}).")


def _engine(config: Settings, backend: str) -> Check:
    """Load the model as a worker would: what counts is whether it runs on the device."""
    from asrq_worker.machine import make_engine

    engine = make_engine(config.model_copy(update={"model_download": False}), backend)
    try:
        engine.start()
        loaded = engine.wait_ready(config.engine_start_s)
    finally:
        engine.close()
    served = loaded.identity
    return Check(
        "engine",
        "ok",
        f"{served.backend} {served.backend_version} runs {served.model} on {served.device} ({served.compute_type}), "
        f"loaded in {loaded.load_s:.1f} s.",
    )


def _decoder(config: Settings) -> Check:
    """Decode a second of silence in a process of its own, as a worker would."""
    from asrq_worker.audio.decoder import DecoderPool

    pool = DecoderPool(1, memory_mb=config.decoder_memory_mb, stall_s=config.decoder_stall_s, max_s=config.max_audio_s)
    with tempfile.TemporaryDirectory(prefix="asrq-doctor-") as folder:
        sample = Path(folder, "silence.wav")
        with wave.open(str(sample), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(8000)
            file.writeframes(bytes(16_000))
        try:
            pool.start()
            confined = pool.confined
            decoded = pool.decode(
                sample, Path(folder, "samples.f32"), on_progress=lambda _seconds: None, check=lambda: None
            )
        finally:
            pool.close()
    kept = "without network or other programs" if confined else "not kept from the network by this system"
    return Check("decoder", "ok", f"Audio is decoded ({decoded.codec}, {decoded.seconds:g} s), {kept}.")


def _memory(config: Settings) -> Check:
    try:
        import psutil
    except ImportError:
        raise ExtraMissingError(
            "Free memory cannot be told without psutil.", hint="pip install 'asrq[worker]'"
        ) from None
    from asrq_worker.models import resolve

    folder = resolve(config.model_of("whisper"), model_dir=config.model_dir).path
    model_mb = sum(path.stat().st_size for path in folder.iterdir() if path.is_file()) / 2**20
    return memory(psutil.virtual_memory().available / 2**20, model_mb=model_mb, decoders=config.decoders)


def memory(free_mb: float, *, model_mb: float, decoders: int) -> Check:
    """Judge the free memory, MiB: the weights twice over while they load, and room for each process."""
    wanted_mb = 2 * model_mb + 250 * (decoders + 2)
    message = f"{free_mb / 1024:.1f} GiB of memory are free; a worker wants about {wanted_mb / 1024:.1f}."
    if free_mb < wanted_mb:
        return Check(
            "memory",
            "warn",
            message,
            "End other programs, or set ASRQ_MODEL to a smaller model.",
        )
    return Check("memory", "ok", message)


def _disk(config: Settings) -> Check:
    folder = config.spool_dir or Path(tempfile.gettempdir())
    while not folder.exists():
        folder = folder.parent
    return disk(shutil.disk_usage(folder).free, folder, longest_s=config.max_audio_s)


def disk(free: int, folder: Path, *, longest_s: float) -> Check:
    """Judge the free bytes where decoded audio waits: the longest audio has to fit."""
    wanted = int(longest_s * _SAMPLE_BYTES)
    message = f"{free / 2**30:.1f} GiB are free in {folder}; the longest audio takes {wanted / 2**30:.1f}."
    if free < wanted:
        return Check("disk", "fail", message, "Make room, or set ASRQ_SPOOL_DIR to a larger disk.")
    return Check("disk", "ok", message)
