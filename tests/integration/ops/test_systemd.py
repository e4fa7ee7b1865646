"""The systemd units, read by systemd itself."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPO
from support.needs import missing

FOLDER = REPO / "ops" / "systemd"
UNITS = sorted(path.name for path in FOLDER.glob("*.service"))
PROGRAM = "/opt/asrq/bin/asrq"


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units as on a host, but for the program's place; of the template, instance 0."""
    if sys.platform != "linux" or shutil.which("systemd-analyze") is None:
        missing("systemd-analyze")
    for unit in UNITS:
        text = (FOLDER / unit).read_text(encoding="utf-8").replace(PROGRAM, sys.executable)
        (tmp_path / unit.replace("@", "@0")).write_text(text, encoding="utf-8")
    return tmp_path


def analyze(*words: object) -> str:
    command = ["systemd-analyze", *map(str, words)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_systemd_finds_nothing_wrong(installed: Path) -> None:
    assert analyze("verify", *installed.glob("*.service")) == ""


@pytest.mark.parametrize("unit", UNITS)
def test_exposure(installed: Path, unit: str) -> None:
    """systemd's own score, 0 (best) to 10, in tenths. A worker needs devices."""
    worst = 20 if "worker" in unit else 15
    analyze("security", "--offline=true", f"--threshold={worst}", installed / unit.replace("@", "@0"))
