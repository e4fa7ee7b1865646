"""Transcripts as files: pure functions from a result to text.

Sources: SubRip as players read it (https://wiki.videolan.org/SubRip), WebVTT (https://www.w3.org/TR/webvtt1),
TSV as openai-whisper writes it, `verbose_json` as OpenAI's transcription API returns it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Literal, get_args

from asrq_jobs import languages
from asrq_jobs.atoms import cleaned
from asrq_jobs.result import Result, Segment
from asrq_jobs.subtitles import NORMS, Cue, Norms, cues

Format = Literal["json", "verbose_json", "txt", "srt", "vtt", "tsv"]
FORMATS: tuple[Format, ...] = get_args(Format)
SUBTITLES: tuple[Format, ...] = ("srt", "vtt")

_OPENAI_FIELDS = ("task", "language", "duration", "text", "segments", "words")
_OPENAI_SEGMENT_FIELDS = (
    "id", "seek", "start", "end", "text", "tokens", "temperature", "avg_logprob", "compression_ratio",
    "no_speech_prob",
)  # fmt: skip
_OPENAI_WORD_FIELDS = ("word", "start", "end")


def extension(form: Format) -> str:
    """Return the file name's ending for a format, with its dot."""
    return ".json" if form == "verbose_json" else f".{form}"


def render(result: Result, form: Format, norms: Norms = NORMS) -> str:
    """Return the whole file in a format; every line ends with a newline, no transcript is still a valid file.

    `norms` are for subtitles (srt, vtt). The channel or the speaker, if known, precedes what is said, in brackets, or
    in WebVTT as its voice; and subtitles of different ones may be shown at the same time.
    """
    match form:
        case "json" | "verbose_json":
            return json.dumps(document(result, form), ensure_ascii=False, indent=2) + "\n"
        case "txt":
            return _lines(_text(segment) for segment in _segments(result))
        case "srt":
            return _srt(_cues(result, norms))
        case "vtt":
            return _vtt(_cues(result, norms))
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


def _cues(result: Result, norms: Norms) -> list[tuple[str | None, Cue]]:
    """Return the subtitles in order of time, each with its voice."""
    segments = _segments(result)
    found: list[tuple[str | None, Cue]] = []
    for voice in dict.fromkeys(map(_voice, segments)):
        beside = replace(norms, line_chars=norms.line_chars - len(_mark(voice)))
        said = [segment for segment in segments if _voice(segment) == voice]
        found += [(voice, cue) for cue in cues(said, result.duration, beside)]
    return sorted(found, key=lambda each: each[1].start_ms)


def _srt(found: Iterable[tuple[str | None, Cue]]) -> str:
    blocks = (
        f"{number}\n{_clock(cue.start_ms, ',')} --> {_clock(cue.end_ms, ',')}\n"
        f"{_mark(voice)}{_shown(cue).replace('-->', '->')}\n"
        for number, (voice, cue) in enumerate(found, start=1)
    )
    return "\n".join(blocks)


def _vtt(found: Iterable[tuple[str | None, Cue]]) -> str:
    blocks = (
        f"{_clock(cue.start_ms, '.')} --> {_clock(cue.end_ms, '.')}\n"
        f"{'' if voice is None else f'<v {_escape(voice)}>'}{_escape(_shown(cue))}\n"
        for voice, cue in found
    )
    return "\n".join(["WEBVTT\n", *blocks])


def _tsv(result: Result) -> str:
    rows = (f"{_ms(segment.start)}\t{_ms(segment.end)}\t{_text(segment)}" for segment in _segments(result))
    return _lines(["start\tend\ttext", *rows])


def _segments(result: Result) -> tuple[Segment, ...]:
    """Return the segments with text, said by those with a name under that; a backend that gives none gets one for the
    whole audio.
    """
    names = {speaker.id: speaker.name for speaker in result.speakers or () if speaker.name}
    segments = result.segments
    if segments is None:
        segments = (Segment(id=0, start=0.0, end=result.duration or 0.0, text=result.text or ""),)
    said = (segment for segment in segments if segment.text.strip())
    return tuple(
        segment.model_copy(update={"speaker": names.get(segment.speaker or "", segment.speaker)}) for segment in said
    )


def _voice(segment: Segment) -> str | None:
    """Return who says a segment, as far as that is known: a channel or a speaker."""
    return segment.speaker if segment.channel is None else str(segment.channel)


def _mark(voice: str | None) -> str:
    return "" if voice is None else f"[{voice}] "


def _text(segment: Segment) -> str:
    return _mark(_voice(segment)) + cleaned(segment.text)


def _shown(cue: Cue) -> str:
    return "\n".join(cue.lines)


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
