"""What crosses the socket of a dictation: the events of OpenAI's realtime transcription sessions.

https://platform.openai.com/docs/guides/realtime-transcription and, of the events, openai.types.realtime in its Python
package. Fields that we do not know are ignored. `seq` of an append is ours: the number of the frame.
"""

from __future__ import annotations

import base64
import uuid
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, PlainValidator, TypeAdapter, ValidationError, field_validator

from asrq_jobs import languages
from asrq_jobs.errors import AsrqError, InvalidRequestError
from asrq_jobs.request import Request
from asrq_worker.http import problems

LONGEST = 1 << 20
"""Characters of an event that a client sends."""
FRAME = 1 << 18
"""Bytes of sound in an append with a number of its own."""
RATE = 24_000
_ITEM = "conversation.item.input_audio_transcription"
_HINT = "See docs/how-to/dictate.md, over HTTP."

_TURNS = {"type": "server_vad", "silence_duration_ms": 2000}
"""What a turn is, whatever is asked for: a pause of two seconds is where chunks end."""

Event = dict[str, Any]


class SessionOptions(BaseModel):
    """How the next recording is to be heard."""

    rate: int = RATE
    model: str | None = None
    language: str | None = None
    languages: tuple[str, ...] | None = None
    prompt: str | None = None
    hotwords: tuple[str, ...] | None = None
    word_timestamps: bool = False
    turns: bool = False
    """Whether each stretch of it is an item of its own."""

    def options(self) -> dict[str, Any]:
        """Return the fields of `asrq.request/1`, but for audio and model."""
        return {
            "language": self.language or languages.AUTO,
            "languages": self.languages or (),
            "prompt": self.prompt or None,
            "hotwords": self.hotwords or (),
            "word_timestamps": self.word_timestamps,
        }

    def refuse_unfit(self) -> None:
        """Refuse what no job can be made of.

        Raises:
            InvalidRequestError, UnknownLanguageError: it is that.
        """
        audio = {"kind": "live", "encoding": "pcm_s16le", "sample_rate": self.rate, "channels": 1}
        Request.build(id="any", audio=audio, model=self.model, **self.options())


class _Format(BaseModel):
    type: Literal["audio/pcm"] = "audio/pcm"
    rate: int = RATE


class _Transcription(BaseModel):
    model: str | None = None
    language: str | None = None
    languages: tuple[str, ...] | None = None
    prompt: str | None = None
    hotwords: tuple[str, ...] | None = Field(default=None, alias="keywords")
    word_timestamps: bool = False


class _ServerVad(BaseModel):
    type: Literal["server_vad"]


class _Input(BaseModel):
    format: _Format | None = None
    transcription: _Transcription | None = None
    turn_detection: _ServerVad | None = None


class _Audio(BaseModel):
    input: _Input = _Input()


class _Session(BaseModel):
    """As it is now (`audio`), and as it was first (`input_audio_…`)."""

    type: Literal["transcription"] = "transcription"
    audio: _Audio = _Audio()
    input_audio_format: Literal["pcm16"] | None = None
    input_audio_transcription: _Transcription | None = None
    turn_detection: _ServerVad | None = None

    def asked(self, before: SessionOptions) -> SessionOptions:
        """Return what is asked for now; what is not named stays."""
        given = self.audio.input.transcription or self.input_audio_transcription
        named = given.model_dump(exclude_unset=True) if given else {}
        rate = {"rate": self.audio.input.format.rate} if self.audio.input.format else {}
        said = [where for where in (self, self.audio.input) if "turn_detection" in where.model_fields_set]
        turns = {"turns": said[-1].turn_detection is not None} if said else {}
        return before.model_copy(update={**named, **rate, **turns})


class _Event(BaseModel):
    event_id: str | None = Field(default=None, max_length=512)


class Update(_Event):
    """Say how to hear what follows."""

    type: Literal["session.update", "transcription_session.update"]
    session: _Session


def _decoded(value: object) -> bytes:
    try:
        return base64.b64decode(value if isinstance(value, str) else "?", validate=True)
    except ValueError:
        raise ValueError("no base64") from None


class Append(_Event):
    """Sound."""

    type: Literal["input_audio_buffer.append"]
    audio: Annotated[bytes, PlainValidator(_decoded)]
    seq: int | None = Field(default=None, ge=1, lt=10**9)

    @field_validator("audio")
    @classmethod
    def _whole(cls, sound: bytes) -> bytes:
        if not sound or len(sound) % 2:
            raise ValueError("no whole 16-bit samples")
        return sound


class Commit(_Event):
    """Nothing more comes: have the rest of it heard."""

    type: Literal["input_audio_buffer.commit"]


class Clear(_Event):
    """Give the recording up."""

    type: Literal["input_audio_buffer.clear"]


Said = Update | Append | Commit | Clear
_said: TypeAdapter[Said] = TypeAdapter(Annotated[Said, Field(discriminator="type")])


class LostError(Exception):
    """Something that cannot be passed over: sound is lost with it, or what came is no event at all."""

    def __init__(self, error: AsrqError) -> None:
        super().__init__(error)
        self.error = error


def parse(text: str | None) -> Said:
    """Return what a client says; None stands for what is no text.

    Raises:
        LostError: it is no JSON object, or too long, or an append with no sound in it.
        InvalidRequestError: it is none of the events that are taken here, or does not fit.
    """
    if text is None:
        raise LostError(InvalidRequestError("Events are JSON in text, not bytes.", hint=_HINT))
    if len(text) > LONGEST:
        error = InvalidRequestError(
            f"The event has more than {LONGEST} characters.", hint="Send sound in shorter pieces."
        )
        raise LostError(error)
    try:
        return _said.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    raise _explained(first["type"], first["loc"], first["msg"], text)


def _explained(kind: str, where: tuple[int | str, ...], message: str, text: str) -> InvalidRequestError | LostError:
    match kind:
        case "json_invalid":
            return LostError(InvalidRequestError("The event is not JSON.", hint=_HINT))
        case "union_tag_invalid":
            return InvalidRequestError(f"There is no event of this type here: {text[:100]}", hint=_HINT)
        case "union_tag_not_found":
            return InvalidRequestError("The event has no type.", hint=_HINT)
    if not where:
        return LostError(InvalidRequestError("The event is no JSON object.", hint=_HINT))
    field = ".".join(str(part) for part in where[1:])
    error = InvalidRequestError(
        f"Event {where[0]!r}, field {field!r}: {message.removeprefix('Value error, ')}.", hint=_HINT
    )
    return LostError(error) if where[0] == "input_audio_buffer.append" else error


def _event(kind: str, **fields: Any) -> Event:
    return {"event_id": f"event_{uuid.uuid4().hex}", "type": kind, **fields}


def session(kind: str, job_id: str, asked: SessionOptions, last: int = 0) -> Event:
    """Return what tells of the session. `job_id` is that of the next recording, of which there are `last` frames."""
    transcription = asked.model_dump(exclude={"rate", "hotwords", "turns"}, exclude_none=True, exclude_defaults=True)
    if asked.hotwords:
        transcription["keywords"] = list(asked.hotwords)
    heard = {
        "format": {"type": "audio/pcm", "rate": asked.rate},
        "noise_reduction": None,
        "transcription": transcription,
        "turn_detection": _TURNS if asked.turns else None,
    }
    about = {"type": "transcription", "object": "realtime.transcription_session", "id": job_id, "last": last}
    return _event(kind, session={**about, "audio": {"input": heard}})


def added(job_id: str, previous: str | None) -> Event:
    """Return what tells that a job has begun."""
    content = [{"type": "input_audio", "transcript": None}]
    item = {"id": job_id, "type": "message", "role": "user", "status": "in_progress", "content": content}
    return _event("conversation.item.added", item=item, previous_item_id=previous)


def committed(job_id: str, previous: str | None) -> Event:
    """Return what tells that all of a recording is there."""
    return _event("input_audio_buffer.committed", item_id=job_id, previous_item_id=previous)


def speech_started(item_id: str, at_s: float) -> Event:
    """Return what tells that a turn has begun, so many seconds from the start of the recording."""
    return _event("input_audio_buffer.speech_started", item_id=item_id, audio_start_ms=round(at_s * 1000))


def speech_stopped(item_id: str, at_s: float) -> Event:
    """Return what tells that it has ended."""
    return _event("input_audio_buffer.speech_stopped", item_id=item_id, audio_end_ms=round(at_s * 1000))


def cleared() -> Event:
    """Return what tells that a recording was given up."""
    return _event("input_audio_buffer.cleared")


def delta(job_id: str, text: str) -> Event:
    """Return text that follows what was sent of a recording."""
    return _event(f"{_ITEM}.delta", item_id=job_id, content_index=0, delta=text)


def partial(job_id: str, text: str, stable: int) -> Event:
    """Return what is being said. It replaces the one before, and the next delta replaces it. An event of ours."""
    return _event(f"{_ITEM}.partial", item_id=job_id, content_index=0, text=text, stable=stable)


def completed(item_id: str, text: str, seconds: float) -> Event:
    """Return the text of a recording, or of a turn, which was so long."""
    usage = {"type": "duration", "seconds": seconds}
    return _event(f"{_ITEM}.completed", item_id=item_id, content_index=0, transcript=text, usage=usage)


def failed(job_id: str, error: AsrqError) -> Event:
    """Return what a recording ended with instead of a text."""
    return _event(f"{_ITEM}.failed", item_id=job_id, content_index=0, error=problems.document(error)["error"])


def wrong(error: AsrqError, event_id: str | None = None) -> Event:
    """Return what tells that something was refused."""
    return _event("error", error={**problems.document(error)["error"], "event_id": event_id})
