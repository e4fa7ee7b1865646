"""The program `asrq`, and `python -m asrq_jobs`, where it is not on the PATH."""

from __future__ import annotations

import sys


def main() -> int:
    """Run `asrq` and return its exit code, also where Ctrl-C comes before it has been imported."""
    try:
        from asrq_jobs.cli import main as run
    except KeyboardInterrupt:
        return 130
    return run()


if __name__ == "__main__":
    sys.exit(main())
