"""Finds the speech in decoded audio with the silero VAD that faster-whisper ships. Runs in the decoder process only.

The detector is recurrent, and half a minute of silence leaves it nearly deaf: it finds the first word late, and soft
speech not for seconds. So it starts afresh every few seconds. What that changed: docs/explanation/quality-and-speed.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import BinaryIO

import numpy as np
from faster_whisper.vad import get_vad_model
from numpy.typing import NDArray

from asrq_worker.backends.base import SAMPLE_RATE, Samples

_FRAME = 512  # samples that the detector judges at once, 32 ms
_WINDOW = 250 * _FRAME  # 8 s
_RUN_IN = 62 * _FRAME  # 2 s that it hears before a window
_CONTEXT = 64  # samples that it hears again before a frame
_SPEECH = 0.5  # the probability from which on speech begins
_NO_SPEECH = 0.35  # below, it ends
_PAUSE = 10 * _FRAME  # 0.3 s: a place to cut at
_PAD = SAMPLE_RATE // 4  # losing speech is worse than keeping silence
BLOCK = 120 * SAMPLE_RATE
"""Samples that are looked at together: bounds memory, and is under a second's work."""
_EDGE = SAMPLE_RATE  # Russian clips: 1.3 points of the word error rate
OVERLAP = 5 * SAMPLE_RATE
"""Samples that are heard before and after a block: pauses and paddings there are known whole."""
_LEVEL = 0.999  # of the amplitudes; a click does not hide how quiet the rest is
_FAINT = 0.02
_USUAL = 0.2
_SOME = 30_000  # samples whose loudest thousandth is a level: within a few hundredths of that of all

Span = tuple[int, int]


def warm_up() -> None:
    """Load the detector, and all that it loads when it is used."""
    get_vad_model()
    _in_block(np.full(SAMPLE_RATE, _USUAL, dtype=np.float32))


def find(file: BinaryIO, samples: int, *, on_block: Callable[[], None]) -> list[Span]:
    """Return spans of speech as (start, stop) in samples, in order and disjoint.

    `file`, unbuffered, holds `samples` values float32, mono, 16 kHz. `on_block` is called after each two minutes of
    audio.
    """
    spans: list[Span] = []
    for start in range(0, samples, BLOCK):
        low, block = read_block(file, start, samples)
        take_in(spans, _in_block(block), low, start)
        on_block()
    return keep_edges(spans, samples)


def read_block(file: BinaryIO, start: int, samples: int) -> tuple[int, Samples]:
    """Return where a block of `samples` begins to be heard that begins at `start`, and what is heard."""
    low, high = max(0, start - OVERLAP), min(samples, start + BLOCK + OVERLAP)
    file.seek(low * 4)
    return low, np.frombuffer(file.read((high - low) * 4), dtype="<f4")


def take_in(spans: list[Span], found: Iterable[Span], low: int, start: int) -> None:
    """Add to the spans of the blocks before what was found in samples from `low` on, of which the block has those from
    `start` on."""
    stop = start + BLOCK
    for span in found:
        inside = max(low + span[0], start), min(low + span[1], stop)
        if inside[0] >= inside[1]:
            continue
        if spans and inside[0] == start == spans[-1][1]:  # speech that goes on across the border
            inside = spans.pop()[0], inside[1]
        spans.append(inside)


def keep_edges(spans: list[Span], samples: int) -> list[Span]:
    """Stretch the first and last span to the edge of the audio where it is near.

    A clip cut close to its words begins and ends with sounds too faint for the detector, and the padding ends there.
    """
    if not spans:
        return spans
    keep_beginning(spans)
    if samples - spans[-1][1] <= _EDGE:
        spans[-1] = (spans[-1][0], samples)
    return spans


def keep_beginning(spans: list[Span]) -> list[Span]:
    """Do so with the first span."""
    if spans and spans[0][0] <= _EDGE:
        spans[0] = (0, spans[0][1])
    return spans


def _in_block(block: Samples) -> list[Span]:
    gain = gain_of(block)
    return spans_of(windows(block, gain), len(block)) if gain else []


def gain_of(block: Samples, *, exactly: bool = True) -> float:
    """Return by what samples are multiplied before they are judged: 1 as a rule, 0 where nothing but zeros is.

    Unless `exactly`, some of the samples say it. The detector hears nothing at -60 dBFS, where models still understand.
    """
    some = block if exactly else block[:: max(1, len(block) // _SOME)]
    level = float(np.quantile(np.abs(some), _LEVEL))
    if level == 0:
        level = float(np.abs(block).max())
    return 1.0 if _FAINT < level < 1 else _USUAL / level if level else 0.0


def spans_of(judged: Sequence[NDArray[np.float32]], samples: int) -> list[Span]:
    """Return the speech in a block of so many samples, padded, by what `windows` made of it."""
    spans = [(start * _FRAME, stop * _FRAME) for start, stop in _voiced(np.concatenate(judged))]
    return _padded(spans, samples)


def _voiced(probabilities: NDArray[np.float32]) -> list[Span]:
    """Return where speech is in probabilities of shape (n,), one a frame; in frames, and each but the last to a pause.

    Within speech, doubtful frames are speech.
    """
    spans: list[Span] = []
    start = quiet = None
    for frame, probability in enumerate(probabilities.tolist()):
        if probability >= _SPEECH:
            start = frame if start is None else start
            quiet = None
        elif probability < _NO_SPEECH and start is not None:
            quiet = frame if quiet is None else quiet
            if (frame - quiet) * _FRAME >= _PAUSE:
                spans.append((start, quiet))
                start = quiet = None
    return spans if start is None else [*spans, (start, len(probabilities))]


def windows(
    block: Samples, gain: float, known: Sequence[NDArray[np.float32]] = (), last: LastWindow | None = None
) -> list[NDArray[np.float32]]:
    """Return how probable speech is in each frame of a block of shape (n,), the last filled up with silence: window by
    window, of which `known` are the first, if they were judged before. `last` judges the one that is not whole."""
    model, padded = get_vad_model(), np.pad(block, (0, -len(block) % _FRAME))
    found = list(known)
    for start in range(len(found) * _WINDOW, len(padded), _WINDOW):
        low = max(0, start - _RUN_IN)
        if last and len(block) < start + _WINDOW:
            found.append(last.judge(block[low:], low, gain)[(start - low) // _FRAME :])
        else:
            window = _amplified(padded[low : start + _WINDOW], gain)
            found.append(model(window).ravel()[(start - low) // _FRAME :])
    return found


class LastWindow:
    """A window that grows: frames that were judged are not judged again. To the detector's rounding, and but for the
    last frame, what it says is what is said of the window when it is whole."""

    def __init__(self) -> None:
        self._low = -1
        self._gain = 0.0
        self._judged: list[NDArray[np.float32]] = []
        self._frames = 0
        self._state = _AT_FIRST

    def judge(self, window: Samples, low: int, gain: float) -> NDArray[np.float32]:
        """Return how probable speech is in each frame of samples of shape (n,), which begin with those of the call
        before unless `low`, where they begin in their block, or the gain is another one."""
        if (low, gain) != (self._low, self._gain):
            self._low, self._gain, self._judged, self._frames, self._state = low, gain, [], 0, _AT_FIRST
        done = self._frames * _FRAME
        # What the detector hears before a frame comes with it.
        new = _amplified(np.pad(window[max(0, done - _CONTEXT) :], (0 if done else _CONTEXT, 0)), gain)
        whole = (len(new) - _CONTEXT) // _FRAME
        if whole:
            judged, self._state = _step(new[: _CONTEXT + whole * _FRAME], self._state)
            self._judged.append(judged)
            self._frames += whole
        rest = new[whole * _FRAME :]
        if len(rest) == _CONTEXT:
            return np.concatenate(self._judged) if self._judged else np.zeros(0, dtype=np.float32)
        last, _ = _step(np.pad(rest, (0, _CONTEXT + _FRAME - len(rest))), self._state)
        return np.concatenate([*self._judged, last])


_State = tuple[NDArray[np.float32], NDArray[np.float32]]
_AT_FIRST: _State = (np.zeros((1, 1, 128), dtype=np.float32), np.zeros((1, 1, 128), dtype=np.float32))


def _step(samples: Samples, state: _State) -> tuple[NDArray[np.float32], _State]:
    """Judge frames that are preceded by what is heard before them, as `SileroVADModel.__call__` does."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, _CONTEXT + _FRAME)[::_FRAME]
    inputs = {"input": np.ascontiguousarray(frames), "h": state[0], "c": state[1]}
    judged, hidden, cell = get_vad_model().session.run(None, inputs)
    return judged.ravel(), (hidden, cell)


def _amplified(samples: Samples, gain: float) -> Samples:
    return np.clip(samples * np.float32(gain), -1, 1) if gain != 1 else samples.copy()  # the model writes to it


def whole_windows(samples: int) -> int:
    """Return how many windows of a block of so many samples stay as they are, whatever follows."""
    return samples // _WINDOW


def _padded(spans: list[Span], samples: int) -> list[Span]:
    """Widen spans within so many samples; neighbours share what is between them."""
    padded = []
    for number, (start, stop) in enumerate(spans):
        before = (start - spans[number - 1][1]) // 2 if number else start
        after = (spans[number + 1][0] - stop) // 2 if number + 1 < len(spans) else samples - stop
        padded.append((start - min(_PAD, before), stop + min(_PAD, after)))
    return padded
