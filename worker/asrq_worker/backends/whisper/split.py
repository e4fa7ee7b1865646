"""Into how many decodes, of how many threads each, a model shares the cores of this host.

A decode of one thread loses nothing to threads that wait for each other, so one for each core is the rule. Where many
cores share a narrow way to memory, fewer decodes of more threads may do better: that is measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import numpy as np
from pydantic import Field

MOST_S = 8.0
"""After so long no further round begins; what is not complete by then does not count."""
REPEATS = 2
CLEARLY = 1.1
"""So many times as fast as the rule another split has to be, in each repeat."""
_MOST_THREADS = 4
_CLIPS = 2
_FRAMES = 1000
_TOKENS = 16
_BEAM_SIZE = 5
_END = "<|endoftext|>"
_PROMPT = ["<|startoftranscript|>", "<|notimestamps|>"]

Network = TypeVar("Network")
_Ratio = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class Split:
    """So many decodes in flight, of so many threads each."""

    decodes: int
    threads: int

    def __str__(self) -> str:
        return f"{self.decodes} of {self.threads} thread{'s' if self.threads > 1 else ''}"


@dataclass(frozen=True)
class Trials:
    """How many times as fast as the rule another split was, in each repeat; not what was too slow to be measured."""

    ratios: dict[str, Annotated[tuple[_Ratio, ...], Field(min_length=REPEATS)]]

    def fastest(self, cores: int) -> Split:
        """Return the split to use: the rule, unless another is clearly faster each time."""
        rule, *others = splits(cores)

        def least(split: Split) -> float:
            return min(self.ratios.get(str(split), (0.0,)))

        return max((split for split in others if least(split) >= CLEARLY), key=least, default=rule)

    def __str__(self) -> str:
        told = [
            f"{split} is {' and '.join(f'{ratio:.2f}' for ratio in ratios)} times as fast"
            for split, ratios in self.ratios.items()
        ]
        return f"compared with one for each core: {', '.join(told)}" if told else "one for each core"


def splits(cores: int) -> list[Split]:
    """Return those that use all cores, the rule first."""
    return [Split(cores // threads, threads) for threads in range(1, _MOST_THREADS + 1) if cores % threads == 0]


def compare(
    cores: int,
    load: Callable[[Split], Network],
    work: Callable[[Network], object],
    clock: Callable[[], float] = time.perf_counter,
) -> Trials:
    """Have each split do the same work, by turns with the rule.

    Args:
        cores: how many there are.
        load: returns a network that runs so many calls at once, of so many threads each.
        work: has it do what a decode does, and returns what came of it; a split with which that differs is no choice.
        clock: returns seconds.
    """

    def round_s(split: Split, network: Network) -> float:
        with ThreadPoolExecutor(split.decodes) as threads:
            started = clock()
            list(threads.map(work, [network] * cores))
            return clock() - started

    began = clock()
    rule, *others = splits(cores)
    network = load(rule)
    result = work(network)
    ratios: dict[str, tuple[float, ...]] = {}
    for split in others:
        other = load(split)
        if work(other) != result:
            continue
        turns: list[float] = []
        while len(turns) < REPEATS and clock() - began < MOST_S:
            turns.append(round(round_s(rule, network) / round_s(split, other), 2))
        if len(turns) == REPEATS:
            ratios[str(split)] = tuple(turns)
    return Trials(ratios)


def compare_whisper(
    folder: Path, compute_type: str, cores: int, clock: Callable[[], float] = time.perf_counter
) -> Trials:
    """Compare splits for the model in a folder, on a CPU: it encodes noise and decodes so many tokens of it."""
    import ctranslate2
    from tokenizers import Tokenizer

    def load(split: Split) -> ctranslate2.models.Whisper:
        return ctranslate2.models.Whisper(
            str(folder), compute_type=compute_type, inter_threads=split.decodes, intra_threads=split.threads
        )

    def work(network: ctranslate2.models.Whisper) -> object:
        noise = np.random.default_rng(0).standard_normal((_CLIPS, 1, network.n_mels, _FRAMES), np.float32)
        windows = [network.encode(ctranslate2.StorageView.from_array(one), to_cpu=True) for one in noise]
        encoded = np.concatenate([np.array(window) for window in windows])
        found = network.generate(
            ctranslate2.StorageView.from_array(encoded),
            [_PROMPT] * _CLIPS,
            beam_size=_BEAM_SIZE,
            max_length=len(_PROMPT) + _TOKENS,
            suppress_tokens=[end],
            return_scores=True,
        )
        return encoded.tobytes(), [(result.sequences_ids, result.scores) for result in found]

    end = Tokenizer.from_file(str(folder / "tokenizer.json")).token_to_id(_END)
    return compare(cores, load, work, clock)
