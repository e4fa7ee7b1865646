"""A voice is made of a recording in which one person speaks."""

from __future__ import annotations

import time
from pathlib import Path

from asrq_jobs.errors import VoiceError
from asrq_jobs.request import PathAudio
from asrq_jobs.settings import Settings
from asrq_jobs.timestamp import iso
from asrq_worker.audio.decoder import DecoderPool
from asrq_worker.audio.source import Fetcher
from asrq_worker.backends.base import SAMPLE_RATE
from asrq_worker.speakers import listener
from asrq_worker.speakers.enrolled import Voice
from asrq_worker.storage.spool import Spool

LEAST_S = 5.0
"""Seconds of speech that make a voice: the rate of errors that is told was measured with so much."""


def voice_in(path: Path, name: str, settings: Settings) -> Voice:
    """Decode a file, find the speech in it, and return the voice. Blocks.

    Raises:
        AudioError: it is not there, cannot be decoded, or no voice can be enrolled with it.
        DecoderError, EngineError, ExtraMissingError: a process of ours failed, or is not installed.
        StorageError, NoRoomError: there is no place to work in.
    """
    pool = DecoderPool(
        1, memory_mb=settings.decoder_memory_mb, stall_s=settings.decoder_stall_s, max_s=settings.max_audio_s
    )
    with Spool(settings.spool_dir) as spool:
        local = Fetcher(settings, spool, None, any_path=True).fetch(PathAudio(path=str(path.absolute())), _go_on)
        try:
            pool.start()
            decoded = pool.decode(local.file, spool.new_file(".f32"), on_progress=lambda _seconds: None, check=_go_on)
        finally:
            pool.close()
            local.discard()
        seconds = sum(stop - start for start, stop in decoded.spans) / SAMPLE_RATE
        if seconds < LEAST_S:
            raise VoiceError(f"{path} has {seconds:.1f} s of speech, and a voice takes {LEAST_S:g} s.")
        vector, speakers = listener.enroll(decoded, _go_on)
    if speakers > 1:
        raise VoiceError(f"{speakers} people seem to speak in {path}.")
    return Voice(name=name, vector=vector, seconds=round(seconds, 3), created_at=iso(time.time()))


def _go_on() -> None:
    pass
