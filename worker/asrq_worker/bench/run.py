"""A benchmark from manifest to report."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from asrq_jobs import __version__, configuration
from asrq_jobs.errors import UsageError
from asrq_jobs.settings import Settings
from asrq_worker.bench import charts, hardware, manifest, markdown
from asrq_worker.bench.manifest import Selection
from asrq_worker.bench.measure import Tell, measure
from asrq_worker.bench.record import Records
from asrq_worker.bench.report import Benchmark, normalisers, summarise
from asrq_worker.bench.target import Target

# Settings that the figures do not depend on, or that a benchmark sets itself.
_BESIDES = frozenset({
    "redis_url", "backend", "model", "fallback", "fallback_warm", "lane_depth", "grace_s", "log_level", "log_format",
    "worker_name", "environment", "model_download", "model_dir", "redis_retry_s", "sentry_dsn", "server_api_key",
})  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """What is to be measured; `folder` is where results are kept and reports written, `fresh` forgets what is there."""

    manifest: Path
    selection: Selection
    targets: Sequence[Target]
    folder: Path
    fresh: bool = False


def run(plan: Plan, settings: Settings, tell: Tell) -> Benchmark:
    """Measure and write report.md, report.json and the charts; `tell` hears of every step.

    Raises:
        AsrqError: the manifest or the folder cannot be used, or a worker does not start or live through it.
    """
    clips = manifest.load(plan.manifest, plan.selection)
    _prepare(plan)
    machine = hardware.describe()
    conditions = _conditions(settings)
    reports = []
    for target in dict.fromkeys(plan.targets):
        records = Records(plan.folder / "results.jsonl", str(target), conditions)
        measure(target, clips, records, settings, log=plan.folder / "worker.log", tell=tell)
        reports.append(summarise(target, clips, records))
    report = Benchmark(
        asrq_version=__version__,
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine,
        settings={name: value for name, value in conditions.items() if name != "asrq"},
        manifest=plan.manifest.name,
        clips=dict(Counter(clip.language for clip in clips)),
        normalisers=normalisers(clips),
        targets=tuple(reports),
    )
    _write(report, plan.folder)
    return report


def _prepare(plan: Plan) -> None:
    try:
        plan.folder.mkdir(parents=True, exist_ok=True)
        if plan.fresh:
            (plan.folder / "results.jsonl").unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"Cannot use the folder {plan.folder}: {error.strerror}.") from None


def _conditions(settings: Settings) -> dict[str, str]:
    origins, shown = configuration.origins(), configuration.masked(settings)
    chosen = {name: shown[name] for name, origin in origins.items() if origin != "default" and name not in _BESIDES}
    return {"asrq": __version__, **chosen}


def _write(report: Benchmark, folder: Path) -> None:
    document = json.dumps(report.model_dump(mode="json"), ensure_ascii=False, indent=2)
    try:
        (folder / "report.json").write_text(f"{document}\n", encoding="utf-8", newline="\n")
        (folder / "report.md").write_text(markdown.render(report), encoding="utf-8", newline="\n")
        charts.draw(report, folder)
    except OSError as error:
        raise UsageError(f"Cannot write the report into {folder}: {error.strerror}.") from None
