"""Whether to write in colour: on a terminal that can, unless `NO_COLOR` is set (https://no-color.org)."""

from __future__ import annotations

import os
from typing import TextIO


def wanted(stream: TextIO) -> bool:
    """Whether the reader of a stream sees colours and wants them."""
    return capable(stream) and not os.environ.get("NO_COLOR")


def capable(stream: TextIO) -> bool:
    """Whether a stream is a terminal that can do more than print one line after another."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"
