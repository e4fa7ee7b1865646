"""The microphone, with a module in place of PortAudio: which one is heard, how, and what is said if there is none."""

from __future__ import annotations

import importlib.util
import sys
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conftest import REPO

from asrq_jobs import extras
from asrq_jobs.cli import main
from asrq_jobs.cli.microphone import Microphone, listed
from asrq_jobs.errors import DeviceUnavailableError, ExtraMissingError

SOUND = bytes(range(256)) * 50


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    path = REPO / "tests" / "support" / "microphone" / "sounddevice.py"
    spec = importlib.util.spec_from_file_location("sounddevice", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "sound").write_bytes(SOUND)
    monkeypatch.setenv("FAKE_MICROPHONE", str(tmp_path / "sound"))
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    return module


def microphone(device: str | None = None, **asked: Any) -> Microphone:
    return Microphone(device, **({"rate": None, "encoding": "pcm_s16le", "channels": 1} | asked))


@pytest.mark.parametrize("device", [None, "1", "usb"])
def test_it_is_heard_until_it_is_gone(system: Any, device: str | None) -> None:
    pieces = microphone(device).pieces()
    assert b"".join(islice(pieces, 4)) == SOUND
    with pytest.raises(OSError, match="gone"):
        next(pieces)


def test_it_is_let_go_when_nobody_wants_more(system: Any) -> None:
    pieces = microphone().pieces()
    assert len(next(pieces)) == 3200
    pieces.close()  # type: ignore[attr-defined]  # it is a generator


def test_sound_that_was_lost_is_noted(system: Any) -> None:
    system._FINE.input_overflow = True
    found = microphone()
    assert not found.overflowed
    next(found.pieces())
    assert found.overflowed


def test_one_without_16_khz_is_heard_as_it_is(system: Any) -> None:
    assert microphone().rate == 16_000
    system.RATES = (48_000,)
    assert microphone().rate == 48_000


def test_they_are_listed(system: Any) -> None:
    assert listed() == ["1  USB Microphone (1 channels, 48000 Hz)"]


def test_that_there_is_none_is_said(
    system: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(system, "query_devices", list)
    assert main(["dictate", "--device", "list"]) == 1
    assert "There is no microphone. [device_unavailable]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"device": "webcam"}, "No input device matching 'webcam'"),
        ({"device": "0"}, "No input device matching 0"),
        ({"rate": 11_025}, "Invalid sample rate"),
        ({"channels": 2}, "Invalid number of channels"),
    ],
)
def test_what_it_does_not_do_is_said_with_what_there_is(system: Any, asked: dict[str, Any], said: str) -> None:
    with pytest.raises(DeviceUnavailableError, match=said) as caught:
        microphone(**asked)
    assert caught.value.hint is not None
    assert "1  USB Microphone" in caught.value.hint


def test_a_machine_without_one_says_so(system: Any) -> None:
    system.DEVICES.clear()
    with pytest.raises(DeviceUnavailableError) as caught:
        microphone()
    assert "--stdin" in str(caught.value.hint)


def test_the_extra_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(ExtraMissingError) as caught:
        listed()
    assert str(caught.value.hint).startswith(extras.hint("mic"))


def test_the_library_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ExtraMissingError, match="PortAudio") as caught:
        listed()
    assert "libportaudio2" in str(caught.value.hint)
    assert not isinstance(sys.modules.get("sounddevice"), ModuleType)
