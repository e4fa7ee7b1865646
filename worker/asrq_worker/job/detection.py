"""Which language is spoken where in a recording: the evidence of all its stretches, weighed together. Pure.

A model that hears a second of speech guesses: of 26 short Russian utterances, each on its own, `base` took three for
Polish, French and Arabic. So stretches are the observations of a hidden Markov chain whose states are languages, and
the likeliest path through it is taken (Viterbi, 1967): a recording has a language, leaving it has a cost, and a change
needs more evidence than a short or unsure stretch has.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field

from asrq_worker.audio.split import Piece
from asrq_worker.backends.base import Transcript

SURE_S = 10.0
"""Speech of this length, in seconds, is evidence of full weight. Shorter speech has less, by its length to the power of
1.5: of stretches of 3 s and more, `base` took none in 50 for another language, of those of 1 to 2 s 9 in 46."""
FLOOR = 0.02
"""Probability below which no language falls: what seems impossible in one stretch may yet be spoken there."""
CHANGE = 0.5
"""What a change of the language costs, in nats of evidence; a stretch between others pays twice: about 4 s of clear
speech."""
UNTOLD = 0.9
"""Probability of a language that a model names without one."""
UNSURE = 0.5
"""Probability of the languages found below which they are a guess."""
DOUBT = 0.75
"""Evidence for another language, in nats, of a stretch that was not believed; from here on that is worth a warning."""
MIXED = 0.04
"""Probability of a second language from which on a piece may hold both: one that is alone has all but a hundredth."""
MIXED_S = 6.0
"""Length of a piece, in seconds, from which on it is worth a closer look."""


@dataclass(frozen=True)
class Evidence:
    """What a model made of the language of a stretch of speech."""

    seconds: float
    probabilities: Mapping[str, float] = field(default_factory=dict)
    """By language; those that are missing are next to 0. None at all: nothing is known."""

    def of(self, language: str) -> float:
        """Return the logarithm of a language's probability, weighed by the length of the speech."""
        if not self.probabilities:
            return 0.0
        weight: float = min(self.seconds / SURE_S, 1.0) ** 1.5
        return weight * math.log(max(self.probabilities.get(language, 0.0), FLOOR))

    def against(self, language: str) -> float:
        """Return how much more it speaks for another language."""
        return max((self.of(other) for other in self.probabilities), default=0.0) - self.of(language)


def languages(stretches: Sequence[Evidence]) -> list[str] | None:
    """Return the language of each stretch, in the order of the recording; None where nothing is known of any."""
    known = list(dict.fromkeys(language for each in stretches for language in each.probabilities))
    if not known:
        return None
    main = max(known, key=lambda language: sum(each.of(language) for each in stretches))
    # The recording begins and ends in its language: a stretch at its edge is no likelier to be in another.
    edge = {language: 0.0 if language == main else -CHANGE for language in known}
    score, steps = edge, []
    for each in stretches:
        best = max(known, key=score.__getitem__)
        change = score[best] - CHANGE
        steps.append({language: language if score[language] >= change else best for language in known})
        score = {language: max(score[language], change) + each.of(language) for language in known}
    path = [max(known, key=lambda language: score[language] + edge[language])]
    for step in reversed(steps[1:]):
        path.append(step[path[-1]])
    return path[::-1]


def unsure(stretches: Sequence[Evidence], found: Sequence[str]) -> bool:
    """Whether the languages found are a guess: on the whole, or where a stretch rather sounds like another one."""
    told = [(each, language) for each, language in zip(stretches, found, strict=True) if each.probabilities]
    probable = sum(each.seconds * each.probabilities.get(language, 0.0) for each, language in told)
    guess = probable < UNSURE * sum(each.seconds for each, _ in told)
    return guess or any(each.against(language) >= DOUBT for each, language in told)


def main_language(heard: Mapping[Piece, Transcript], known: Set[str], only: Sequence[str] = ()) -> str | None:
    """Return the language that a recording is in by pieces of it; None as long as that is doubtful."""
    evidence = [_evidence(piece, transcript, known, only) for piece, transcript in heard.items()]
    told = {language for each in evidence for language in each.probabilities}
    (first, language), (second, _) = sorted(  # beside two that nobody has told of
        ((sum(each.of(language) for each in evidence), language) for language in told | {"", "-"}), reverse=True
    )[:2]
    return language if first - second >= DOUBT else None


@dataclass(frozen=True)
class _Settled:
    """What is right as it was heard, and what is to be heard again, with its language and how probable that is."""

    kept: Mapping[Piece, Transcript]
    again: Mapping[Piece, tuple[str, float | None]]
    unsure: bool


def mixed(whole: Mapping[Piece, Transcript], known: Set[str], only: Sequence[str] = ()) -> list[Piece]:
    """Return the pieces that may hold two languages: they sound like it, or the language changes at their edge.

    `whole` has the pieces of a recording that were heard without being told a language, `known` what can be asked for;
    `only`, if any, are the languages to choose among.
    """
    pieces = sorted(whole, key=lambda piece: piece.start)
    found = languages([_evidence(piece, whole[piece], known, only) for piece in pieces])
    if found is None:
        return []
    before, after = [found[0], *found[:-1]], [*found[1:], found[-1]]
    return [
        piece
        for piece, *around in zip(pieces, before, found, after, strict=True)
        if piece.seconds >= MIXED_S and (len(set(around)) > 1 or _sounds_mixed(whole[piece]))
    ]


def _sounds_mixed(heard: Transcript) -> bool:
    return sum(probability >= MIXED for _, probability in heard.languages) > 1


def settle(
    whole: Mapping[Piece, Transcript],
    closer: Mapping[Piece, Transcript],
    known: Set[str],
    only: Sequence[str] = (),
) -> _Settled:
    """Find the languages of a recording's pieces; `closer` has the stretches that `mixed` ones consist of.

    A piece is cut where its language changes. Only languages of `known` can be asked for; `only`, if any, are those to
    choose among, of which the first is taken where the model has found none of them.
    """
    parts = [
        (piece, sorted((part for part in closer if _within(part, piece)), key=lambda part: part.start) or [piece])
        for piece in sorted(whole, key=lambda piece: piece.start)
    ]
    heard = {**closer, **whole}
    stretches = [_evidence(part, heard[part], known, only) for _, inner in parts for part in inner]
    found = languages(stretches)
    if found is None:
        return _Settled(whole, {}, unsure=False)
    kept: dict[Piece, Transcript] = {}
    again: dict[Piece, tuple[str, float | None]] = {}
    rest = iter(found)
    for piece, inner in parts:
        runs = _runs(piece, [(part, next(rest)) for part in inner])
        for part, language, members in runs:
            transcript = heard.get(part)
            if transcript is not None and (not transcript.text or transcript.language == language):
                kept[part] = transcript
            else:
                again[part] = language, _probability(language, {member: heard[member] for member in members})
    return _Settled(kept, again, unsure(stretches, found))


def _within(part: Piece, piece: Piece) -> bool:
    return piece.start <= part.start and part.stop <= piece.stop


def _evidence(piece: Piece, heard: Transcript, known: Set[str], only: Sequence[str]) -> Evidence:
    told = dict(heard.languages) or ({heard.language: UNTOLD} if heard.language else {})
    if only and told:
        return Evidence(piece.seconds, {language: told.get(language, 0.0) for language in only})
    return Evidence(piece.seconds, {language: told[language] for language in told if language in known})


def _runs(piece: Piece, inner: Sequence[tuple[Piece, str]]) -> Iterator[tuple[Piece, str, list[Piece]]]:
    """Join neighbours of one language; a piece that has only one stays whole."""
    runs = [
        (language, [part for part, _ in run]) for language, run in itertools.groupby(inner, key=lambda each: each[1])
    ]
    for language, members in runs:
        yield piece if len(runs) == 1 else Piece(members[0].start, members[-1].stop), language, members


def _probability(language: str, members: Mapping[Piece, Transcript]) -> float | None:
    """Return the mean over stretches, weighed by their length; None where the model gives no probabilities."""
    rated = {piece: dict(heard.languages) for piece, heard in members.items() if heard.languages}
    if not rated:
        return None
    seconds = sum(piece.seconds for piece in rated)
    return round(sum(piece.seconds * told.get(language, 0.0) for piece, told in rated.items()) / seconds, 6)
