"""The child's side: a message loop on stdin and stdout that nothing else can disturb."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import NoReturn

from asrq_worker.process.stdio import Message, Stdio

__all__ = ["Message", "serve"]

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def serve(make_handler: Callable[[Callable[[Message], None]], Callable[[Message], None]]) -> NoReturn:
    """Run until stdin closes.

    `make_handler(send)` returns the function that gets each message. Whatever a library prints to stdout goes to
    stderr; `send` alone writes protocol lines, from any thread. The process ends, native threads included, the
    moment the parent closes the pipe or dies.
    """
    for name in ("SIGINT", "SIGTERM", "SIGBREAK"):  # the last is that of Windows
        if number := getattr(signal, name, None):
            signal.signal(number, signal.SIG_IGN)
    _die_with_parent()
    stdio = Stdio()

    def send(message: Message) -> None:
        if not stdio.send(message):
            os._exit(0)  # nobody listens any more

    messages: SimpleQueue[bytes] = SimpleQueue()

    def receive() -> None:
        for line in stdio.incoming:
            messages.put(line)
        os._exit(0)

    threading.Thread(target=receive, name="receive", daemon=True).start()
    handle = make_handler(send)
    while True:
        handle(json.loads(messages.get()))


def _die_with_parent() -> None:
    """Linux: have the kernel kill us when the parent dies, even while native code holds this process up."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(0)
