"""Checkpoints from a hub that cannot be reached."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_a_hub_that_cannot_be_reached_fails_soon(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from asrq_jobs.errors import FetchError
from asrq_worker.backends.qwen.files import find
try:
    find("1.7b", "recogniser", model_dir=Path(sys.argv[1]), download=True)
except FetchError as error:
    print(error.message, error.hint)
"""
    # The hub's address is read when its client is imported, hence another process.
    environment = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:1", "HF_HUB_CACHE": str(tmp_path)}
    environment.pop("HF_HUB_OFFLINE", None)
    ran = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert "'Qwen/Qwen3-ASR-1.7B' could not be fetched" in ran.stdout, ran.stderr
    assert "HF_ENDPOINT" in ran.stdout
