"""Transcripts as files: pure functions from a result to text.

Sources: SubRip as players read it (https://wiki.videolan.org/SubRip), WebVTT (https://www.w3.org/TR/webvtt1),
TSV as openai-whisper writes it, `verbose_json` as OpenAI's transcription API returns it.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

from asrq_jobs import languages
from asrq_jobs.result import Result, Segment

Format = Literal["json", "verbose_json", "txt", "srt", "vtt", "tsv"]
FORMATS: tuple[Format, ...] = get_args(Format)

# Two lines of 42 characters for at most seven seconds: what subtitle guides agree on.
_LINE_CHARS = 42
_CUE_CHARS = 2 * _LINE_CHARS
_CUE_S = 7.0
_PAUSE_S = 0.8
_SENTENCE_ENDS = (".", "!", "?", "…", "。", "！", "？")  # full-width on purpose

_OPENAI_FIELDS = ("task", "language", "duration", "text", "segments", "words")
_OPENAI_SEGMENT_FIELDS = (
    "id", "seek", "start", "end", "text", "tokens", "temperature", "avg_logprob", "compression_ratio",
    "no_speech_prob",
)  # fmt: skip
_OPENAI_WORD_FIELDS = ("word", "start", "end")


@dataclass(frozen=True)
class _Cue:
    start_ms: int
    end_ms: int
    text: str


def extension(form: Format) -> str:
    """Return the file name's ending for a format, with its dot."""
    return ".json" if form == "verbose_json" else f".{form}"


def render(result: Result, form: Format) -> str:
    """Return the whole file in a format; every line ends with a newline, no transcript is still a valid file."""
    match form:
        case "json" | "verbose_json":
            return json.dumps(document(result, form), ensure_ascii=False, indent=2) + "\n"
        case "txt":
            return _lines(_clean(segment.text) for segment in _segments(result))
        case "srt":
            return _srt(result)
        case "vtt":
            return _vtt(result)
        case "tsv":
            return _tsv(result)


def document(result: Result, form: Literal["json", "verbose_json"]) -> dict[str, Any]:
    """Return the `asrq.result/1` document, or for `verbose_json` what OpenAI's API has of it, as it writes that.

    There the language is an English name in lower case, and that of the text: a translation is English. Words have no
    spaces around them.
    """
    whole = result.document()
    if form == "json":
        return whole
    language = "en" if result.task == "translate" and result.language else result.language
    return {
        **{name: whole[name] for name in _OPENAI_FIELDS},
        "language": language and languages.whispers_name(language),
        "segments": _only(whole["segments"], _OPENAI_SEGMENT_FIELDS),
        "words": _only([{**word, "word": word["word"].strip()} for word in whole["words"] or ()], _OPENAI_WORD_FIELDS)
        if whole["words"] is not None
        else None,
    }


def _only(items: list[dict[str, Any]] | None, names: tuple[str, ...]) -> list[dict[str, Any]] | None:
    return items and [{name: item[name] for name in names} for item in items]


def _srt(result: Result) -> str:
    blocks = (
        f"{number}\n{_clock(cue.start_ms, ',')} --> {_clock(cue.end_ms, ',')}\n{cue.text.replace('-->', '->')}\n"
        for number, cue in enumerate(_cues(result), start=1)
    )
    return "\n".join(blocks)


def _vtt(result: Result) -> str:
    blocks = (
        f"{_clock(cue.start_ms, '.')} --> {_clock(cue.end_ms, '.')}\n{_escape(cue.text)}\n" for cue in _cues(result)
    )
    return "\n".join(["WEBVTT\n", *blocks])


def _tsv(result: Result) -> str:
    rows = (f"{_ms(segment.start)}\t{_ms(segment.end)}\t{_clean(segment.text)}" for segment in _segments(result))
    return _lines(["start\tend\ttext", *rows])


def _segments(result: Result) -> tuple[Segment, ...]:
    """Return the segments with text; a backend that gives none gets one for the whole audio."""
    segments = result.segments
    if segments is None:
        segments = (Segment(id=0, start=0.0, end=result.duration or 0.0, text=result.text or ""),)
    return tuple(segment for segment in segments if segment.text.strip())


def _cues(result: Result) -> Iterator[_Cue]:
    for segment in _segments(result):
        for start, end, text in _parts(segment):
            start_ms = _ms(start)
            # WebVTT demands an end after the start, and players drop cues of no length.
            yield _Cue(start_ms, max(_ms(end), start_ms + 1), "\n".join(textwrap.wrap(text, _LINE_CHARS)))


def _parts(segment: Segment) -> Iterator[tuple[float, float, str]]:
    """Cut a segment that is too long for a cue between words, where their times are known.

    Cuts fall before a word that would make the cue too long, and after a pause or the end of a sentence once a
    line is full. The text of each part is a slice of the segment's text, so no language loses or gains a space.
    """
    text = segment.text
    places = _places(segment)
    if places is None or (len(text) <= _CUE_CHARS and segment.end - segment.start <= _CUE_S):
        yield segment.start, segment.end, _clean(text)
        return
    words = segment.words or ()
    first = 0
    for i in range(1, len(words) + 1):
        if i < len(words):
            begin, end = places[first][0], places[i][1]
            too_long = end - begin > _CUE_CHARS or words[i].end - words[first].start > _CUE_S
            ended = text[: places[i][0]].rstrip().endswith(_SENTENCE_ENDS)
            paused = words[i].start - words[i - 1].end >= _PAUSE_S
            line_full = places[i][0] - begin >= _LINE_CHARS
            if not (too_long or (line_full and (ended or paused))):
                continue
        stop = places[i][0] if i < len(words) else len(text)
        yield words[first].start, words[i - 1].end, _clean(text[places[first][0] if first else 0 : stop])
        first = i


def _places(segment: Segment) -> list[tuple[int, int]] | None:
    """Return where each word stands in the segment's text, or None where they do not match it."""
    places: list[tuple[int, int]] = []
    at = 0
    for word in segment.words or ():
        bare = word.word.strip()
        found = segment.text.find(bare, at)
        if found < 0:
            return None
        at = found + len(bare)
        places.append((found, at))
    return places or None


def _clean(text: str) -> str:
    return " ".join(text.split())  # tabs and newlines would break TSV columns and end a cue


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")  # `-->` becomes harmless, too


def _lines(lines: Iterator[str] | list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _ms(seconds: float) -> int:
    return round(max(seconds, 0.0) * 1000)


def _clock(milliseconds: int, point: str) -> str:
    seconds, ms = divmod(milliseconds, 1000)
    minutes, s = divmod(seconds, 60)
    hours, m = divmod(minutes, 60)
    return f"{hours:02d}:{m:02d}:{s:02d}{point}{ms:03d}"
