"""A short run; `python -m chaos.archive` makes longer ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from chaos.archive import run
from support.needs import missing
from support.server import valkey


@pytest.mark.timeout(1800)  # for what hangs
def test_each_file_is_done_once_though_the_program_is_killed(tmp_path: Path) -> None:
    if valkey() is None:
        missing("a Valkey server")
    found = run(60, 3, tmp_path)
    print(found)  # pytest shows it with a failure
    assert found.problems == []
    assert (found.kills, found.executions) == (3, 60)
    assert found.most_jobs <= 17, "those in flight, and one that a killed run had written and not erased"
    assert found.peak_kb < 4096, "17 files of at most 35 kB, their jobs, and what connections hold"
