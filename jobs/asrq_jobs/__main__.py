"""`python -m asrq_jobs`: the program `asrq`, where it is not on the PATH."""

from __future__ import annotations

import sys

from asrq_jobs.cli import main

if __name__ == "__main__":
    sys.exit(main())
