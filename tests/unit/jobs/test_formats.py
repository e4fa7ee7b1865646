"""Transcripts as files."""

from __future__ import annotations

import json

import pytest

from asrq_jobs.formats import FORMATS, Format, document, extension, render
from asrq_jobs.result import Result, Segment, Speaker, Word
from asrq_jobs.subtitles import Norms


def result(*segments: Segment, **fields: object) -> Result:
    text = " ".join(segment.text.strip() for segment in segments)
    return Result(
        id="j",
        status="completed",
        language="en",
        duration=max(each.end for each in segments) + 1,
        text=text,
        segments=segments,
        **fields,
    )


def segment(text: str, start: float = 0.0, end: float = 2.0, words: tuple[Word, ...] | None = None) -> Segment:
    return Segment(id=0, start=start, end=end, text=text, words=words)


def test_txt_has_a_line_per_segment() -> None:
    assert render(result(segment(" One. "), segment(" Two.")), "txt") == "One.\nTwo.\n"


def test_srt_numbers_cues_and_writes_times_with_commas() -> None:
    text = render(result(segment(" Hello.", 0.0, 1.2345), segment(" World.", 3661.5, 3662.75)), "srt")
    assert text == ("1\n00:00:00,000 --> 00:00:01,234\nHello.\n\n2\n01:01:01,500 --> 01:01:02,750\nWorld.\n")


def test_times_are_rounded_and_carry_over() -> None:
    assert "00:00:58,999 --> 00:01:00,000" in render(result(segment("x", 58.9994, 59.9996)), "srt")


def test_a_cue_never_ends_before_it_starts() -> None:
    assert "00:00:00.500 --> 00:00:01.500" in render(result(segment("x", 1.0, 0.5)), "vtt")


def test_srt_text_cannot_be_taken_for_a_time_line_or_the_end_of_a_cue() -> None:
    text = render(result(segment("a --> b\n\n2\n00:00")), "srt")
    assert text.count("-->") == 1
    assert "\n\n" not in text


def test_vtt_escapes_markup() -> None:
    text = render(result(segment("a --> b & <c>")), "vtt")
    assert text.startswith("WEBVTT\n\n00:00:00.000 --> 00:00:02.000\n")
    assert text.endswith("a --&gt; b &amp; &lt;c&gt;\n")


def test_tsv_is_in_milliseconds_and_keeps_its_columns() -> None:
    text = render(result(segment(" a\tb\nc ", 0.5, 1.25)), "tsv")
    assert text == "start\tend\ttext\n500\t1250\ta b c\n"


@pytest.mark.parametrize("empty", [(), None, (segment("  "),)])
@pytest.mark.parametrize(
    ("form", "expected"), [("txt", ""), ("srt", ""), ("vtt", "WEBVTT\n"), ("tsv", "start\tend\ttext\n")]
)
def test_no_speech_is_a_valid_file(form: Format, expected: str, empty: tuple[Segment, ...] | None) -> None:
    assert render(Result(id="j", status="completed", text="", segments=empty), form) == expected


def test_a_backend_without_segments_gives_one_cue() -> None:
    whole = Result(id="j", status="completed", text="All of it.", duration=4.0)
    assert render(whole, "srt") == "1\n00:00:00,000 --> 00:00:04,000\nAll of it.\n"


def test_cues_have_one_line_or_two() -> None:
    text = render(result(segment("word " * 30, 0, 20)), "srt")
    assert text.count("-->") == 3
    for block in text.strip().split("\n\n"):
        number, times, *lines = block.splitlines()
        assert number.isdigit()
        assert "-->" in times
        assert 1 <= len(lines) <= 2


def test_json_is_the_whole_document_and_verbose_json_what_openai_has() -> None:
    one = result(segment("Hi."), words=(Word(word=" Hi.", start=0, end=1, probability=0.5),))
    assert json.loads(render(one, "json")) == one.document()
    verbose = json.loads(render(one, "verbose_json"))
    assert set(verbose) == {"task", "language", "duration", "text", "segments", "words"}
    assert verbose["language"] == "english"
    assert verbose["words"] == [{"word": "Hi.", "start": 0, "end": 1}]
    assert set(verbose["segments"][0]) == {
        "id", "seek", "start", "end", "text", "tokens", "temperature", "avg_logprob", "compression_ratio",
        "no_speech_prob",
    }  # fmt: skip
    assert document(one, "verbose_json") == verbose


@pytest.mark.parametrize(
    ("language", "task", "name"),
    [
        ("ru", "transcribe", "russian"), ("ht", "transcribe", "haitian creole"), ("tl", "transcribe", "tagalog"),
        ("my", "transcribe", "myanmar"), ("ru", "translate", "english"), (None, "translate", None),
        ("tlh", "transcribe", "tlh"),
    ],
)  # fmt: skip
def test_languages_in_verbose_json_have_openais_names(language: str | None, task: str, name: str | None) -> None:
    told = Result(id="j", status="completed", language=language, task=task, text="x")
    assert document(told, "verbose_json")["language"] == name
    assert document(told, "json")["language"] == language


def test_verbose_json_leaves_unknown_values_null() -> None:
    verbose = document(Result(id="j", status="completed"), "verbose_json")
    assert verbose["segments"] is None
    assert verbose["words"] is None


def test_every_format_has_a_file_name_ending() -> None:
    assert {form: extension(form) for form in FORMATS} == {
        "json": ".json", "verbose_json": ".json", "txt": ".txt", "srt": ".srt", "vtt": ".vtt", "tsv": ".tsv"
    }  # fmt: skip


CALL = result(
    segment("Good morning, this is the workshop of Smith and Sons.", 0.0, 3.5).model_copy(update={"channel": 1}),
    segment("Is <my> bicycle ready?", 3.0, 5.0).model_copy(update={"channel": 2}),
)


def test_files_say_on_which_channel_it_was() -> None:
    assert (
        render(CALL, "txt") == "[1] Good morning, this is the workshop of Smith and Sons.\n[2] Is <my> bicycle ready?\n"
    )
    assert render(CALL, "tsv").splitlines()[2] == "3000\t5000\t[2] Is <my> bicycle ready?"
    assert render(CALL, "srt") == (
        "1\n00:00:00,000 --> 00:00:03,500\n[1] Good morning, this is the\nworkshop of Smith and Sons.\n\n"
        "2\n00:00:03,000 --> 00:00:05,000\n[2] Is <my> bicycle ready?\n"
    )
    assert render(CALL, "vtt").splitlines()[3:] == [
        "<v 1>Good morning, this is the",
        "workshop of Smith and Sons.",
        "",
        "00:00:03.000 --> 00:00:05.000",
        "<v 2>Is &lt;my&gt; bicycle ready?",
    ]


def test_a_speaker_who_is_known_is_called_by_name() -> None:
    said = (segment("Good morning.").model_copy(update={"speaker": "S1"}), segment("Hello.", 3, 5))
    known = result(*said, speakers=(Speaker(id="S1", seconds=2, name="Anna <3"),))
    assert render(known, "txt") == "[Anna <3] Good morning.\nHello.\n"
    assert "\n<v Anna &lt;3>Good morning.\n" in render(known, "vtt")
    assert document(known, "json")["segments"][0]["speaker"] == "S1"


def test_the_channel_is_within_the_width_of_a_line() -> None:
    lines = render(CALL, "srt", Norms(line_chars=20)).splitlines()
    assert max(len(line) for line in lines if "-->" not in line) <= 20
