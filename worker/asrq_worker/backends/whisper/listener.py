"""Gets the best of Whisper for each chunk: leaves out what it invented, hears again what it left out.

What repeats itself is heard in parts, down to a few seconds, cut at pauses: Whisper counts badly how often a thing was
said, and a part in which it was said once is heard once.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace

from asrq_worker.backends import guards
from asrq_worker.backends.base import SAMPLE_RATE, Chunk, TimedSegment, Transcript
from asrq_worker.backends.halves import SPLITTABLE_S, halves, joined
from asrq_worker.backends.spoken import Sound, doubted, invented, letters, pause, seconds_of_sound, silent, sound
from asrq_worker.backends.whisper.steps import Steps
from asrq_worker.backends.whisper.thin import hushed, lacks, speech, spelled, stretched, thin

_REST_S = 1.5  # of sound: the last words are often given less than a second of their own
_PAUSE_S = 0.2  # longer than the silence within a consonant
_ENOUGH = 5.0  # letters a second of sound: a text with fewer is not what was said there

_ALIKE = 0.7  # share of the words of the whole that its parts have, too: none is heard quite alike
_SENTENCE = 3  # words: fewer are what a model invents over noise, and again in each part of it
_MORE = 10  # letters: two words, or three
_WORD_S = 0.5

Hear = Callable[[Chunk], Steps[Transcript]]


def listen(chunk: Chunk, hear: Hear) -> Steps[Transcript]:
    """Return what is said in a chunk, going by what `hear` makes of it and of parts of it.

    Among `warnings`: `split_at_repetition` where it repeats itself and was heard in parts, `repetition` where a part
    that is too short to be cut does, `invented` where text was left out that nobody can have said, `too_short` where
    there is speech that no hearing had text for.

    Args:
        chunk: finite samples that are not silence, and options that the model can serve.
        hear: asks the model once; for a draft, in the shortest window only.
    """
    heard = yield from hear(chunk)
    if guards.repetition(heard.text) is None:
        heard = yield from _completed(chunk, heard, hear)
        return (yield from _made_whole(chunk, heard, hear))
    if chunk.seconds < SPLITTABLE_S:
        return (yield from _completed(chunk, _warned(_without_runs(heard), "repetition"), hear))
    whole = yield from _in_halves(_in_its_language(chunk, heard), hear)
    return (yield from _said_twice(chunk, _detected_as(heard, whole), hear)) if whole.text else whole


def _said_twice(chunk: Chunk, heard: Transcript, hear: Hear) -> Steps[Transcript]:
    """Return what a chunk that repeats itself says, with segments halved that hold twice what they say."""
    said = speech(chunk.samples)
    chunk = _in_its_language(chunk, heard)
    for segment in stretched(heard.segments, said):
        again = yield from _in_parts(halves(_between(chunk, segment.start, segment.end)), hear)
        once, twice = guards.words(segment.text), guards.words(again.text)
        if sum(twice.count(word) for word in set(once)) < 2 * _ALIKE * len(once):
            heard = _warned(heard, "too_short")
            continue
        after = _of(heard, [each for each in heard.segments if each.start > segment.start])
        heard = joined(joined(_up_to(segment.start, heard), again, segment.start), after, 0.0)
    return _warned(heard, "too_short") if lacks(heard.segments, said, chunk.seconds) else heard


def _made_whole(chunk: Chunk, heard: Transcript, hear: Hear) -> Steps[Transcript]:
    """Return what parts of a chunk say where the text of the whole is too thin for the speech, and they say more.

    First only the doubtful stretches are heard again, to know whether that is worth while.
    """
    if not heard.segments:
        return heard
    said = speech(chunk.samples)
    if chunk.seconds >= SPLITTABLE_S and len(guards.words(heard.text)) >= _SENTENCE:
        chunk = _in_its_language(chunk, heard)
        heard = yield from _with_quiet(chunk, heard, hear)
        for stretch in thin(heard.segments, said, chunk.seconds):
            alone = _between(chunk, *stretch)
            cheaply = replace(alone, options=replace(alone.options, draft=True))
            again = yield from _in_parts(halves(cheaply) if alone.seconds >= SPLITTABLE_S else [cheaply], hear)
            if not _says_more(again, _up_to(stretch.end, heard, stretch.start).text):
                continue
            whole = yield from _in_parts(halves(chunk), lambda part: listen(part, hear))
            if _says_more(whole, heard.text):
                heard = _detected_as(heard, whole)
            break
    if "split_at_repetition" in heard.warnings:
        return (yield from _said_twice(chunk, heard, hear))
    return _warned(heard, "too_short") if lacks(heard.segments, said, chunk.seconds) else heard


def _with_quiet(chunk: Chunk, heard: Transcript, hear: Hear) -> Steps[Transcript]:
    """Return a chunk's text with what is said more quietly than the rest, or with a warning that it lacks that."""
    quiet = hushed(chunk.samples)
    for stretch in quiet:
        alone = _between(chunk, *stretch)
        again = yield from hear(replace(alone, options=replace(alone.options, draft=True)))
        if not _is_news(again, heard):
            continue
        if not _says_more(again, ""):
            again = yield from hear(alone)
        if _says_more(again, ""):
            parts = _cut(chunk, sorted({edge for each in quiet for edge in each}))
            whole = yield from _in_parts(parts, lambda part: listen(part, hear))
            return _detected_as(heard, whole) if _says_more(whole, heard.text) else _warned(heard, "too_short")
        if _is_news(again, heard):
            heard = _warned(heard, "too_short")
    return heard


def _is_news(again: Transcript, heard: Transcript) -> bool:
    """Whether a part has a sentence that the whole lacks, however unsure, and the model calls it speech."""
    found = guards.words("".join(segment.text for segment in again.segments if not silent(segment)))
    known = guards.words(heard.text)
    return len(found) >= _SENTENCE and sum(word in known for word in found) < _ALIKE * len(found)


def _says_more(again: Transcript, before: str) -> bool:
    """Whether a text has all that there was before, however it was heard, and a few words beside it.

    Of what is new, only what is likely counts: where nobody speaks, a model invents in a short part, too.
    """
    found, known = guards.words(again.text), guards.words(before)
    sure = "".join(segment.text for segment in again.segments if not doubted(segment))
    if len(found) < _SENTENCE or spelled(sure) < spelled(before) + _MORE:
        return False
    return sum(word in found for word in known) >= _ALIKE * len(known)


def _between(chunk: Chunk, start: float, end: float) -> Chunk:
    return replace(chunk, samples=chunk.samples[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)])


def _cut(chunk: Chunk, cuts: Sequence[float]) -> list[Chunk]:
    """Cut a chunk at these seconds; what is too short for a word is left to its neighbour."""
    inside = (cut for cut in cuts if _WORD_S < cut < chunk.seconds - _WORD_S)
    return [_between(chunk, *edges) for edges in itertools.pairwise([0.0, *inside, chunk.seconds])]


def _in_parts(parts: Sequence[Chunk], hear: Hear) -> Steps[Transcript]:
    """Hear parts one after the other, and return one transcript for all of them."""
    whole, at = Transcript("", None), 0.0
    for part in parts:
        heard = yield from hear(part)
        whole, at = joined(whole, heard, at), at + part.seconds
    repeats = guards.repetition(whole.text) is not None
    return _warned(whole, "split_at_repetition") if repeats else whole


def _in_halves(chunk: Chunk, hear: Hear) -> Steps[Transcript]:
    """Cut at pauses down to the shortest parts: the phrase once, or what is left of it, looks no more like a loop."""
    left, right = halves(chunk)
    before = yield from _part(left, hear)
    after = yield from _part(right, hear)
    return joined(before, after, left.seconds, "split_at_repetition")


def _part(half: Chunk, hear: Hear) -> Steps[Transcript]:
    hear_part = _in_halves if half.seconds >= SPLITTABLE_S and _has_pause(half) else listen
    return (yield from hear_part(half, hear))


def _completed(chunk: Chunk, heard: Transcript, hear: Hear) -> Steps[Transcript]:
    """Leave out what is invented; where speech then has no text, hear all from there on again, alone and once."""
    sounds = sound(chunk.samples)
    left_out = invented(heard.segments, sounds, chunk.seconds)
    heard = _without(heard, left_out)
    start = _end_of_text(heard.segments, left_out, sounds, chunk.seconds)
    if start is None:
        return heard
    rest = replace(_in_its_language(chunk, heard), samples=chunk.samples[round(start * SAMPLE_RATE) :])
    again = yield from hear(rest)
    again = _without(again, invented(again.segments, sound(rest.samples), rest.seconds))
    before = _up_to(start, heard)
    enough = max(
        _ENOUGH * seconds_of_sound(sounds, start, chunk.seconds), letters(heard.text) - letters(before.text) + 1
    )
    if letters(again.text) < enough or _words(before).endswith(_words(again)):
        return heard
    return _detected_as(heard, joined(before, again, start))


def _end_of_text(
    said: Sequence[TimedSegment], left_out: Sequence[TimedSegment], sounds: Sound, seconds: float
) -> float | None:
    """Return where text first ends before speech does: where something was left out, or after the last segment."""
    for place in (*(segment.start for segment in left_out), seconds):
        before = max((segment.end for segment in said if segment.start < place), default=None)
        after = min((segment.start for segment in said if segment.start >= place), default=seconds)
        if before is not None and seconds_of_sound(sounds, before, after) >= _REST_S:
            return before
    return None


def _without(heard: Transcript, left_out: Sequence[TimedSegment]) -> Transcript:
    """Leave segments out of a transcript, and say so."""
    if not left_out:
        return heard
    kept = _of(heard, [segment for segment in heard.segments if segment not in left_out])
    return _warned(kept, "invented") if kept.text else _warned(kept, "invented", "no_speech")


def _without_runs(heard: Transcript) -> Transcript:
    """Leave out letters that are repeated as in no word: what else there is in their segments was said."""
    if guards.without_runs(heard.text) == heard.text:
        return heard
    segments = [
        replace(
            segment,
            text=guards.without_runs(segment.text),
            words=segment.words and tuple(word for word in segment.words if guards.without_runs(word.word)),
        )
        for segment in heard.segments
    ]
    return _of(heard, [segment for segment in segments if segment.text])


def _has_pause(chunk: Chunk) -> bool:
    """Whether nothing is said where the chunk would be cut."""
    return pause(sound(chunk.samples), halves(chunk)[0].seconds) >= _PAUSE_S


def _up_to(seconds: float, heard: Transcript, start: float = 0.0) -> Transcript:
    return _of(heard, [segment for segment in heard.segments if start <= segment.start < seconds])


def _of(heard: Transcript, segments: Sequence[TimedSegment]) -> Transcript:
    text = "".join(segment.text for segment in segments).strip()
    if not text:
        return Transcript("", None, warnings=heard.warnings)
    return replace(heard, text=text, segments=tuple(segments))


def _warned(heard: Transcript, *warnings: str) -> Transcript:
    return replace(heard, warnings=tuple(dict.fromkeys((*heard.warnings, *warnings))))


def _in_its_language(chunk: Chunk, heard: Transcript) -> Chunk:
    return replace(chunk, options=replace(chunk.options, language=heard.language))


def _detected_as(first: Transcript, heard: Transcript) -> Transcript:
    """Give what was heard in a known language the probabilities that made it known."""
    return replace(heard, language_probability=first.language_probability, languages=first.languages)


def _words(heard: Transcript) -> str:
    return " ".join(guards.words(heard.text))
