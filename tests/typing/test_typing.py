"""The public types as type checkers see them in the installed package, without the settings of this repository."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.needs import missing

HERE = Path(__file__).resolve().parent
EXAMPLE = HERE.parents[1] / "docs" / "how-to" / "clients" / "python" / "main.py"
FILES = (HERE / "accepted.py", HERE / "rejected.py", EXAMPLE)
NAMES = [file.name for file in FILES]

Places = set[tuple[str, int]]


def mypy(folder: Path) -> Places:
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--output", "json", *NAMES]
    done = subprocess.run(
        [*command, "--cache-dir", str(folder / "cache")], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return {(one["file"], one["line"]) for one in found if one["severity"] == "error"}


def pyright(folder: Path) -> Places:
    program = shutil.which("pyright", path=Path(sys.executable).parent)
    if program is None:
        missing("pyright")
    command = [program, "--outputjson", "--pythonpath", sys.executable, *NAMES]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)["generalDiagnostics"]
    return {(Path(one["file"]).name, one["range"]["start"]["line"] + 1) for one in found if one["severity"] == "error"}


@pytest.mark.parametrize("check", [mypy, pyright])
def test_right_programs_are_accepted_and_each_mistake_is_found(check: Callable[[Path], Places], tmp_path: Path) -> None:
    marked: set[tuple[str, int]] = set()
    for file in FILES:
        text = file.read_text(encoding="utf-8")
        marked |= {(file.name, number) for number, line in enumerate(text.splitlines(), 1) if "# mistake:" in line}
        (tmp_path / file.name).write_text(text, encoding="utf-8")  # away from pyproject.toml, as a user's program is
    assert check(tmp_path) == marked
