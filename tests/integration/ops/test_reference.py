"""The generated reference pages, as a process of their own makes them."""

from __future__ import annotations

import subprocess
import sys

import reference as docs


def test_the_pages_on_disk_are_up_to_date() -> None:
    """In a process of its own: what other tests have imported and changed must not show in the pages."""
    command = [sys.executable, docs.__file__, "--check"]
    done = subprocess.run(command, cwd=docs.FOLDER, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"run `make docs`: {done.stderr}"
