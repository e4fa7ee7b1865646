"""From speech to speakers: what is listened to, and which of it is one voice. Pure but for scipy, which comes with the
extra `speakers`.

Windows of speech become vectors (voices.py). Vectors are joined by average linkage of their cosine distance (Sokal and
Michener, 1958) up to `APART`; clusters that speak for less than `LEAST_S` are no speakers; last, each window goes to
the nearest of the means. `ops/bench/speakers.py` measures what comes of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from asrq_worker.backends.base import SAMPLE_RATE

APART = 0.5
"""Cosine distance from which on two clusters are two voices."""
LEAST_S = 2.0
"""Seconds of speech that make a speaker; shorter clusters are windows that hold two voices, or noise. If the number is
asked for, half of it."""
_WINDOW = 3 * SAMPLE_RATE
_HOP = _WINDOW // 2
_MOST = 4000  # vectors that are compared with each other: memory and time grow with the square
_ROUNDS = 2

Span = tuple[int, int]
Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Turn:
    """A stretch of speech of one speaker, in samples; `speaker` counts from 0 in the order in which they begin."""

    start: int
    stop: int
    speaker: int


@dataclass(frozen=True)
class Number:
    """How many speakers there are: from `least` to `most`; None: as many as are heard."""

    least: int = 1
    most: int | None = None


def windows(spans: Sequence[Span]) -> list[Span]:
    """Return what is listened to: each span, or windows of it that overlap by half."""
    found: list[Span] = []
    for start, stop in spans:
        parts = max(0, -(-(stop - start - _WINDOW) // _HOP))
        found += [
            (int(at), min(int(at) + _WINDOW, stop)) for at in np.linspace(start, max(start, stop - _WINDOW), parts + 1)
        ]
    return found


def speakers(vectors: Vectors, listened: Sequence[Span], number: Number) -> NDArray[np.int64]:
    """Return whose voice each vector is, numbered from 0: shape (n,) for unit vectors of shape (n, d), n at least 1."""
    some = np.unique(np.linspace(0, len(vectors) - 1, min(len(vectors), _MOST)).astype(int))
    seconds = np.array([(listened[place][1] - listened[place][0]) / SAMPLE_RATE for place in some])
    compared = vectors[some]
    clusters = _joined(compared, seconds, number)
    for _ in range(_ROUNDS):
        weighed = [
            compared[clusters == cluster].T @ seconds[clusters == cluster] for cluster in range(clusters.max() + 1)
        ]
        means = np.stack([mean for mean in weighed if mean.any()])
        means /= np.linalg.norm(means, axis=1, keepdims=True)
        clusters = (compared @ means.T).argmax(axis=1)
    return np.asarray((vectors @ means.T).argmax(axis=1), dtype=np.int64)


def means(vectors: Vectors, listened: Sequence[Span], whose: NDArray[np.int64]) -> Vectors:
    """Return the mean voice of each speaker, in the order in which they begin: unit vectors, shape (speakers, d)."""
    seconds = np.array([stop - start for start, stop in listened], dtype=np.float32)
    each = np.stack([seconds[whose == who] @ vectors[whose == who] for who in dict.fromkeys(whose.tolist())])
    made: Vectors = each / np.maximum(np.linalg.norm(each, axis=1, keepdims=True), 1e-9)
    return made


def _joined(vectors: Vectors, seconds: NDArray[np.float64], number: Number) -> NDArray[np.int64]:
    """Return the cluster of each vector, or -1 of those that are in none that makes a speaker."""
    from scipy.cluster.hierarchy import fcluster, linkage

    if len(vectors) == 1:
        return np.zeros(1, dtype=np.int64)
    tree = linkage(vectors, "average", metric="cosine")
    clusters = fcluster(tree, APART, "distance") - 1
    kept = _kept(clusters, seconds)
    wanted = min(max(len(kept), number.least), number.most or len(vectors), len(vectors))
    if len(kept) != wanted:
        for cut in range(wanted, len(vectors) + 1):  # more clusters than speakers, as short ones are none
            clusters = fcluster(tree, cut, "maxclust") - 1
            kept = _kept(clusters, seconds, LEAST_S / 2)
            if len(kept) == wanted:
                break
        else:
            clusters = fcluster(tree, wanted, "maxclust") - 1
            kept = list(range(clusters.max() + 1))
    places = {cluster: place for place, cluster in enumerate(kept)}
    return np.array([places.get(int(cluster), -1) for cluster in clusters], dtype=np.int64)


def _kept(clusters: NDArray[np.int64], seconds: NDArray[np.float64], least_s: float = LEAST_S) -> list[int]:
    spoken = np.bincount(clusters, weights=seconds)
    return [int(cluster) for cluster in np.flatnonzero(spoken >= least_s)] or [int(spoken.argmax())]


def turns(spans: Sequence[Span], listened: Sequence[Span], whose: Sequence[int]) -> list[Turn]:
    """Return the speech as turns: each sample of a span is said by whom the nearest window of the span is."""
    found: list[Turn] = []
    for start, stop in spans:
        inside = [
            (low + high, who) for (low, high), who in zip(listened, whose, strict=True) if start <= low and high <= stop
        ]
        edges = [start, *((one[0] + other[0]) // 4 for one, other in pairwise(inside)), stop]
        for (_, who), low, high in zip(inside, edges[:-1], edges[1:], strict=True):
            if found and found[-1].speaker == who and found[-1].stop == low:
                found[-1] = Turn(found[-1].start, high, int(who))
            else:
                found.append(Turn(low, high, int(who)))
    order = {who: place for place, who in enumerate(dict.fromkeys(turn.speaker for turn in found))}
    return [Turn(turn.start, turn.stop, order[turn.speaker]) for turn in found]
