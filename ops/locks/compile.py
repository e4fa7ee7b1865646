"""Pins, with hashes, everything that an installation gets: `python ops/locks/compile.py [--upgrade]` (`make locks`).

Each lock holds for Linux, macOS and Windows and for every Python that asrq supports. Pins stay as they are unless
`pyproject.toml` asks for something else or `--upgrade` is given.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
REPO = FOLDER.parent.parent
_WORKER = ("worker", "base", "server", "http", "sentry")
LOCKS = {
    "build": ("ops/locks/build.in",),
    "client": ("pyproject.toml",),
    "worker-cpu": ("pyproject.toml", *(f"--extra={extra}" for extra in (*_WORKER, "dashboard"))),
    "worker-cuda": ("pyproject.toml", "ops/locks/cuda.in", *(f"--extra={extra}" for extra in (*_WORKER, "qwen"))),
}


def main(arguments: list[str]) -> None:
    """Write every lock."""
    # PyPI alone: a build that only this machine can see must not get in.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("UV_")}
    for name, sources in LOCKS.items():
        subprocess.run(  # noqa: S603  # our own arguments
            [
                *(Path(sys.executable).with_name("uv"), "pip", "compile", "--quiet", "--no-config", "--no-annotate"),
                *("--universal", "--python-version=3.11", "--generate-hashes", "--system-certs"),
                *("--default-index=https://pypi.org/simple", "--custom-compile-command=make locks"),
                *(f"--output-file=ops/locks/{name}.txt", *sources, *arguments),
            ],
            cwd=REPO,
            env=environment,
            check=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
