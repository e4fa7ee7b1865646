"""A backend that somebody has written as the how-to says, and installed beside asrq: it serves, and has settings."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from conftest import REPO, Asrq

PAGE = (REPO / "docs" / "how-to" / "write-a-backend.md").read_text(encoding="utf-8")
SPEECH = REPO / "tests" / "data" / "hello-en.flac"


@pytest.fixture(autouse=True)
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put there what pip would: the module of the page, and the entry point of its pyproject.toml."""
    [code] = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    [project] = map(tomllib.loads, re.findall(r"^```toml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE))
    name, version = project["project"]["name"], project["project"]["version"]
    site = tmp_path / "site"
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    ((group, points),) = project["project"]["entry-points"].items()
    lines = [f"{backend} = {where}\n" for backend, where in points.items()]
    (info / "entry_points.txt").write_text(f"[{group}]\n{''.join(lines)}", encoding="utf-8")
    (site / "asrq_clap.py").write_text(code, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(site))


def test_it_serves_and_its_settings_count(asrq: Asrq, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ("transcribe", "--backend", "clap", "--language", "en", SPEECH)
    monkeypatch.setenv("ASRQ_CLAP_THRESHOLD", "0.02")
    heard = asrq(*command)
    assert heard.returncode == 0, heard.stderr
    assert set(heard.stdout.split()) == {"clap"}
    monkeypatch.setenv("ASRQ_CLAP_THRESHOLD", "0.999")
    assert asrq(*command).stdout.split() == []
    monkeypatch.setenv("ASRQ_CLAP_THRESHOLD", "loud")
    assert "Setting clap_threshold: " in asrq(*command).stderr
    monkeypatch.delenv("ASRQ_CLAP_THRESHOLD")
    monkeypatch.setenv("ASRQ_CLAP_TRESHOLD", "0.5")
    refused = asrq(*command)
    assert refused.returncode != 0
    assert "Did you mean ASRQ_CLAP_THRESHOLD?" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_its_settings_are_shown_with_where_they_come_from(
    asrq: Asrq, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "asrq.toml").write_text("clap_threshold = 0.25\nclap_model = 'loud'\n", encoding="utf-8")
    (tmp_path / ".env").write_text("ASRQ_CLAP_API_KEY=sesame\nOTHER=x\n", encoding="utf-8")
    monkeypatch.setenv("ASRQ_CLAP_MODEL", "louder")
    shown = {name: rest for name, *rest in (line.split("\t") for line in asrq("config").stdout.splitlines())}
    assert shown["clap_threshold"] == ["0.25", "asrq.toml"]
    assert shown["clap_model"] == ["louder", "environment"]
    assert shown["clap_api_key"] == ["**********", ".env"]
    assert not {name for name in shown if "other" in name.lower()}


def test_a_setting_of_no_backend_is_unknown(asrq: Asrq, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASRQ_TAP_THRESHOLD", "0.5")
    refused = asrq("config")
    assert refused.returncode != 0
    assert "Unknown setting ASRQ_TAP_THRESHOLD" in refused.stderr


def test_one_that_cannot_be_imported_says_so(asrq: Asrq, tmp_path: Path) -> None:
    (tmp_path / "site" / "asrq_clap.py").write_text("import no_such_module_here\n", encoding="utf-8")
    refused = asrq("transcribe", "--backend", "clap", "--language", "en", SPEECH)
    assert refused.returncode != 0
    assert "no_such_module_here" in refused.stderr
    assert "Traceback" not in refused.stderr
