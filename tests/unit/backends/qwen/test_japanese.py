"""The package that divides Japanese into words is loaded only when it is used."""

from __future__ import annotations

import importlib
import inspect
import sys
from pathlib import Path

import pytest

from asrq_worker.backends.qwen.japanese import put_off


@pytest.fixture
def nagisa(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that tells when it is loaded."""
    (tmp_path / "nagisa.py").write_text("loads = []\nimport sys\nsys.nagisa_loaded = True\ntagging = str.split\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "nagisa_loaded", False, raising=False)
    monkeypatch.setitem(sys.modules, "nagisa", sys)  # so that what was there comes back
    del sys.modules["nagisa"]


def test_it_is_loaded_when_it_is_used(nagisa: None) -> None:
    put_off()
    module = importlib.import_module("nagisa")
    assert importlib.util.find_spec("nagisa") is not None
    inspect.getmodule(test_it_is_loaded_when_it_is_used)  # asks every module for its file, as torch does
    assert not hasattr(module, "__path__")
    assert not sys.nagisa_loaded  # type: ignore[attr-defined]  # set above
    assert module.tagging("a b") == ["a", "b"]
    assert sys.nagisa_loaded  # type: ignore[attr-defined]  # as above
    put_off()
    assert module.tagging is importlib.import_module("nagisa").tagging
    with pytest.raises(AttributeError):
        _ = module.nothing


def test_what_is_not_installed_stays_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setitem(sys.modules, "nagisa", sys)
    del sys.modules["nagisa"]
    put_off()
    assert "nagisa" not in sys.modules
