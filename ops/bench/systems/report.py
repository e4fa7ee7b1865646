"""What the rounds come to: of each figure the median and the range, and asrq's divided by it, round by round. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

from asrq_worker.bench.markdown import table
from asrq_worker.bench.score import percentile
from systems.measurement import Measured

REFERENCE = "asrq"
_NONE = "–"

Rounds = Sequence[Mapping[str, Measured]]
"""For each round, what was measured, by the name of the contender."""


@dataclass(frozen=True)
class Figure:
    """A figure of a round. `compared`: asrq's is divided by it as well."""

    title: str
    value: Callable[[Measured], float | None]
    form: str
    compared: bool = False


@dataclass(frozen=True)
class Spread:
    """A figure over the rounds."""

    median: float
    least: float
    most: float


def tables(languages: Sequence[str]) -> dict[str, list[Figure]]:
    """Return the figures, by the table that shows them; word errors for each language of the clips."""
    return {
        "Throughput": [
            Figure("clips/s", lambda m: m.stream.clips / m.stream.wall_s, "{:.2f}", compared=True),
            Figure("audio s/s", lambda m: m.stream.audio_s / m.stream.wall_s, "{:.1f}"),
            Figure("long files, audio s/s", _long, "{:.1f}", compared=True),
        ],
        "Seconds to the answer": [
            Figure("idle, p50", lambda m: percentile(m.alone_s, 50), "{:.2f}", compared=True),
            Figure("idle, p95", lambda m: percentile(m.alone_s, 95), "{:.2f}", compared=True),
            Figure("under long files, p50", partial(_under_files, percent=50), "{:.2f}", compared=True),
            Figure("under long files, p95", partial(_under_files, percent=95), "{:.2f}", compared=True),
        ],
        "Words": [
            *(Figure(f"WER {code}, %", partial(_wer, language=code), "{:.1f}") for code in languages),
            Figure("files that failed", lambda m: m.stream.failed, "{:.0f}"),
            Figure("lost by kill -9", lambda m: m.killed.words_lost if m.killed else None, "{:.0f}"),
            Figure("of", lambda m: m.killed.words if m.killed else None, "{:.0f}"),
            Figure("last answer after it, s", lambda m: m.killed.after_s if m.killed else None, "{:.0f}"),
            Figure("invented in silence", lambda m: m.invented_in_silence, "{:.0f}"),
            Figure("invented in noise", lambda m: m.invented_in_noise, "{:.0f}"),
        ],
        "Resources": [
            Figure("CPU s per audio s", lambda m: m.stream.cpu_s / m.stream.audio_s, "{:.3f}", compared=True),
            Figure("peak memory, MiB", lambda m: m.peak_mb, "{:.0f}", compared=True),
            Figure("start to first answer, s", lambda m: m.start_s, "{:.1f}"),
        ],
    }


def spread(values: Sequence[float | None]) -> Spread | None:
    """Return median and range of the rounds that have the figure; None if none has."""
    known = [value for value in values if value is not None]
    return Spread(median(known), min(known), max(known)) if known else None


def of(figure: Figure, name: str, rounds: Rounds) -> Spread | None:
    """Return a contender's figure over the rounds."""
    return spread([figure.value(each[name]) for each in rounds if name in each])


def against(figure: Figure, name: str, rounds: Rounds) -> Spread | None:
    """Return asrq's figure divided by a contender's, each ratio within one round."""
    pairs = [
        (figure.value(each[REFERENCE]), figure.value(each[name]))
        for each in rounds
        if name in each and REFERENCE in each and name != REFERENCE
    ]
    return spread([ours / theirs if ours is not None and theirs else None for ours, theirs in pairs])


def summary(rounds: Rounds, names: Sequence[str], languages: Sequence[str]) -> dict[str, Any]:
    """Return all figures of all contenders as a document."""
    figures = [figure for group in tables(languages).values() for figure in group]
    return {
        name: {
            figure.title: {
                "of": _document(of(figure, name, rounds)),
                "asrq_by": _document(against(figure, name, rounds)),
            }
            for figure in figures
        }
        for name in names
    }


def render(rounds: Rounds, titles: Mapping[str, str], languages: Sequence[str]) -> str:
    """Return the tables as Markdown; `titles` of the contenders by name, in the order of the rows."""
    parts = []
    for heading, figures in tables(languages).items():
        head = ["", *(cell for figure in figures for cell in (figure.title, *["asrq : it"] * figure.compared))]
        lines = [[title, *_cells(figures, name, rounds)] for name, title in titles.items()]
        parts += [f"**{heading}**", table(head, lines)]
    return "\n\n".join(parts)


def _cells(figures: Sequence[Figure], name: str, rounds: Rounds) -> list[str]:
    cells = []
    for figure in figures:
        cells.append(_shown(of(figure, name, rounds), figure.form))
        if figure.compared:
            cells.append(_shown(against(figure, name, rounds), "{:.2f}"))
    return cells


def _shown(found: Spread | None, form: str) -> str:
    if found is None:
        return _NONE
    least, middle, most = (form.format(value) for value in (found.least, found.median, found.most))
    return middle if least == most else f"{middle} ({least}–{most})"


def _document(found: Spread | None) -> dict[str, float] | None:
    return dataclasses.asdict(found) if found else None


def _long(measured: Measured) -> float | None:
    return measured.long.audio_s / measured.long.wall_s if measured.long else None


def _under_files(measured: Measured, percent: float) -> float | None:
    return percentile(measured.loaded.latencies_s, percent) if measured.loaded else None


def _wer(measured: Measured, language: str) -> float | None:
    return measured.stream.errors[language].wer if language in measured.stream.errors else None
