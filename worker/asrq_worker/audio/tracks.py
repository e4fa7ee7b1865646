"""Which audio track of a file is heard: the one asked for, else the default one, else the first that is not silent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from asrq_jobs.errors import AudioEmptyError, AudioUnreadableError, NoAudioStreamError

_MOST = 8  # that are listened to, each as long as the file


@dataclass(frozen=True)
class Track:
    """An audio track: its number, from 1; whether the file marks it as the default; whether its codec is known."""

    number: int
    default: bool
    known: bool


Choose = Callable[[Sequence[Track]], int]


class _WithSpans(Protocol):
    @property
    def spans(self) -> Sequence[object]: ...


T = TypeVar("T", bound=_WithSpans)


def by_preference(tracks: Sequence[Track]) -> tuple[int, ...]:
    """Return the numbers of the tracks, best first."""
    return tuple(track.number for track in sorted(tracks, key=lambda t: (not t.known, not t.default, t.number)))


def listen(wanted: int | None, hear: Callable[[Choose], T]) -> tuple[T, bool]:
    """Return what was heard of the track `wanted`, or of the best in which somebody speaks; and whether there are
    others that were not heard, though nobody said that they need not be.

    `hear` decodes the track that it is told to take of those there are. If nobody speaks in any, it is the best one
    that can be decoded.

    Raises:
        NoAudioStreamError: there is no track `wanted`.
        AudioError: none can be decoded; what was wrong with the best.
    """
    order: tuple[int, ...] = ()
    silent: list[int] = []
    failure: AudioEmptyError | AudioUnreadableError | None = None

    def choose(place: int, tracks: Sequence[Track]) -> int:
        nonlocal order
        order = by_preference(tracks)
        if wanted is None:
            return order[place]
        if wanted not in order:
            count = "one audio track" if len(order) == 1 else f"{len(order)} audio tracks"
            raise NoAudioStreamError(f"The file has {count}, and no track {wanted}.", hint="Name another one, or none.")
        return wanted

    for place in range(_MOST):
        try:
            heard = hear(partial(choose, place))
        except (AudioEmptyError, AudioUnreadableError) as error:
            failure = failure or error
        else:
            if heard.spans or wanted is not None:
                return heard, wanted is None and (place + 1 < len(order) or failure is not None)
            silent.append(place)
        if wanted is not None or place + 1 >= len(order):
            break
    if failure and not silent:
        raise failure
    if silent[0] != place:
        heard = hear(partial(choose, silent[0]))
    return heard, place + 1 < len(order) or failure is not None
