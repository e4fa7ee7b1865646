"""What the calls of the protocol are made of: steps, which the clients perform, and the end with what it returns.

Each call is a generator. It yields steps, is sent the answer to each (or has the `QueueError` thrown in), and returns
what the caller wants to know. `asrq_jobs.client` and `asrq_jobs.aio` perform the steps, one of them waiting, the other
awaiting; neither knows more of the protocol than that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, BinaryIO, Generic, TypeVar

from asrq_jobs.errors import QueueError, StorageError
from asrq_jobs.events import Entry
from asrq_jobs.scripts import ScriptName

_PART_BYTES = 1 << 20
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0

T = TypeVar("T")
Y = TypeVar("Y")

Command = tuple[str | bytes | int, ...]


@dataclass(frozen=True)
class Script:
    """Run a Lua script."""

    name: ScriptName
    keys: list[str]
    args: list[str | int | bytes]


@dataclass(frozen=True)
class StoreFile:
    """Write a string from a file, of which no more than a part is ever in memory."""

    key: str
    file: BinaryIO
    size: int
    """Bytes."""
    ttl_s: int

    @property
    def at_once(self) -> bool:
        """Whether it is so little that reading it takes less than handing it to a thread, or asking what is there."""
        return self.size <= _PART_BYTES

    @property
    def command(self) -> Command:
        """The command, with all of the file in it.

        Raises:
            StorageError: the file cannot be read again.
        """
        return ("SET", self.key, b"".join(parts(self.file, self.size)), "EX", self.ttl_s)

    def parts(self) -> Iterator[bytes]:
        """Yield the command in RESP, in one part if it has no more than about a MiB.

        https://redis.io/docs/latest/develop/reference/protocol-spec/

        Raises:
            StorageError: the file cannot be read again.
        """
        words = b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in (b"SET", self.key.encode()))
        held = b"*5\r\n%b$%d\r\n" % (words, self.size)
        for number, part in enumerate(parts(self.file, self.size)):
            if number:
                yield held
            held = part if number else held + part
        ttl = str(self.ttl_s).encode()
        yield b"%b\r\n$2\r\nEX\r\n$%d\r\n%b\r\n" % (held, len(ttl), ttl)


@dataclass(frozen=True)
class Together:
    """Run commands and scripts in one round trip, in their order.

    The answer to each is in a list, with a `QueueError` for one that Redis refused.
    """

    each: Sequence[Command | Script]


@dataclass(frozen=True)
class Pause:
    """Do nothing for a while."""

    seconds: float


@dataclass(frozen=True)
class Done(Generic[T]):
    """The end of a call, with what it returns."""

    value: T


Step = Command | Script | Together | StoreFile | Pause
Calls = Generator[Step, Any, T]
Following = Generator[Step | Entry, Any, T]


def advance(calls: Generator[Y, Any, T], answer: Any = None) -> Y | Done[T]:
    """Hand in the answer to the last step, which may be a `QueueError`, and return the next step or the end."""
    try:
        return calls.throw(answer) if isinstance(answer, QueueError) else calls.send(answer)
    except StopIteration as end:
        return Done(end.value)


def answered(answers: list[Any]) -> list[Any]:
    """Return what a `Together` was answered.

    Raises:
        QueueError: the first of what Redis refused.
    """
    for answer in answers:
        if isinstance(answer, QueueError):
            raise answer
    return answers


def parts(file: BinaryIO, size: int) -> Iterator[bytes]:
    """Yield the first `size` bytes of a file in parts of at most a MiB.

    Raises:
        StorageError: it cannot be read, or has become shorter.
    """
    try:
        file.seek(0)
        while size:
            part = file.read(min(size, _PART_BYTES))
            if not part:
                raise StorageError("The audio has become shorter while it was sent.")
            yield part
            size -= len(part)
    except OSError as error:
        raise StorageError(f"The audio cannot be read again: {error.strerror or error}.") from None


def server_time() -> Calls[float]:
    """Get the time by the clock of Redis, Unix s: that of a client may be wrong, and a job's waiting counts from it."""
    answer: tuple[int, int] = yield ("TIME",)
    return answer[0] + answer[1] / 1e6


def riding_out(
    step: Command | Script | Together,
    retry_s: float,
    *,
    deadline: float = inf,
    now: Callable[[], float] = time.monotonic,
) -> Calls[Any]:
    """Do what may be repeated, again and again while Redis is away: for `retry_s`, and not beyond the deadline."""
    give_up, pause = now() + retry_s, _FIRST_PAUSE_S
    while True:
        try:
            answer = yield step
            return answered(answer) if isinstance(step, Together) else answer
        except QueueError as error:
            if not error.retryable or now() + pause > min(give_up, deadline):
                raise
        yield Pause(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_S)
