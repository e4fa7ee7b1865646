"""The wheel that is shipped, in an environment that has nothing else: the light client and its program."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from conftest import REPO


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    _run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, REPO)
    (built,) = folder.glob("asrq-*.whl")
    return built


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of programs of an environment with the wheel and what it depends on."""
    home = tmp_path_factory.mktemp("bare")
    venv.create(home, with_pip=True)
    programs = home / ("Scripts" if sys.platform == "win32" else "bin")
    _run(programs / "python", "-m", "pip", "install", "--quiet", wheel)
    return programs


def _run(*command: object, **env: str) -> str:
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, timeout=170, env={**os.environ, **env}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_holds_both_packages_their_scripts_and_nothing_of_the_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in (
        "asrq_jobs/lua/submit.lua",
        "asrq_jobs/py.typed",
        "asrq_worker/data/demo.ogg",
        "asrq_worker/http/static/main.js",
    ):
        assert wanted in names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"asrq_jobs", "asrq_worker", "asrq"}


def test_the_client_works_without_any_of_the_heavy_packages(bare: Path, valkey_url: str, data: Path) -> None:
    submitted = _run(bare / "asrq", "submit", data / "hello-en.flac", "--json")
    job_id = json.loads(submitted)["id"]
    assert json.loads(_run(bare / "asrq", "status", job_id, "--json"))["status"] == "queued"
    script = (
        "import sys, asrq_jobs.client; print([m for m in ('numpy', 'torch', 'rq', 'asrq_worker') if m in sys.modules])"
    )
    assert _run(bare / "python", "-c", script).strip() == "[]"
    assert _run(bare / "python", "-m", "asrq_jobs", "--version") == _run(bare / "asrq", "--version")
    script = "from asrq_jobs.testing import FakeClient as F; c = F(lambda _: 'said'); j = c.submit(c.upload(b'x')); "
    assert _run(bare / "python", "-c", f"{script}print(c.wait(j.id).text)") == "said\n"


def test_a_worker_command_says_what_is_missing_and_how_it_is_added(bare: Path, wheel: Path) -> None:
    done = subprocess.run([bare / "asrq", "worker"], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "[extra_missing]" in done.stderr
    assert "Traceback" not in done.stderr
    (command,) = re.findall(r"hint: Run: (pip install .+)\.$", done.stderr, re.MULTILINE)
    pip, *arguments = shlex.split(command)
    assert str(wheel) in arguments[1]
    # Only whether pip understands it: what the extra brings is large.
    _run(bare / pip, *arguments, "--dry-run", "--no-deps", "--no-index")
