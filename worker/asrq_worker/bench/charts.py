"""The report as pictures. Imports matplotlib when it draws; its pyplot, which wants a screen, is not used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from asrq_worker.bench.report import Benchmark

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DPI = 120


def draw(report: Benchmark, folder: Path) -> list[Path]:
    """Write wer.png, latency.png and trade-off.png into a folder, and return their paths."""
    from matplotlib.figure import Figure

    charts = {"wer": _wer, "latency": _latency, "trade-off": _trade_off}
    paths = []
    for name, plot in charts.items():
        figure = Figure(figsize=(8, 4.5), layout="constrained")
        axes = figure.add_subplot()
        plot(axes, report)
        axes.grid(alpha=0.3)
        axes.set_axisbelow(True)
        path = folder / f"{name}.png"
        figure.savefig(path, dpi=_DPI)
        paths.append(path)
    return paths


def _wer(axes: Axes, report: Benchmark) -> None:
    languages = list(dict.fromkeys(language for target in report.targets for language in target.accuracy))
    series = {
        target.target: [found.wer if (found := target.accuracy.get(language)) else None for language in languages]
        for target in report.targets
    }
    _bars(axes, languages, series)
    axes.set_ylabel("word error rate, %")


def _latency(axes: Axes, report: Benchmark) -> None:
    series = {
        target.target: [target.latency.p50_s, target.latency.p95_s, target.latency.p99_s]
        for target in report.targets
        if target.latency
    }
    _bars(axes, ["p50", "p95", "p99"], series)
    axes.set_ylabel("latency, s")


def _trade_off(axes: Axes, report: Benchmark) -> None:
    for number, target in enumerate(report.targets):
        for language, found in target.accuracy.items():
            if target.throughput and found.wer is not None:
                axes.scatter(target.throughput.rtfx, found.wer, color=f"C{number}")
                axes.annotate(
                    f"{target.target} ({language})",
                    (target.throughput.rtfx, found.wer),
                    textcoords="offset points",
                    xytext=(6, 4),
                )
    axes.margins(0.25)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("RTFx (audio seconds per second), more is better")
    axes.set_ylabel("word error rate, %, less is better")


def _bars(axes: Axes, groups: Sequence[str], series: Mapping[str, Sequence[float | None]]) -> None:
    """Bars side by side for each group; a value that is None leaves a gap."""
    width = 0.8 / max(len(series), 1)
    for number, (name, values) in enumerate(series.items()):
        places = [group + (number - (len(series) - 1) / 2) * width for group in range(len(groups))]
        known = [(place, value) for place, value in zip(places, values, strict=True) if value is not None]
        bars = axes.bar([place for place, _ in known], [value for _, value in known], width * 0.95, label=name)
        axes.bar_label(bars, fmt="%.2f", fontsize="small")
    axes.set_xticks(range(len(groups)), groups)
    if series:
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=min(len(series), 3), frameon=False)
