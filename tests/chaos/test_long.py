"""A short run; `python -m chaos.long` makes longer ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from chaos.long import run
from support.needs import missing
from support.server import valkey


@pytest.mark.timeout(600)  # for what hangs: it is over when all is said
def test_all_of_it_is_heard_and_nothing_is_left(tmp_path: Path) -> None:
    if valkey() is None:
        missing("a Valkey server")
    *_, last = run(0.05, tmp_path, silent=False)
    assert (last["status"], last["duration"], last["warnings"], last["sound_left"]) == ("completed", 180.0, (), 0)
    assert last["words"] > 10
