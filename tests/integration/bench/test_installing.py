"""What a benchmark of systems needs, installed by pip."""

from __future__ import annotations

from pathlib import Path

import pytest

from systems.contender import Contender, install


def test_what_cannot_be_installed_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    reason = install(Contender("no such system", (), "", packages=("no-such-system",)), tmp_path)
    assert reason is not None
    assert "no-such-system" in reason
    assert install(Contender("nothing to install", (), ""), tmp_path) is None
