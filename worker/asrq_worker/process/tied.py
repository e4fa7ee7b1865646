"""A process that the system ends with its parent, where it can: Linux does, however the parent ended.

`python -m asrq_worker.process.tied PARENT COMMAND …` becomes COMMAND, tied to the process PARENT that started it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with(parent: int) -> None:
    """Linux: have the kernel kill us when the parent dies, even while native code holds this process up.

    It stays so when this process becomes another program (prctl(2)).
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(0)


if __name__ == "__main__":
    die_with(int(sys.argv[1]))
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # which the parent may ignore
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606  # without a shell on purpose
