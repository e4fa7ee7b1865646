"""The microphone of this machine, through PortAudio, which the package `sounddevice` of the extra `mic` calls."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Any

from asrq_jobs import extras
from asrq_jobs.errors import DeviceUnavailableError, ExtraMissingError
from asrq_jobs.request import Encoding

RATE = 16_000
_DTYPES: dict[Encoding, str] = {"pcm_s16le": "int16", "pcm_f32le": "float32"}
_PIECE_S = 0.1
_LOOK_S = 0.5  # a wait without an end cannot be interrupted on Windows


class Microphone:
    """A microphone that was found, and how it is to be heard."""

    def __init__(self, device: str | None, *, rate: int | None, encoding: Encoding, channels: int) -> None:
        """`device`: its number, or a part of its name; None: the system's. `rate`: in Hz; None: 16000, or where it does
        not have that, its own.

        Raises:
            ExtraMissingError: sounddevice or PortAudio is not installed.
            DeviceUnavailableError: there is no such microphone, or it does not do that.
        """
        self._system = _sounddevice()
        self._format = {"channels": channels, "dtype": _DTYPES[encoding]}
        self.overflowed = False
        """Whether sound was lost because nobody took it."""
        chosen = int(device) if device is not None and device.isdecimal() else device
        with self._asked():
            found = self._system.query_devices(chosen, "input")
            self._device = found["index"]
        self.rate = rate or self._usual(int(found["default_samplerate"]))
        with self._asked():
            self._system.check_input_settings(self._device, samplerate=self.rate, **self._format)

    def pieces(self) -> Iterator[bytes]:
        """Yield raw samples as they are recorded, until nobody wants more.

        Raises:
            DeviceUnavailableError: it cannot be opened.
            OSError: it is gone.
        """
        heard: SimpleQueue[bytes] = SimpleQueue()

        def take(sound: Any, _frames: int, _time: Any, status: Any) -> None:
            self.overflowed = self.overflowed or bool(status.input_overflow)
            heard.put(bytes(sound))

        with self._asked():
            stream = self._system.RawInputStream(
                samplerate=self.rate, device=self._device, blocksize=int(_PIECE_S * self.rate), callback=take,
                **self._format,
            )  # fmt: skip
            stream.start()
        try:
            while True:
                try:
                    yield heard.get(timeout=_LOOK_S)
                except Empty:
                    if not stream.active:
                        raise OSError(None, "it is gone") from None
        finally:
            stream.close()

    def _usual(self, own: int) -> int:
        try:
            self._system.check_input_settings(self._device, samplerate=RATE, **self._format)
        except self._system.PortAudioError:
            return own
        return RATE

    @contextmanager
    def _asked(self) -> Iterator[None]:
        try:
            yield
        except (self._system.PortAudioError, ValueError) as error:
            first, *_ = str(error).splitlines()
            raise DeviceUnavailableError(f"The microphone cannot be used: {first}.", hint=_choice(listed())) from None


NONE = "Connect one, or pipe raw samples into asrq dictate --stdin."


def listed() -> list[str]:
    """Return the microphones that there are, a line for each: its number, its name, channels and rate.

    Raises:
        ExtraMissingError: sounddevice or PortAudio is not installed.
    """
    return [
        f"{device['index']}  {device['name']} ({device['max_input_channels']} channels, "
        f"{device['default_samplerate']:.0f} Hz)"
        for device in _sounddevice().query_devices()
        if device["max_input_channels"]
    ]


def _choice(lines: list[str]) -> str:
    if not lines:
        return f"There is none here. {NONE}"
    return f"There are: {'; '.join(lines)}. Choose with --device, and see --rate and --channels."


def _sounddevice() -> Any:
    try:
        return importlib.import_module("sounddevice")
    except ImportError:
        raise ExtraMissingError(
            "The microphone needs the package sounddevice.",
            hint=f"{extras.hint('mic')} Or pipe raw samples into asrq dictate --stdin.",
        ) from None
    except OSError:  # on Linux, the package comes without the library
        raise ExtraMissingError(
            "The microphone needs the library PortAudio.",
            hint="Install libportaudio2 (Debian, Ubuntu) or portaudio (Fedora, Arch, Homebrew). Or pipe raw samples "
            "into asrq dictate --stdin.",
        ) from None
