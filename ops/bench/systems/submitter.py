"""Submits to a contender, in its environment, jobs that come as JSON lines: `python -m systems.submitter MODULE`."""

from __future__ import annotations

import importlib
import json
import sys

if __name__ == "__main__":
    submit = importlib.import_module(f"systems.contenders.{sys.argv[1]}").submit
    for line in sys.stdin:
        submit(json.loads(line))
