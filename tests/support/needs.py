"""What a test needs from the machine: its absence skips a test on a desk and fails it in CI."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def missing(what: str) -> NoReturn:
    """Skip the test, or fail it where `CI` is set: there, everything is expected to be installed."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing, and CI is expected to have it", pytrace=False)
    pytest.skip(f"{what} is missing")
