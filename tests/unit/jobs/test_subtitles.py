"""The norms of subtitles, with and without the times of words, in any script and at any pace."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.subtitle_norms import faults

from asrq_jobs.result import Segment, Word
from asrq_jobs.subtitles import Cue, Norms, cues


def segment(text: str, start: float, end: float, words: Sequence[Word] | None = None) -> Segment:
    return Segment(id=0, start=start, end=end, text=text, words=None if words is None else tuple(words))


def spoken(text: str, *, seconds: float = 0.3, start: float = 0.0, space: str = " ") -> Segment:
    """A segment whose words follow each other without a pause."""
    pieces = text.split(" ") if space else list(text)
    words = [
        Word(word=space + piece, start=start + i * seconds, end=start + (i + 1) * seconds)
        for i, piece in enumerate(pieces)
    ]
    return segment(space + text, start, start + len(pieces) * seconds, words)


def texts(found: Iterable[Cue]) -> list[str]:
    return [" ".join(cue.lines) for cue in found]


ENGLISH = st.text("abcdefghijklmnop'", min_size=1, max_size=12)
RUSSIAN = st.text("абвгдежзиклмноп", min_size=1, max_size=12)
CHINESE = st.text("今日天气很好我们去散步吧「」、。", min_size=1, max_size=60)
MIXED = st.text("あかさ今日ab12-ーッ。（）", min_size=1, max_size=40)
THAI = st.text("กขคงจฉัิ่้", min_size=1, max_size=80)
LONG = st.text("https://example.com/abcDEF0123-_?&=", min_size=30, max_size=300)
ODD = st.text("👍🏽👨‍👩‍👧e\u0301\u0301-->…—\u00a0🇺🇦", min_size=1, max_size=60)
WORDS = st.one_of(ENGLISH, ENGLISH, RUSSIAN, RUSSIAN, CHINESE, MIXED, THAI, LONG, ODD)
PUNCTUATION = st.sampled_from(["", "", "", "", ",", ".", "?", "!", "…", ":", "。", '."'])
GAP = st.sampled_from([0.0, 0.0, 0.0, 0.05, 0.2, 0.5, 1.0, 3.0, 20.0])
PACE = st.sampled_from([0.0, 0.01, 0.03, 0.06, 0.06, 0.1, 0.3, 2.0])  # seconds a character


@st.composite
def speech(
    draw: st.DrawFn, pace: st.SearchStrategy[float] = PACE, vocabulary: st.SearchStrategy[str] = WORDS
) -> tuple[list[Segment], float]:
    """Segments, with or without words, and the length of the audio."""
    at, found = draw(GAP), []
    for _ in range(draw(st.integers(0, 4))):
        start, words = at, []
        for bare in draw(st.lists(vocabulary, min_size=1, max_size=20)):
            word = bare + draw(PUNCTUATION)
            end = at + draw(pace) * len(word)
            words.append(Word(word=f" {word}", start=at, end=end))
            at = end + draw(st.sampled_from([0.0, 0.0, 0.0, 0.2, 1.5]))
        text = "".join(word.word for word in words)
        found.append(segment(text, start, at, words if draw(st.booleans()) else None))
        at += draw(GAP)
    return found, at + draw(GAP)


@given(speech())
def test_the_norms_hold_whatever_is_said(said: tuple[list[Segment], float]) -> None:
    segments, duration = said
    assert faults(segments, duration) == []


NORMS = st.builds(
    Norms,
    line_chars=st.integers(10, 60),
    lines=st.integers(1, 4),
    line_words=st.none() | st.integers(1, 6),
    shortest_ms=st.integers(100, 2000),
    longest_ms=st.integers(2000, 10_000),
    chars_per_s=st.integers(5, 40),
)


@given(speech(), NORMS)
def test_other_norms_hold_as_well(said: tuple[list[Segment], float], norms: Norms) -> None:
    segments, duration = said
    assert faults(segments, duration, norms) == []


def test_a_cue_may_have_more_lines() -> None:
    found = cues([spoken("one two three four five six seven eight.")], None, Norms(line_chars=12, lines=4))
    assert [cue.lines for cue in found] == [("one two", "three four", "five six", "seven eight.")]


@given(speech(), st.sampled_from([None, 0.0, 0.3, 1.0, 7.0]))
@settings(max_examples=settings().max_examples // 2)
def test_times_that_cannot_be_lose_no_text(said: tuple[list[Segment], float], duration: float | None) -> None:
    segments, _ = said
    found = cues(segments, duration)
    assert "".join("".join(texts(found)).split()) == "".join("".join(each.text for each in segments).split())
    assert all(cue.start_ms < cue.end_ms for cue in found)
    assert all(a.end_ms <= b.start_ms for a, b in pairwise(found))


@given(speech(pace=st.sampled_from([0.05, 0.06, 0.07]), vocabulary=st.one_of(ENGLISH, RUSSIAN)))
@settings(max_examples=settings().max_examples // 2)
def test_cues_are_shown_with_what_they_say(said: tuple[list[Segment], float]) -> None:
    """At the pace of people nothing has to be moved by more than the second that a cue is there at least."""
    segments, duration = said
    found = cues([each for each in segments if each.words], duration)
    starts = {word.start for each in segments for word in each.words or ()}
    for cue in found:
        assert min((abs(cue.start_ms / 1000 - start) for start in starts), default=0.0) <= 1.0


def test_word_times_of_pieces_of_words_give_whole_words() -> None:
    """As Whisper times `i.e.`: in two tokens, only the first of which has a space."""
    text = " That is the point, i.e. that it works, at least most of the time."
    tokens = re.findall(r" i|\.e\.| [^ ]+", text)
    words = [Word(word=token, start=i * 0.4, end=(i + 1) * 0.4) for i, token in enumerate(tokens)]
    found = cues([segment(text, 0.0, len(tokens) * 0.4, words)], 10.0)
    assert " ".join(texts(found)) == text.strip()
    assert any("i.e." in line for cue in found for line in cue.lines)


def test_short_segments_are_gathered() -> None:
    """One-word cues flicker: words of a sentence stay together though a model gave each a segment."""
    parts = [
        segment(f" {word}", i * 0.3, (i + 1) * 0.3) for i, word in enumerate(["So", "it", "goes", "on", "and", "on."])
    ]
    assert texts(cues(parts, 10.0)) == ["So it goes on and on."]


def test_a_word_alone_in_silence_stays_alone_and_is_there_for_a_second() -> None:
    (before, alone, after) = cues(
        [spoken("This is the first of all.", start=0.0), segment(" Yes.", 10.0, 10.2), spoken("And on.", start=20.0)],
        30.0,
    )
    assert alone == Cue(10_000, 11_000, ("Yes.",))
    assert (before.lines, after.lines) == (("This is the first of all.",), ("And on.",))


def test_cuts_prefer_the_ends_of_sentences() -> None:
    text = "Forty-two characters are quite soon full. Then comes more of it, which goes on and on for a while."
    assert texts(cues([spoken(text, seconds=0.35)], 60.0)) == [
        "Forty-two characters are quite soon full.", "Then comes more of it, which goes on and on for a while."
    ]  # fmt: skip


def test_a_full_stop_that_ends_no_sentence_is_no_place_to_cut() -> None:
    text = "There was never any doubt in the mind of that old Mr. Smith about what to do with his house and garden."
    for found in texts(cues([spoken(text)], 60.0)):
        assert not found.endswith("Mr.")


def test_without_word_times_text_is_shared_out_in_proportion() -> None:
    text = "word " * 30
    found = cues([segment(text, 10.0, 22.0)], 30.0)
    assert len(found) == 2
    assert found[0].start_ms == 10_000
    assert abs(found[1].start_ms - 16_000) < 1500
    assert found[-1].end_ms >= 22_000


def test_slow_speech_is_cut_by_time() -> None:
    found = cues([spoken("one two three four five six seven eight nine ten", seconds=1.0)], 10.0)
    assert len(found) == 2
    assert all(cue.end_ms - cue.start_ms <= 7000 for cue in found)


def test_two_lines_part_where_it_makes_sense() -> None:
    (cue,) = cues([spoken("He came in late at night, and nobody in the house had heard of it.", seconds=0.35)], 60.0)
    assert cue.lines == ("He came in late at night,", "and nobody in the house had heard of it.")


def test_chinese_and_japanese_part_by_their_own_rules() -> None:
    text = "今日は天気がとてもいいので、散歩に行きましょう。" * 4
    found = cues([spoken(text, seconds=0.15, space="")], 60.0)
    assert "".join(line for cue in found for line in cue.lines) == text
    for line in (line for cue in found for line in cue.lines):
        assert len(line) <= 21, "a wide character takes the place of two"
        assert line[0] not in "、。"


def test_korean_parts_at_its_spaces() -> None:
    text = "오늘은 날씨가 매우 좋아서 우리는 함께 공원으로 산책을 나갔습니다 그리고 점심을 먹었습니다"
    words = set(text.split())
    for cue in cues([spoken(text, seconds=0.5)], 60.0):
        assert all(word in words for line in cue.lines for word in line.split())


@pytest.mark.parametrize("word", ["x" * 500, "https://example.com/" + "path/" * 60, "👨‍👩‍👧" * 60, "e\u0301" * 90])
def test_words_longer_than_a_line_are_cut_between_characters(word: str) -> None:
    found = cues([segment(word, 0.0, 40.0)], 60.0)
    assert "".join(line for cue in found for line in cue.lines) == word
    for line in (line for cue in found for line in cue.lines):
        assert len(line) <= 42
        assert line[0] not in "\u0301\u200d"
    if "/" in word:
        assert all(cue.lines[-1].endswith("/") for cue in found)


def test_nothing_said_is_no_cue() -> None:
    assert cues([], None) == cues([segment("  ", 0.0, 1.0)], 5.0) == []
