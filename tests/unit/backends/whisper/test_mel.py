"""Features are the same in every process, whatever its threads."""

from __future__ import annotations

import numpy as np
import pytest

from asrq_worker.backends.whisper.mel import MelFilters


@pytest.mark.parametrize("mels", [80, 128])
def test_the_energy_in_each_filter_is_that_of_the_product(mels: int) -> None:
    pytest.importorskip("faster_whisper")
    from faster_whisper.feature_extractor import FeatureExtractor

    weights = FeatureExtractor(feature_size=mels).mel_filters
    power = np.random.default_rng(0).random((201, 500), np.float32)
    energy = MelFilters(weights) @ power
    assert energy.dtype == np.float32
    np.testing.assert_allclose(energy, weights @ power, rtol=1e-5)


def test_a_filter_without_bins_has_no_energy() -> None:
    assert (MelFilters(np.zeros((2, 3), np.float32)) @ np.ones((3, 4), np.float32)).tolist() == [[0.0] * 4] * 2
