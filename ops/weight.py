"""Counts what the table of docs/explanation/decisions/0035 has of this checkout: `python ops/weight.py`."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]


def counted() -> Iterator[tuple[str, str]]:
    """Yield each row's name and figure."""
    contracts = tomllib.loads(_read("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    entries = [entry for layer in layers for entry in layer.split(" | ")]
    rooms = [entry for entry in entries if (REPO / "worker" / "asrq_worker" / entry).is_dir()]
    yield "rooms, floors", f"{len(rooms)}, {len(layers)}"
    declared = re.findall(r"^    [a-z_]+: .*= Field\(", _read("jobs/asrq_jobs/declarations.py"), re.MULTILINE)
    yield "settings declared in the client", str(len(declared))
    listed = subprocess.run(
        ["git", "ls-files", "jobs/*.py", "worker/*.py"],  # noqa: S607  # any git will do
        cwd=REPO,
        check=True,
        capture_output=True,
        text=True,
    )
    modules = {path: _read(path) for path in listed.stdout.split()}
    lengths = [text.count("\n") for text in modules.values()]
    yield "modules of more than 300 lines", str(sum(length > 300 for length in lengths))
    words = re.findall(r"^\| \*\*", _read("docs/explanation/glossary.md"), re.MULTILINE)
    yield "words in the glossary", str(len(words))
    whole = "\n".join(modules.values())
    yield "public classes", str(len(re.findall(r"^class [A-Za-z]", whole, re.MULTILINE)))
    yield "public functions", str(len(re.findall(r"^(?:async )?def [a-z]", whole, re.MULTILINE)))
    yield "lines", f"{sum(lengths):,}"


def _read(path: str) -> str:
    return (REPO / path).read_text(encoding="utf-8")


if __name__ == "__main__":
    for name, figure in counted():
        print(f"{name}: {figure}")
