"""The documentation as MkDocs builds it."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

from conftest import REPO
from support.needs import missing


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    """Every page is in the navigation; links between pages, to anchors and to files of the repository hold."""
    if importlib.util.find_spec("material") is None:
        missing("mkdocs-material")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=REPO, env=env, capture_output=True, text=True, check=False, timeout=120)
    warnings = [line for line in done.stderr.splitlines() if not line.startswith("INFO")]
    assert done.returncode == 0, "\n".join(warnings)
    home = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"(?:src|<link[^>]* href)=\"https?://", home)  # nothing is loaded from elsewhere
    assert (tmp_path / "site" / "sources" / "docker-compose.yml.txt").is_file()
