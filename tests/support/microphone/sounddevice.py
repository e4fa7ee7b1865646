"""Stands for the package `sounddevice` where a program imports it: one microphone, which plays a file and is then gone.

A folder with this file goes on PYTHONPATH, and what is played into FAKE_MICROPHONE.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

_FINE = SimpleNamespace(input_overflow=False)
DEVICES = [
    {"index": 0, "name": "Speakers", "max_input_channels": 0, "default_samplerate": 48000.0},
    {"index": 1, "name": "USB Microphone", "max_input_channels": 1, "default_samplerate": 48000.0},
]
RATES = (16_000, 48_000)


class PortAudioError(Exception):
    """As there."""


def query_devices(device: int | str | None = None, kind: str | None = None) -> Any:
    """Return all devices, or the one that is asked for."""
    if kind is None:
        return DEVICES
    found = [
        each for each in DEVICES if device in {None, each["index"]} or str(device).lower() in str(each["name"]).lower()
    ]
    usable = [each for each in found if each["max_input_channels"]]
    if device is None and not usable:
        raise PortAudioError("Error querying device -1")
    if not usable:
        raise ValueError(f"No input device matching {device!r}")
    return usable[0]


def check_input_settings(device: int, *, samplerate: int, channels: int, dtype: str) -> None:
    """Refuse what the device does not do."""
    if samplerate not in RATES:
        raise PortAudioError("Invalid sample rate [PaErrorCode -9997]")
    if channels > 1:
        raise PortAudioError("Invalid number of channels [PaErrorCode -9998]")


class RawInputStream:
    """Plays in blocks, from a thread of its own as there."""

    def __init__(self, *, blocksize: int, callback: Callable[..., None], dtype: str, **_asked: object) -> None:
        self.active = True
        self._callback = callback
        self._block = blocksize * {"int16": 2, "float32": 4}[dtype]
        self._thread = threading.Thread(target=self._play, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._thread.join()

    def _play(self) -> None:
        sound = Path(os.environ["FAKE_MICROPHONE"]).read_bytes()
        for at in range(0, len(sound), self._block):
            block = sound[at : at + self._block]
            self._callback(memoryview(block), len(block) // 2, None, _FINE)
        self.active = False
