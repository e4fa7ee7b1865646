"""What is transcribed: clips, long files, files with noise, and files in which nobody speaks."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import av

from asrq_jobs.errors import InvalidRequestError
from asrq_jobs.languages import AUTO
from asrq_worker.bench.manifest import Clip, Selection, load

_DATA = Path(__file__).resolve().parents[3] / "tests" / "data"


@dataclass(frozen=True)
class Collected:
    """Files by what they are for; those of `silent` have an empty reference."""

    clips: list[Clip]
    long: list[Clip]
    noisy: list[Clip]
    silent: list[Clip]


def collect(manifest: Path, languages: Collection[str], most: int) -> Collected:
    """Read a manifest; at most `most` clips of each language, one long file.

    Raises:
        AsrqError: it cannot be used, or has no clips.
    """

    def chosen(kind: str, limit: int | None = None) -> list[Clip]:
        selection = Selection(languages=languages, kinds=[kind], without_tags=["number-format"], limit=limit)
        try:
            return load(manifest, selection)
        except InvalidRequestError:  # no line is of that kind
            return []

    clips = load(manifest, Selection(languages=languages, kinds=["clip"], without_tags=["number-format"], limit=most))
    return Collected(clips, chosen("long", 1), chosen("noisy"), _silent(manifest, languages))


def _silent(manifest: Path, languages: Collection[str]) -> list[Clip]:
    """Files without speech or without sound; a model of one language is asked for that one, others are to find out."""
    try:
        found = load(manifest, Selection(kinds=["bad"]))
    except InvalidRequestError:
        return []
    asked = next(iter(languages)) if len(languages) == 1 else AUTO
    return [replace(clip, language=asked) for clip in found if clip.language == AUTO and clip.text == ""]


def own_manifest(folder: Path) -> Path:
    """Write a manifest of the two clips in this repository into a folder."""
    lines = [
        {
            "path": str(clip),
            "language": clip.stem[-2:],
            "text": clip.with_suffix(".txt").read_text("utf-8"),
            "kind": "clip",
        }
        for clip in sorted(_DATA.glob("hello-*.flac"))
    ]
    path = folder / "manifest.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def seconds(clip: Clip) -> float:
    """Return how long a file is by its header; 0 for one that has none."""
    try:
        with av.open(str(clip.file)) as container:
            return (container.duration or 0) / 1e6
    except (OSError, av.FFmpegError):
        return 0.0
