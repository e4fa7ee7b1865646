"""The child's side: a message loop on stdin and stdout that nothing else can disturb."""

from __future__ import annotations

import gc
import json
import os
import signal
import threading
from collections.abc import Callable, Collection
from queue import SimpleQueue
from typing import NoReturn

from asrq_worker.process.stdio import Message, Stdio
from asrq_worker.process.tied import die_with

Handle = Callable[[Message], None]


def serve(make_handler: Callable[[Callable[[Message], None]], Handle], *, at_once: Collection[str] = ()) -> NoReturn:
    """Run until stdin closes.

    `make_handler(send)` returns the function that gets each message: that of an `at_once` operation, which takes no
    time, in the thread that reads, so that no other has to wake for it. What a library prints to stdout goes to stderr;
    `send` alone writes protocol lines, from any thread. The process ends, native threads included, the moment the
    parent closes the pipe or dies.
    """
    for name in ("SIGINT", "SIGTERM", "SIGBREAK"):  # the last is that of Windows
        if number := getattr(signal, name, None):
            signal.signal(number, signal.SIG_IGN)
    die_with(os.getppid())
    stdio = Stdio()

    def send(message: Message) -> None:
        if not stdio.send(message):
            os._exit(0)  # nobody listens any more

    messages: SimpleQueue[Message] = SimpleQueue()
    handlers: list[Handle] = []

    def receive() -> None:
        try:
            for line in stdio.incoming:
                message = json.loads(line)
                if handlers and message["op"] in at_once:
                    handlers[0](message)
                else:
                    messages.put(message)
        finally:
            os._exit(0)

    threading.Thread(target=receive, name="receive", daemon=True).start()
    handlers.append(make_handler(send))
    gc.freeze()  # what was imported stays: a decoder that looks through it after each message spends 25 ms
    while True:
        handlers[0](messages.get())
