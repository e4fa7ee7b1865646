"""The systemd units fit the program."""

from __future__ import annotations

import configparser
import re
import shlex

import pytest
from conftest import REPO
from support.command_line import parse

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
def test_a_crash_is_followed_by_a_start_however_often(unit: str) -> None:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.read(FOLDER / unit, encoding="utf-8")
    assert parser["Service"]["Restart"] == "always"
    assert parser["Unit"]["StartLimitIntervalSec"] == "0"


def test_the_worker_has_time_to_drain_and_its_children_are_not_signalled() -> None:
    worker = service("asrq-worker@.service")
    assert worker["KillMode"] == ["mixed"]
    assert int(worker["TimeoutStopSec"][0]) >= Settings.model_fields["grace_s"].default + 15
