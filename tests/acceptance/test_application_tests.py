"""The page on testing an application: its code is written to files as it stands, and run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).parents[2]
PAGE = REPO / "docs" / "how-to" / "test-an-application.md"


def test_the_tests_of_the_page_pass(valkey_url: str, tmp_path: Path) -> None:
    application, *tests = re.findall(
        r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    (tmp_path / "notes.py").write_text(application, encoding="utf-8")
    for number, text in enumerate(tests):
        (tmp_path / f"test_{number}.py").write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:schemathesis", "."],
        cwd=tmp_path,
        env=os.environ | {"ASRQ_REDIS_URL": valkey_url, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{sum(text.count('def test_') for text in tests)} passed" in done.stdout
