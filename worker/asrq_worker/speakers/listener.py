"""Telling speakers apart as the parent sees it: a child process for one recording, that can be killed at any moment."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from asrq_jobs.errors import EngineCrashedError, EngineTimeoutError, ErrorInfo, from_info
from asrq_worker.audio.sound import Sound
from asrq_worker.process.child import Child
from asrq_worker.process.environment import computing_on, handed_on
from asrq_worker.process.exits import describe_exit
from asrq_worker.process.stdio import Message
from asrq_worker.speakers.clusters import Number, Turn

_MODULE = "asrq_worker.speakers.child"
_POLL_S = 0.2
_STALL_S = 120.0  # to load torch on a busy host; then each message is some seconds' work


@dataclass(frozen=True)
class Told:
    """The turns of the speakers, in order, and the names of those who are enrolled, by speaker.

    `unread`: why enrolled voices, or some of them, could not be compared.
    """

    turns: tuple[Turn, ...] = ()
    names: tuple[str | None, ...] = ()
    unread: str | None = None


def tell_apart(sound: Sound, number: Number, check: Callable[[], None], *, voices: Path | None = None) -> Told:
    """Return who speaks when in a sound that has speech; `voices` is the folder of enrolled ones. Blocks.

    `check` is called five times a second; what it raises kills the child and passes on.

    Raises:
        ExtraMissingError: the packages are not installed.
        EngineCrashedError: the child died.
        EngineTimeoutError: it made no progress for two minutes.
    """
    folder = None if voices is None else str(voices.absolute())
    answer = _ask({"op": "tell", "least": number.least, "most": number.most, "voices": folder}, sound, check)
    turns = tuple(Turn(*turn) for turn in answer["turns"])
    return Told(turns, tuple(answer["names"]), answer["unread"])


def enroll(sound: Sound, check: Callable[[], None]) -> tuple[tuple[float, ...], int]:
    """Return the voice in a sound that has speech, as a unit vector, and how many speak there. Blocks.

    Raises:
        as `tell_apart`.
    """
    answer = _ask({"op": "enroll"}, sound, check)
    return tuple(answer["vector"]), answer["speakers"]


def _ask(question: Message, sound: Sound, check: Callable[[], None]) -> Message:
    messages: queue.SimpleQueue[Message] = queue.SimpleQueue()

    def on_exit(code: int) -> None:
        messages.put({"op": "exit", "code": code})

    try:
        child = Child(_MODULE, on_message=messages.put, on_exit=on_exit, env=handed_on() | computing_on(1))
    except OSError as error:
        raise EngineCrashedError(f"Speakers cannot be told apart: {error.strerror or error}.") from None
    try:
        child.send(question | {"path": str(sound.path), "samples": sound.samples, "spans": sound.spans})
        late_at = time.monotonic() + _STALL_S
        while True:
            check()
            try:
                message = messages.get(timeout=_POLL_S)
            except queue.Empty:
                if time.monotonic() > late_at:
                    raise EngineTimeoutError(f"Telling speakers apart made no progress for {_STALL_S:g} s.") from None
                continue
            late_at = time.monotonic() + _STALL_S
            match message["op"]:
                case "done":
                    return message
                case "error":
                    raise from_info(ErrorInfo.model_validate(message["error"]))
                case "exit":
                    ended = describe_exit(message["code"])
                    raise EngineCrashedError(f"The process that tells speakers apart died ({ended}).")
    finally:
        child.kill()
        child.close()
