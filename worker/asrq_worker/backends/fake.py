"""A backend for tests: text derived from the samples, and failures on command.

A chunk's `prompt` may hold commands, separated by spaces:
    sleep:<s>            take so long
    touch:<file>         make the file, to say that work has begun
    until:<file>         go on once the file exists
    fail, oom            raise; fail with OutOfMemoryError
    oom-batch:<n>        fail with OutOfMemoryError in a batch of more than n
    oom-over:<s>         the same, if the chunk is longer than that
    oom-in:<file>        the same, in the first process that gets this command, which the file names
    malformed, nan       return something that is not a transcript; a transcript that is not JSON
    short                return too few transcripts
    crash                end the process at once
    no-room-unless:<file>  fail with StorageError, unless the file exists
    crash-unless:<file>  the same, unless the file exists
    crash-once:<file>    the same, making the file first
    hang                 never return
    grow:<MiB>           take memory and keep it
    print:<word>         write to standard output
    unwanted             go on once nobody waits for it
    words                hear a word in each second, and one in what is left
    deaf:<language>      hear nothing, if asked for this language
    hears:<language>:<p> take what is loud (above 0.5) for this language, with this probability, unless one is asked for
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from asrq_jobs.errors import AsrqError, ModelInvalidError, ModelMissingError, OutOfMemoryError, StorageError
from asrq_jobs.languages import NAMES
from asrq_worker.backends import guards
from asrq_worker.backends.base import (
    SAMPLE_RATE,
    Backend,
    Capabilities,
    Chunk,
    Identity,
    Samples,
    TimedSegment,
    TimedWord,
    Transcript,
)
from asrq_worker.backends.refusal import unsupported

_POLL_S = 0.005
_LOUD = 0.5


class FakeBackend(Backend):
    """`config.options`: `delay` (seconds per audio second), `max_batch` and `spare`.

    A `config.model` of `missing`, `invalid` or `broken` fails to load in that way, one of `english` knows no other
    language; any other is obeyed as a command.
    """

    name: ClassVar[str] = "fake"

    def load(self) -> Identity:
        """Pretend to load."""
        match self.config.model:
            case "missing":
                raise ModelMissingError(
                    "Model 'missing' is not on this machine.", hint="Run: asrq models fetch missing."
                )
            case "invalid":
                raise ModelInvalidError("Model 'invalid' is damaged.")
            case "broken":
                raise RuntimeError("the fake model is broken")
            case model:
                _obey(model)
        self._kept: list[np.ndarray] = []
        return Identity(self.name, "1", self.config.model, None, "cpu", "none")

    def capabilities(self) -> Capabilities:
        """Claim to do everything, but for the model `english`."""
        english = self.config.model == "english"
        return Capabilities(
            languages=frozenset({"en"} if english else NAMES),
            tasks=frozenset({"transcribe"} if english else {"transcribe", "translate"}),
            detects_language=not english,
            word_timestamps=True,
            prompt=True,
            hotwords=True,
            max_batch=self.config.options.get("max_batch", 1),
            parallel=self.config.parallel or 1,
            spare=self.config.options.get("spare", 0),
        )

    def transcribe_batch(self, chunks: Sequence[Chunk]) -> list[Transcript | AsrqError]:
        """Return the sha1 of each chunk's samples as its text."""
        time.sleep(sum(chunk.seconds for chunk in chunks) * self.config.options.get("delay", 0.0))
        outcomes = [self._transcribe(chunk, len(chunks)) for chunk in chunks]
        while any("unwanted" in (chunk.options.prompt or "").split() and chunk.wanted() for chunk in chunks):
            time.sleep(_POLL_S)
        return outcomes[:-1] if any("short" in (chunk.options.prompt or "").split() for chunk in chunks) else outcomes

    def _transcribe(self, chunk: Chunk, batch_size: int) -> Transcript | AsrqError:
        if refused := unsupported(chunk.options, self.capabilities(), backend=self.name, model=self.config.model):
            return refused
        outcome = _transcript(chunk)
        for command in (chunk.options.prompt or "").split():
            verb, _, argument = command.partition(":")
            match verb:
                case "fail":
                    raise RuntimeError("the fake backend was told to fail")
                case "oom" | "oom-batch" | "oom-over" | "oom-in":
                    if _is_too_much(verb, argument, chunk, batch_size):
                        return OutOfMemoryError("The fake device ran out of memory.")
                case "words":
                    outcome = replace(outcome, text=_words(chunk), segments=())
                case "deaf" if chunk.options.language == argument:
                    return Transcript("", None)
                case "hears":
                    outcome = _taken_for(outcome, chunk, *argument.split(":"))
                case "malformed":
                    return None  # type: ignore[return-value]  # what a broken backend does
                case "nan":
                    return Transcript("nan", "en", language_probability=float("nan"))
                case "grow":
                    self._kept.append(np.ones(int(argument) * 2**17))
                case _:
                    _obey(command)
        return outcome


class OtherFakeBackend(FakeBackend):
    """The same under another name."""

    name: ClassVar[str] = "other"


def _is_too_much(verb: str, argument: str, chunk: Chunk, batch_size: int) -> bool:
    match verb:
        case "oom-batch":
            return batch_size > int(argument)
        case "oom-over":
            return chunk.seconds > float(argument)
        case "oom-in":
            file, pid = Path(argument), str(os.getpid())
            if not file.exists():
                file.write_text(pid)
            return file.read_text() == pid
    return True


def _taken_for(heard: Transcript, chunk: Chunk, language: str, probability: str) -> Transcript:
    """Tell a language by how loud it is spoken; what is left of the probability is English."""
    if chunk.options.language is not None:
        return replace(heard, text=f"{heard.text} {chunk.options.language}")
    p = float(probability) if np.abs(chunk.samples).max(initial=0.0) > _LOUD else 0.0
    found = sorted(((language, p), ("en", 1 - p)), key=lambda each: -each[1])
    (first, likely), _ = found
    return replace(heard, language=first, language_probability=likely, languages=tuple(found))


def _words(chunk: Chunk) -> str:
    seconds = range(0, len(chunk.samples), SAMPLE_RATE)
    return " ".join(_hash(chunk.samples[at : at + SAMPLE_RATE]) for at in seconds)


def _hash(samples: Samples) -> str:
    return hashlib.sha1(samples.tobytes(), usedforsecurity=False).hexdigest()[:12]


def _obey(command: str) -> None:
    verb, _, argument = command.partition(":")
    match verb:
        case "sleep":
            time.sleep(float(argument))
        case "touch":
            Path(argument).touch()
        case "until":
            while not Path(argument).exists():
                time.sleep(_POLL_S)
        case "crash":
            os.abort()
        case "crash-unless" if not Path(argument).exists():
            os.abort()
        case "no-room-unless" if not Path(argument).exists():
            raise StorageError("There is no room for the model.")
        case "crash-once" if not Path(argument).exists():
            Path(argument).touch()
            os.abort()
        case "hang":
            threading.Event().wait()
        case "print":
            print(argument, flush=True)  # the point of this command
            os.write(1, argument.encode())


def _transcript(chunk: Chunk) -> Transcript:
    samples = guards.clean(chunk.samples)
    if not samples.any():
        return Transcript("", None)
    text = _hash(samples)
    words = (TimedWord(text, 0.0, chunk.seconds, 1.0),) if chunk.options.word_timestamps else None
    segment = TimedSegment(0.0, chunk.seconds, f" {text}", temperature=0.0, words=words)
    return Transcript(text, chunk.options.language or "en", None if chunk.options.language else 1.0, (segment,))
