"""A short run; `python -m chaos.live` makes longer ones."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from chaos.live import run
from support.needs import missing
from support.server import valkey


@pytest.mark.timeout(1800)  # for what hangs: it is over when all is said
@pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them")
def test_no_word_is_lost_whatever_is_killed(tmp_path: Path) -> None:
    if valkey() is None:
        missing("a Valkey server")
    found = run(8, tmp_path)
    print(found)  # pytest shows it with a failure
    assert found.different == []
    assert found.kills.total() >= 8
    assert found.attempts > found.recordings, "some were disturbed"
