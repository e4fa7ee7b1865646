"""The report as people read it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from asrq_worker.bench.report import Benchmark, TargetReport

_NONE = "–"
_NOTES = """\
Errors are summed over all clips of a language before dividing; a clip that failed counts as one in which nothing was
heard. Latency is from handing over a file to having its result, one clip at a time in the interactive lane. RTFx is
audio seconds per second with all clips submitted at once to the batch lane. Cold start is from the start of the process
(`asrq up`, its Valkey included) to taking jobs. Memory is the peak of worker and engine together, without decoders
and Valkey."""


def render(report: Benchmark) -> str:
    """Return the report as Markdown; its charts are files in the same folder."""
    languages = list(dict.fromkeys(language for target in report.targets for language in target.accuracy))
    parts = [
        "# Benchmark",
        _hardware(report),
        "## Accuracy",
        _accuracy(report),
        "![Word error rate](wer.png)",
        "Texts are compared after normalising: "
        + "; ".join(f"{language}: {how}" for language, how in report.normalisers.items())
        + ".",
        "## Speed and memory",
        _speed(report),
        "![Latency](latency.png)",
        "## Trade-offs",
        _trade_offs(report.targets, languages),
        "![Speed against errors](trade-off.png)",
        "## What went otherwise",
        _incidents(report.targets),
        "## How to read this",
        _NOTES,
    ]
    return "\n\n".join(parts) + "\n"


def _hardware(report: Benchmark) -> str:
    clips = ", ".join(f"{language} {count}" for language, count in report.clips.items())
    settings = ", ".join(f"{name}={value}" for name, value in report.settings.items()) or "all at their defaults"
    lines = [
        f"* asrq {report.asrq_version}, {report.measured_at}; settings: {settings}",
        f"* clips of `{report.manifest}`: {clips}",
        "* " + "; ".join(f"{name}: {value}" for name, value in report.machine.items()),
        *(
            f"* {target.target}: {target.backend_version or _NONE} on {target.device or _NONE}, "
            f"{target.compute_type or _NONE}, revision {target.model_revision or _NONE}"
            for target in report.targets
        ),
    ]
    return "\n".join(lines)


def _accuracy(report: Benchmark) -> str:
    rows = []
    for target in report.targets:
        for language in report.clips:
            found = target.accuracy.get(language)
            if found:
                counts = [
                    str(found.clips),
                    f"{found.word_errors} of {found.words}",
                    str(found.invented),
                    str(found.lost),
                ]
                rows.append([target.target, language, *counts, _percent(found.wer), _percent(found.cer)])
            elif language in target.refused:
                rows.append([target.target, language, "skipped", *[_NONE] * 5])
    return table(["backend", "language", "clips", "word errors", "invented", "lost", "WER", "CER"], rows)


def _speed(report: Benchmark) -> str:
    head = ["backend", "p50", "p95", "p99", "RTFx", "cold start", "model load", "peak memory"]
    return table(head, [[target.target, *_speed_of(target)] for target in report.targets])


def _speed_of(target: TargetReport) -> list[str]:
    latency = target.latency
    return [
        *([_seconds(value) for value in (latency.p50_s, latency.p95_s, latency.p99_s)] if latency else [_NONE] * 3),
        f"{target.throughput.rtfx:.1f}" if target.throughput else _NONE,
        _seconds(target.cold_start_s),
        _seconds(target.model_load_s),
        f"{target.peak_memory_mb} MiB" if target.peak_memory_mb is not None else _NONE,
    ]


def _trade_offs(targets: Sequence[TargetReport], languages: Sequence[str]) -> str:
    """Each figure beside the best of its column, which is bold."""
    columns: list[tuple[str, Callable[[TargetReport], float | None], bool, str]] = [
        *((f"WER {language}", _wer_of(language), True, "{:+.1f} points") for language in languages),
        ("latency p50", lambda target: target.latency.p50_s if target.latency else None, True, "{:.1f} ×"),
        ("RTFx", lambda target: target.throughput.rtfx if target.throughput else None, False, "{:.1f} ×"),
        ("cold start", lambda target: target.cold_start_s, True, "{:.1f} ×"),
        ("memory", lambda target: target.peak_memory_mb, True, "{:.1f} ×"),
    ]
    rows = [[target.target] for target in targets]
    for _, value_of, low, form in columns:
        values = [value_of(target) for target in targets]
        known = [value for value in values if value is not None]
        best = (min if low else max)(known, default=None)
        for row, value in zip(rows, values, strict=True):
            row.append(_beside(value, best, form))
    return table(["backend", *(name for name, *_ in columns)], rows)


def _wer_of(language: str) -> Callable[[TargetReport], float | None]:
    return lambda target: target.accuracy[language].wer if language in target.accuracy else None


def _beside(value: float | None, best: float | None, form: str) -> str:
    if value is None or best is None:
        return _NONE
    if value == best:
        return "**best**"
    if "points" in form:
        return form.format(value - best)
    return form.format(value / best) if best else _NONE


def _incidents(targets: Sequence[TargetReport]) -> str:
    return "\n".join(f"* {target.target}: {'; '.join(_incidents_of(target)) or 'nothing'}" for target in targets)


def _incidents_of(target: TargetReport) -> Iterable[str]:
    for language, message in target.refused.items():
        yield f"{language} skipped: {message.rstrip('.')}"
    for code, count in target.failures.items():
        yield f"{count} failed with `{code}`"
    for name, count in target.warnings.items():
        yield f"{count} with warning `{name}`"
    if target.throughput and target.throughput.changed:
        yield f"{target.throughput.changed} with another text when all ran at once"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; every row has as many cells as the head."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _percent(value: float | None) -> str:
    return _NONE if value is None else f"{value:.1f} %"


def _seconds(value: float | None) -> str:
    return _NONE if value is None else f"{value:.2f} s"
