"""A short run; `python -m chaos.gateway` makes longer ones."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from chaos.gateway import run
from support.needs import missing
from support.server import valkey


@pytest.mark.timeout(1800)  # for what hangs: it is over when all are answered
@pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them")
def test_each_request_has_one_answer_whatever_is_killed(tmp_path: Path) -> None:
    if valkey() is None:
        missing("a Valkey server")
    found = run(20, tmp_path, every_s=1.0)
    print(found)  # pytest shows it with a failure
    assert found.problems == []
    assert found.answered == 20
    assert set(found.killed) == {"gateway", "worker", "engine", "server"}
