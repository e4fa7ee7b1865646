"""The systemd units: systemd itself reads them, and they fit the program."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPO
from support.command_line import parse
from support.needs import missing

from asrq_jobs.settings import PREFIX, Settings, groups

FOLDER = REPO / "ops" / "systemd"
UNITS = sorted(path.name for path in FOLDER.glob("*.service"))
PROGRAM = "/opt/asrq/bin/asrq"


def service(unit: str) -> dict[str, list[str]]:
    """The section [Service]: every value of each key."""
    text = (FOLDER / unit).read_text(encoding="utf-8").partition("[Service]\n")[2].partition("\n[")[0]
    found: dict[str, list[str]] = {}
    for key, value in re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE):
        found.setdefault(key, []).append(value)
    return found


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


@pytest.mark.parametrize("unit", UNITS)
def test_commands_and_settings_exist(unit: str) -> None:
    program, *words = shlex.split(service(unit)["ExecStart"][0])
    assert program == PROGRAM
    parse(words)
    names = {pair.partition("=")[0] for line in service(unit)["Environment"] for pair in line.split()}
    assert {name for name in names if name.startswith(PREFIX)} <= {
        f"{PREFIX}{name.upper()}" for names in groups().values() for name in names
    }


@pytest.mark.parametrize("unit", UNITS)
def test_a_crash_is_followed_by_a_start_for_ever(unit: str) -> None:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.read(FOLDER / unit, encoding="utf-8")
    assert parser["Service"]["Restart"] == "always"
    assert parser["Unit"]["StartLimitIntervalSec"] == "0"


def test_the_worker_has_time_to_drain_and_its_children_are_not_signalled() -> None:
    worker = service("asrq-worker@.service")
    assert worker["KillMode"] == ["mixed"]
    assert int(worker["TimeoutStopSec"][0]) >= Settings.model_fields["grace_s"].default + 15
