"""What is tried when Whisper goes wrong on a chunk, with scripted answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from asrq_worker.backends.base import SAMPLE_RATE, Chunk, ChunkOptions, Samples, TimedSegment, Transcript
from asrq_worker.backends.whisper import listener
from asrq_worker.backends.whisper.steps import Steps, together

Answer = Callable[[Chunk], Transcript]

SENTENCE = "The ship sails at noon."
LONG = "It may well be rather late in the evening, or at night, but I think that at last it comes to all of us."
WEIGHED = (("en", 0.5), ("de", 0.3))


class Scripted:
    """Stands where Whisper stands: answers by a chunk's length in seconds."""

    def __init__(self, answer: Callable[[float], str]) -> None:
        self._answer = answer
        self.heard: list[Chunk] = []

    def __call__(self, chunk: Chunk) -> Transcript:
        self.heard.append(chunk)
        text = self._answer(round(chunk.seconds, 1))
        if not text:
            return Transcript("", None)
        said = (TimedSegment(0.0, chunk.seconds, f" {text}"),)
        return Transcript(text, "en", 0.5, said, languages=WEIGHED)


def listen(chunk: Chunk, answer: Answer) -> Transcript:
    """Listen to a chunk whose hearing takes no steps."""

    def hear(part: Chunk) -> Steps[Transcript]:
        return answer(part)
        yield

    [heard] = together([listener.listen(chunk, hear)], lambda asked: [])
    assert isinstance(heard, Transcript)
    return heard


def chunk(seconds: float) -> Chunk:
    return Chunk(np.ones(round(seconds * SAMPLE_RATE), np.float32), ChunkOptions())


def test_what_is_well_is_heard_once() -> None:
    hear = Scripted(lambda seconds: LONG)
    assert listen(chunk(8), hear).text == LONG
    assert len(hear.heard) == 1


def spoken(seconds: float) -> Chunk:
    """Sentences of 2.4 s, with pauses of 0.4 s after each."""
    sentence = np.concatenate([np.ones(round(2.4 * SAMPLE_RATE)), np.zeros(round(0.4 * SAMPLE_RATE))])
    return Chunk(np.resize(sentence, round(seconds * SAMPLE_RATE)).astype(np.float32), ChunkOptions())


def test_what_is_said_again_and_again_is_what_its_parts_say() -> None:
    """The whole has it too often, and longer parts would have it once, as Whisper likes it."""
    hear = Scripted(lambda seconds: " ".join([SENTENCE] * (20 if seconds > 22 else 1)))
    heard = listen(spoken(8 * 2.8), hear)
    assert heard.text == " ".join([SENTENCE] * 8)
    assert heard.warnings == ("split_at_repetition",)
    assert (heard.language, heard.language_probability, heard.languages) == ("en", 0.5, WEIGHED)
    assert {part.options.language for part in hear.heard[1:]} == {"en"}, "parts are in the language of the whole"
    assert sum(len(part.samples) for part in hear.heard[1:]) == len(hear.heard[0].samples), "each is heard once"


def test_what_is_said_eight_times_and_written_once_is_what_its_parts_say() -> None:
    hear = Scripted(lambda seconds: SENTENCE)
    heard = listen(spoken(8 * 2.8), hear)
    assert heard.text == " ".join([SENTENCE] * 8)
    assert heard.warnings == ("split_at_repetition",)


def test_parts_may_be_heard_a_little_differently_and_sentences_be_long() -> None:
    """40 letters for 19.2 s of sound are fewer than anybody takes, and more than two a second."""
    whole, part = "Call the office tomorrow morning at nine please.", "Call the office tomorrow morning at I please."
    heard = listen(spoken(8 * 2.8), Scripted(lambda seconds: whole if seconds > 22 else part))
    assert heard.text == " ".join([part] * 8)


@pytest.mark.parametrize(
    ("whole", "part"),
    [(SENTENCE, "It rains today."), (SENTENCE, ""), ("Thank you.", "Thank you.")],
    ids=["other words", "nothing", "what is invented over noise"],
)
def test_few_words_stay_unless_their_parts_say_them_again_and_are_told(whole: str, part: str) -> None:
    heard = listen(spoken(8 * 2.8), Scripted(lambda seconds: whole if seconds > 22 else part))
    assert (heard.text, heard.warnings) == (whole, ("too_short",))


def test_what_a_slow_sentence_hides_is_what_its_parts_say() -> None:
    """Three recordings in a row, of which Whisper wrote the first and the last, at a pace that some people have."""
    first, lost, last = LONG, "And so ask not what your country can do for you, ask what you can do.", LONG.upper()

    def answer(seconds: float) -> str:
        if seconds > 20:
            return f"{first} {last}"
        return f"{first} {lost}" if seconds > 10 else last

    def in_segments(part: Chunk) -> Transcript:
        text = answer(part.seconds)
        return Transcript(text, "en", 0.5, (TimedSegment(0.0, part.seconds, f" {text}"),))

    sound = np.ones(21 * SAMPLE_RATE, np.float32)
    sound[13 * SAMPLE_RATE : round(13.4 * SAMPLE_RATE)] = 0
    heard = listen(Chunk(sound, ChunkOptions()), in_segments)
    assert (heard.text, heard.warnings) == (f"{first} {lost} {last}", ())


def with_a_quiet_sentence() -> Samples:
    """4 s that are 20 dB quieter than the 8 s before and after them."""
    syllable = np.concatenate([np.ones(round(0.2 * SAMPLE_RATE)), np.zeros(round(0.14 * SAMPLE_RATE))])
    sound = np.resize(syllable, 20 * SAMPLE_RATE).astype(np.float32)
    sound[8 * SAMPLE_RATE : 12 * SAMPLE_RATE] *= 0.1
    return sound


def test_what_is_said_quietly_between_others_is_heard_alone() -> None:
    """Whisper took it for the background, and its sentences have a human pace without it."""
    sound = with_a_quiet_sentence()

    def hear(part: Chunk) -> Transcript:
        loud, quiet = f"{LONG} {REST}", "Somebody else said that from the far end of the room."
        text = f"{loud} {loud.upper()}" if part.seconds > 10 else quiet if part.seconds < 5 else loud
        return Transcript(text, "en", 0.5, (TimedSegment(0.0, part.seconds, f" {text}"),))

    heard = listen(Chunk(sound, ChunkOptions()), hear)
    assert [(round(each.start), round(each.end)) for each in heard.segments] == [(0, 8), (8, 12), (12, 20)]


@pytest.mark.parametrize(
    ("quiet", "logprob", "no_speech", "warnings"),
    [
        ("Somebody else said that.", -1.0, 0.1, ("too_short",)),
        ("Somebody else said that.", -1.0, 0.7, ()),
        ("It may well be rather late.", -1.0, 0.1, ()),
        ("Oh.", -1.0, 0.1, ()),
    ],
    ids=["unsure", "no speech", "the same words", "a word"],
)
def test_a_quiet_sentence_that_the_model_is_unsure_of_is_told(
    quiet: str, logprob: float, no_speech: float, warnings: tuple[str, ...]
) -> None:
    """The text without it has a human pace."""

    def hear(part: Chunk) -> Transcript:
        if part.seconds > 10:
            text = f"{LONG} {REST} {LONG}"
            return Transcript(text, "en", 0.5, (TimedSegment(0.0, part.seconds, f" {text}"),))
        return Transcript(
            quiet, "en", 0.5, (TimedSegment(0, part.seconds, quiet, None, None, logprob, None, no_speech),)
        )

    heard = listen(Chunk(with_a_quiet_sentence(), ChunkOptions()), hear)
    assert (heard.text, heard.warnings) == (f"{LONG} {REST} {LONG}", warnings)


@pytest.mark.parametrize(
    ("half", "times", "warned"), [(SENTENCE, 12, False), ("", 7, True)], ids=["heard", "not heard"]
)
def test_what_is_said_twice_in_a_part_and_written_once_is_heard_again_or_told(
    half: str, times: int, warned: bool
) -> None:
    """Twelve sentences of 1.5 s; five of seven parts hold two, and each has a human pace all the same."""
    sentence = np.concatenate([np.ones(round(1.2 * SAMPLE_RATE)), np.zeros(round(0.3 * SAMPLE_RATE))])
    sound = np.tile(sentence, 12).astype(np.float32)
    hear = Scripted(lambda seconds: SENTENCE * 20 if seconds > 17 else SENTENCE if len(hear.heard) <= 8 else half)
    heard = listen(Chunk(sound, ChunkOptions()), hear)
    assert heard.text == " ".join([SENTENCE] * times)
    assert ("too_short" in heard.warnings) is warned
    assert "split_at_repetition" in heard.warnings
    assert [segment.start for segment in heard.segments] == sorted(segment.start for segment in heard.segments)


def test_what_its_parts_repeat_is_heard_again_where_it_lasts_for_two() -> None:
    """Also where the whole had it once: of its parts, five hold it twice."""
    sentence = np.concatenate([np.ones(round(1.2 * SAMPLE_RATE)), np.zeros(round(0.3 * SAMPLE_RATE))])
    heard = listen(Chunk(np.tile(sentence, 12).astype(np.float32), ChunkOptions()), Scripted(lambda seconds: SENTENCE))
    assert heard.text == " ".join([SENTENCE] * 12)


def test_parts_without_pauses_are_cut_as_long_as_they_repeat_themselves() -> None:
    hear = Scripted(lambda seconds: " ".join([SENTENCE] * (20 if seconds > 8 else 2)))
    assert max(segment.end - segment.start for segment in listen(chunk(16), hear).segments) < 8
    well = Scripted(lambda seconds: SENTENCE * 8 if seconds > 15 else f"{LONG} It took {seconds} seconds.")
    assert len(listen(chunk(16), well).segments) == 2


def test_a_loop_that_no_part_supports_is_gone() -> None:
    heard = listen(chunk(10), Scripted(lambda seconds: SENTENCE * 9 if seconds > 9 else ""))
    assert (heard.text, heard.segments, heard.language, heard.language_probability) == ("", (), None, None)
    assert heard.warnings == ("split_at_repetition",)


def test_a_loop_in_the_shortest_part_is_told() -> None:
    hear = Scripted(lambda seconds: "Oh, no! " * 9)
    heard = listen(chunk(3), hear)
    assert (heard.text, heard.warnings, len(hear.heard)) == ("Oh, no! " * 9, ("repetition",), 1)


def test_a_word_that_repeats_a_letter_goes_and_what_was_said_before_it_stays() -> None:
    """So ended a clip that was cut off in "fine"."""
    heard = listen(chunk(3), Scripted(lambda seconds: f"The letter used should be {'f' * 70}"))
    assert (heard.text, heard.warnings) == ("The letter used should be", ("repetition",))
    assert [segment.text for segment in heard.segments] == [" The letter used should be"]


def test_what_nobody_can_have_said_is_left_out_and_told() -> None:
    end = (TimedSegment(8.2, 8.4, " Thank you for watching this video.", avg_logprob=-1.1),)
    said = (TimedSegment(0.0, 8.2, f" {LONG}"),)
    text = f"{LONG} Thank you for watching this video."
    heard = listen(chunk(8.4), lambda chunk: Transcript(text, "en", 0.5, said + end))
    assert heard == Transcript(LONG, "en", 0.5, said, ("invented",))
    nothing = listen(chunk(0.2), lambda chunk: Transcript(text, "en", 0.5, (replace(end[0], start=0.0, end=0.2),)))
    assert nothing == Transcript("", None, warnings=("invented", "no_speech"))


class Early:
    """Whisper, which ends its text before the speech does; the rest alone is heard as `rest`."""

    def __init__(self, *segments: TimedSegment, rest: str) -> None:
        self._segments = segments
        self._rest = rest
        self.rests: list[float] = []

    def __call__(self, chunk: Chunk) -> Transcript:
        if chunk.seconds == 10:
            text = "".join(segment.text for segment in self._segments).strip()
            return Transcript(text, "en", 0.5, self._segments, languages=WEIGHED)
        self.rests.append(chunk.seconds)
        return Transcript(self._rest, "en", None, (TimedSegment(0.0, chunk.seconds, f" {self._rest}"),))


FIRST = TimedSegment(0.0, 4.0, " It may be late in the evening, but I think it comes.")
REST = "Nobody had waited for it any longer than that, and nobody else will have seen it."


def test_speech_after_the_text_is_heard_again_alone() -> None:
    hear = Early(FIRST, rest=REST)
    heard = listen(chunk(10), hear)
    assert heard.text == f"{FIRST.text.strip()} {REST}"
    assert [(segment.start, segment.end) for segment in heard.segments] == [(0.0, 4.0), (4.0, 10.0)]
    assert (heard.language_probability, heard.languages, heard.warnings, hear.rests) == (0.5, WEIGHED, (), [6.0])


def test_what_was_invented_over_speech_is_heard_again() -> None:
    invented = TimedSegment(
        9.8, 10.0, " Thank you for watching this video, and subscribe to our channel.", avg_logprob=-1.1
    )
    heard = listen(chunk(10), Early(replace(FIRST, text=f" {LONG}", end=8.3), invented, rest="Nobody had waited."))
    assert heard.text == f"{LONG} Nobody had waited."
    assert heard.warnings == ("invented",)


@pytest.mark.parametrize(
    "rest",
    ["", "Thank you.", "It comes.", "I think it comes."],
    ids=["nothing", "too little", "too little", "the last words"],
)
def test_what_is_heard_again_counts_only_where_it_adds_words(rest: str) -> None:
    hear = Early(FIRST, rest=rest)
    heard = listen(chunk(10), hear)
    assert (heard.segments, heard.warnings) == ((FIRST,), ("too_short",))
    assert hear.rests[0] == 6.0


def test_a_text_that_ends_with_the_speech_is_heard_once() -> None:
    whole = replace(FIRST, end=8.6, text=f" {LONG}")
    hear = Early(whole, rest=REST)
    assert listen(chunk(10), hear).segments == (whole,)
    silent = chunk(10)
    silent.samples[8 * SAMPLE_RATE :] = 0
    assert listen(silent, hear).text == whole.text.strip()
    assert hear.rests == []
