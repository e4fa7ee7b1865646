"""Being interrupted: Ctrl-C, a terminal that is closed, and SIGTERM alike stop a command in good order."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from asrq_jobs.cli import exit_codes

_NAMES = ("SIGTERM", "SIGHUP")  # the latter is not everywhere


class Interruption(KeyboardInterrupt):
    """A signal, by its number; code that handles Ctrl-C handles it, too."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextmanager
def interruptible() -> Iterator[None]:
    """Have SIGTERM and SIGHUP raise `Interruption` in the main thread, unless they are ignored as under nohup."""
    numbers = [signal.Signals[name] for name in _NAMES if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    mine = [number for number in numbers if before[number] is signal.SIG_DFL]
    for number in mine:
        signal.signal(number, _raise)
    try:
        yield
    finally:
        for number in mine:
            signal.signal(number, signal.SIG_DFL)


def exit_code(error: KeyboardInterrupt) -> int:
    """Return the exit code of a command that was interrupted."""
    return 128 + error.number if isinstance(error, Interruption) else exit_codes.INTERRUPTED


def _raise(number: int, frame: FrameType | None) -> None:
    del frame
    raise Interruption(number)
