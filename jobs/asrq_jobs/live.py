"""Sound that is handed over while it is recorded: the frames of a live job, numbered, so that none is lost or doubled.

What has to be sent is decided here, as in `asrq_jobs.calls`; `Live` and `AsyncLive` send it.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Literal

from asrq_jobs import keys
from asrq_jobs.errors import (
    AudioTooLongError,
    BlobMissingError,
    ErrorInfo,
    InvalidRequestError,
    JobStateError,
    TooFastError,
    from_info,
)
from asrq_jobs.events import Event
from asrq_jobs.request import LiveAudio, Request
from asrq_jobs.result import Result
from asrq_jobs.steps import Calls, Pause, Script, riding_out

if TYPE_CHECKING:  # they make what is here
    from asrq_jobs.aio import AsyncClient
    from asrq_jobs.client import Client

_FRAME = 1 << 16
"""Bytes of a frame at most: a script of Redis copies the last one each time."""
_SLOWER_S = 1.0
_HELD = 1 << 21
"""Bytes of sound that are held after Redis has taken them, in case it loses them: a minute at 16 kHz and 16 bits."""

FrameKind = Literal["audio", "end", "interrupted"]


class Frames:
    """The frames of one job that Redis does not hold yet, and the number of the last one that it does."""

    def __init__(self, job_id: str, width: int) -> None:
        """`width`: bytes of a sample of all channels."""
        self.job_id = job_id
        self.last = 0
        self._most = _FRAME // width * width
        self._width = width
        self._rest = b""
        self._waiting: deque[tuple[FrameKind, bytes]] = deque()
        self._held: deque[tuple[FrameKind, bytes]] = deque()
        self._closed = False

    @classmethod
    def of(cls, request: Request) -> Frames:
        """Those of a request for a live job."""
        assert isinstance(request.audio, LiveAudio)  # noqa: S101  # the caller has just made it
        return cls(request.id, request.audio.width)

    def add(self, sound: bytes) -> None:
        """Take sound, in pieces of any length: what does not make up a whole sample yet waits for the next one.

        Raises:
            JobStateError: the end mark was added before.
        """
        if self._closed:
            raise JobStateError(f"The recording of job {self.job_id} has ended.")
        sound = self._rest + sound
        whole = len(sound) // self._width * self._width
        self._rest = sound[whole:]
        self._waiting += (("audio", sound[at : min(at + self._most, whole)]) for at in range(0, whole, self._most))

    @property
    def left_over(self) -> int:
        """Bytes that do not make up a sample yet; after the end they are left out."""
        return len(self._rest)

    def close(self, kind: FrameKind = "end") -> None:
        """Add the end mark, once."""
        if not self._closed:
            self._waiting.append((kind, b""))
        self._closed = True

    def send(self, retry_s: float) -> Calls[None]:
        """Append what waits, riding out an outage of up to `retry_s`; what is not sent after that waits on.

        What Redis has taken and lost is sent again, as far as it is still held. After the end this is looked for.

        Raises:
            BlobMissingError: Redis has lost more than that.
            QueueError: Redis cannot be reached, or the job takes no more.
            AudioTooLongError: the recording is as long as it may be; what no longer fits is dropped.
        """
        if self._closed and self._held and not self._waiting:
            yield from self._look_back(retry_s)
        while self._waiting:
            kind, frame = self._waiting[0]
            try:
                kept = yield from append(self.job_id, self.last + 1, kind, frame, retry_s)
            except TooFastError:
                yield Pause(_SLOWER_S)
                continue
            except AudioTooLongError:
                if self._halve_first():
                    continue
                # Or the end could never be sent.
                self._waiting = deque(mark for mark in self._waiting if mark[0] != "audio")
                raise
            if kept < self.last:
                self._take_back(self.last - kept)
                continue
            self.last += 1
            self._hold(self._waiting.popleft())
            if kept > self.last:  # somebody else feeds it
                raise JobStateError(f"Job {self.job_id} has frames that are not ours.")

    def resume(self, retry_s: float) -> Calls[None]:
        """Go on after the last frame that is there, as somebody who has begun anew."""
        self.last = yield from append(self.job_id, 0, "audio", b"", retry_s)
        self._held.clear()

    def _halve_first(self) -> bool:
        """Make two frames of the first one, as the first half of it may still fit; False: it is a single sample."""
        kind, frame = self._waiting[0]
        half = len(frame) // 2 // self._width * self._width
        if half:
            self._waiting.popleft()
            self._waiting.extendleft([(kind, frame[half:]), (kind, frame[:half])])
        return half > 0

    def _look_back(self, retry_s: float) -> Calls[None]:
        """Ask for the end mark; it is appended again where it alone is lost."""
        kind, frame = self._held[-1]
        try:
            kept = yield from append(self.job_id, self.last, kind, frame, retry_s)
        except JobStateError:  # all of it was heard
            return
        self._take_back(max(self.last - kept, 0))

    def _hold(self, sent: tuple[FrameKind, bytes]) -> None:
        self._held.append(sent)
        while sum(len(frame) for _, frame in self._held) > _HELD:
            self._held.popleft()

    def _take_back(self, count: int) -> None:
        """Let so many frames wait again that were sent last."""
        if count > len(self._held):
            raise BlobMissingError(
                f"Redis has lost frames of the recording of job {self.job_id} that are not here any more.",
                hint="Cancel the job, and record it again.",
            )
        for _ in range(count):
            self._waiting.appendleft(self._held.pop())
        self.last -= count


def appending(job_id: str, number: int, kind: FrameKind, frame: bytes | str) -> Script:
    """Return the step that appends a frame, or an end mark; append.lua says what `frame` is then."""
    named = [keys.live(job_id), keys.job(job_id), keys.result(job_id), keys.LIMITS]
    return Script("append", named, [job_id, number, kind, frame])


def append(job_id: str, number: int, kind: FrameKind, frame: bytes, retry_s: float) -> Calls[int]:
    """Append a frame and return the number of the last one that is there: a greater one if it was there before, and a
    smaller one, nothing having been appended, if one before it is missing."""
    answer = json.loads((yield from riding_out(appending(job_id, number, kind, frame), retry_s)))
    if "error" in answer:
        error = from_info(ErrorInfo.model_validate(answer["error"]))
        if not isinstance(error, InvalidRequestError) or answer["last"] >= number - 1:
            raise error
    return int(answer["last"])


class Live:
    """A job that is being dictated: `Client.live` makes it. One thread at a time may append; others may follow."""

    def __init__(self, client: Client, frames: Frames, perform: Callable[[Calls[None]], None]) -> None:
        """`perform` has the client make calls."""
        self.id = frames.job_id
        self._client = client
        self._frames = frames
        self._perform = perform

    @property
    def last(self) -> int:
        """Number of the last frame that Redis holds; 0: none."""
        return self._frames.last

    @property
    def left_over(self) -> int:
        """Bytes at the end that make up no whole sample: 0, unless encoding or channels are others than was said."""
        return self._frames.left_over

    def append(self, sound: bytes) -> None:
        """Hand over sound as it was recorded, raw samples in pieces of any length.

        Blocks while Redis is away, for up to `redis_retry_s`; then raises, and keeps what it could not send: the next
        call, or `end`, sends it first.

        Raises:
            QueueError: Redis cannot be reached, or the job has ended.
            AudioTooLongError: the recording is as long as it may be; end it.
        """
        self._frames.add(sound)
        self._perform(self._frames.send(self._client.settings.redis_retry_s))

    def end(self) -> None:
        """Say that nothing more comes; blocks, and raises, as `append` does.

        May be repeated: what Redis has lost meanwhile is sent again.
        """
        self._frames.close()
        self._perform(self._frames.send(self._client.settings.redis_retry_s))

    def resume(self) -> None:
        """Go on after the last frame that Redis holds, in a program that did not append it."""
        self._perform(self._frames.resume(self._client.settings.redis_retry_s))

    def events(self, *, after: str = "0", timeout_s: float | None = None) -> Iterator[Event]:
        """Yield what happens to the job until it ends, as `Client.events` does: `chunk` events have text."""
        return self._client.events(self.id, after=after, timeout_s=timeout_s)

    def wait(self, *, timeout_s: float | None = None) -> Result:
        """Wait for the result, as `Client.wait` does; there is none before the end."""
        return self._client.wait(self.id, timeout_s=timeout_s)

    def cancel(self) -> Literal["canceled", "requested"]:
        """Give the job up, as `Client.cancel` does."""
        return self._client.cancel(self.id)


class AsyncLive:
    """As `Live`, with methods to await; one task at a time may append."""

    def __init__(self, client: AsyncClient, frames: Frames, perform: Callable[[Calls[None]], Awaitable[None]]) -> None:
        """`perform` has the client make calls."""
        self.id = frames.job_id
        self._client = client
        self._frames = frames
        self._perform = perform

    @property
    def last(self) -> int:
        """Number of the last frame that Redis holds; 0: none."""
        return self._frames.last

    @property
    def left_over(self) -> int:
        """As of `Live`."""
        return self._frames.left_over

    async def append(self, sound: bytes) -> None:
        """Hand over sound, as `Live.append` does."""
        self._frames.add(sound)
        await self._perform(self._frames.send(self._client.settings.redis_retry_s))

    async def end(self) -> None:
        """Say that nothing more comes."""
        self._frames.close()
        await self._perform(self._frames.send(self._client.settings.redis_retry_s))

    async def resume(self) -> None:
        """Go on after the last frame that Redis holds, in a program that did not append it."""
        await self._perform(self._frames.resume(self._client.settings.redis_retry_s))

    def events(self, *, after: str = "0", timeout_s: float | None = None) -> AsyncIterator[Event]:
        """Yield what happens to the job until it ends."""
        return self._client.events(self.id, after=after, timeout_s=timeout_s)

    async def wait(self, *, timeout_s: float | None = None) -> Result:
        """Wait for the result."""
        return await self._client.wait(self.id, timeout_s=timeout_s)

    async def cancel(self) -> Literal["canceled", "requested"]:
        """Give the job up."""
        return await self._client.cancel(self.id)
