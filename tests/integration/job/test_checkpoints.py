"""Checkpoints name the engine that made them, as it is."""

from __future__ import annotations

from pathlib import Path

from asrq_worker.backends.base import BackendConfig
from asrq_worker.engine.engine import Engine


def test_an_engine_tells_its_fingerprint(tmp_path: Path) -> None:
    """What it does not tell, nobody could know of it."""
    told = []
    for options in ({}, {"max_batch": 2}, {"delay": 0.0}):
        engine = Engine("fake", BackendConfig("m", tmp_path, options=options))
        engine.start()
        try:
            told.append(engine.wait_ready(120).fingerprint)
        finally:
            engine.close()
    assert told[0] == told[1] != told[2]
