"""Every module can be imported where Python lacks what only POSIX has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_IMPORT_ALL = """
import asyncio, importlib, logging, multiprocessing, os, pkgutil, signal, socket, subprocess, sys, tempfile, threading
import av, fsspec, httpx, numpy, psutil, redis  # these have code of their own for each system; rq has none
LACKING = ("fcntl", "grp", "pty", "pwd", "resource", "termios", "tty")
for name in (*LACKING, "torch", "transformers"):  # the last two have Windows in mind, and take long
    sys.modules[name] = None
POSIX = {
    os: "fork getuid geteuid getgid setsid killpg getpgid wait4 WNOHANG getloadavg uname sched_getaffinity",
    signal: "SIGALRM SIGCHLD SIGHUP SIGKILL SIGSTOP SIGUSR1 SIGUSR2 SIGXCPU alarm setitimer pthread_kill",
    socket: "AF_UNIX",
}
for module, names in POSIX.items():
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)
import asrq_jobs, asrq_worker
for package in (asrq_jobs, asrq_worker):
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not found.name.endswith("__main__"):
            try:
                importlib.import_module(found.name)
            except ModuleNotFoundError as error:
                if error.name in LACKING or error.name.startswith("asrq"):
                    raise
print("imported")
"""


def test_every_module_can_be_imported(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _IMPORT_ALL]
    env = {**os.environ, "MPLCONFIGDIR": str(tmp_path)}  # matplotlib complains of a home that it cannot write to
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=120)
    assert (done.stdout, done.stderr) == ("imported\n", "")
