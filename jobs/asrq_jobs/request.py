"""`asrq.request/1`: what a client asks for."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from asrq_jobs import languages, misfits
from asrq_jobs.errors import InvalidRequestError, UnknownLanguageError
from asrq_jobs.result import Keep

REQUEST_SCHEMA: Final = "asrq.request/1"
JOB_ID_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"

Lane = Literal["interactive", "batch"]
LANES: tuple[Lane, ...] = ("interactive", "batch")
Task = Literal["transcribe", "translate"]
Channels = Literal["mix", "separate"]
Encoding = Literal["pcm_s16le", "pcm_f32le"]
WIDTHS: Final[Mapping[Encoding, int]] = {"pcm_s16le": 2, "pcm_f32le": 4}
"""Bytes of a sample of one channel."""


def _number(value: object) -> object:
    """Refuse what pydantic would take for a number though it is none, as submit.lua does."""
    if isinstance(value, bool | str | bytes):
        raise ValueError("must be a number")  # noqa: TRY004  # what pydantic turns into an error of the field
    return value


Whole = Annotated[int, BeforeValidator(_number)]
"""A number without a fraction; 90.0 is one, as JSON does not tell it from 90."""


_TAG = r"^[^,\x00-\x1f\x7f]+$"
Tag = Annotated[str, Field(min_length=1, max_length=64, pattern=_TAG)]
"""A word to find jobs by; without commas, which separate tags in forms, and control characters."""
_METADATA_BYTES = 4096
_HTTP = r"^https?://"
_Webhook = Annotated[str, Field(max_length=2048, pattern=_HTTP)]
_ADDRESS = r"^[A-Za-z][A-Za-z0-9+.-]*://"
_MISFITS = {
    JOB_ID_PATTERN: "it may hold A to Z, a to z, 0 to 9, - and _, and has 1 to 64 of them",
    _TAG: "it has a comma or a control character",
    _HTTP: "it does not begin with http:// or https://",
    _ADDRESS: "it is no address such as s3://bucket/talk.txt",
}
"""What is said of a text that does not match a pattern; another pattern is left to `misfits`."""


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BlobAudio(_Document):
    """Bytes uploaded to `asrq:blob:<sha256>`."""

    kind: Literal["blob"] = "blob"
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="Of the bytes; also their key.")
    bytes: Whole = Field(ge=0, description="Length of the uploaded file in bytes.")
    name: str | None = Field(default=None, max_length=255, description="File name, for people only.")


class PathAudio(_Document):
    """A file that the worker can read itself."""

    kind: Literal["path"] = "path"
    path: str = Field(min_length=1, max_length=4096, description="Absolute path on the worker's host.")


class UrlAudio(_Document):
    """A URL that the worker fetches, where the operator allows its scheme."""

    kind: Literal["url"] = "url"
    url: str = Field(min_length=1, max_length=4096)


class LiveAudio(_Document):
    """Sound that is still being recorded: raw PCM, appended to `asrq:live:<id>` in frames until an end mark."""

    kind: Literal["live"] = "live"
    encoding: Encoding = Field(
        description="Of a sample: 16-bit integers, or 32-bit floats from -1 to 1; little-endian."
    )
    sample_rate: Whole = Field(ge=8000, le=48_000, description="In Hz.")
    channels: Whole = Field(ge=1, le=2, description="Interleaved.")
    max_s: Whole | None = Field(
        default=None, ge=1, le=86_400, description="Longest recording, in seconds; null: the operator's limit."
    )

    @property
    def width(self) -> int:
        """Bytes of a sample of all channels."""
        return WIDTHS[self.encoding] * self.channels


Stored = BlobAudio | PathAudio | UrlAudio
"""Audio that is all there before a worker begins."""
Audio = Annotated[BlobAudio | PathAudio | UrlAudio | LiveAudio, Field(discriminator="kind")]


class GroupMembership(_Document):
    """Jobs that belong together. All of them name their group in the same words."""

    id: str = Field(pattern=JOB_ID_PATTERN)
    size: Whole = Field(ge=1, le=100_000, description="How many jobs it has: it has ended when so many have.")
    webhook: _Webhook | None = Field(
        default=None,
        description="URL that is told by a POST when all jobs of the group have ended, where the operator allows it.",
    )


class Request(_Document):
    """One transcription job as a client submits it."""

    schema_: Literal["asrq.request/1"] = Field(alias="schema")
    id: str = Field(pattern=JOB_ID_PATTERN, description="Unique; submitting the same id twice gives one job.")
    lane: Lane = Field(default="batch", description="interactive is served first and from slots of its own.")
    audio: Audio
    task: Task = Field(default="transcribe", description="translate gives English text.")
    language: str = Field(
        default=languages.AUTO,
        max_length=64,
        description="A code such as ru, a BCP 47 tag such as pt-BR, an English name, or auto to detect.",
    )
    languages: tuple[Annotated[str, Field(max_length=64)], ...] = Field(
        default=(), max_length=20, description="Those that auto is to choose among, written likewise; none: all."
    )
    backend: str | None = Field(
        default=None, max_length=64, description="null: any; else only a worker that serves it takes the job."
    )
    model: str | None = Field(
        default=None, max_length=512, description="null: any; else only a worker that serves it takes the job."
    )
    track: Whole | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="Number of the audio track, from 1; null: the default one, or the first in which somebody speaks.",
    )
    channels: Channels = Field(
        default="mix",
        description="separate hears each of two channels for itself: segments and words say which it was.",
    )
    diarize: bool = Field(default=False, description="Tell speakers apart by their voices.")
    speakers: Whole | None = Field(default=None, ge=1, le=20, description="How many there are, if that is known.")
    min_speakers: Whole | None = Field(default=None, ge=1, le=20, description="That there are at least so many.")
    max_speakers: Whole | None = Field(default=None, ge=1, le=20, description="That there are at most so many.")
    word_timestamps: bool = False
    prompt: str | None = Field(default=None, max_length=4000, description="Text that precedes the speech.")
    hotwords: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = Field(
        default=(), max_length=200, description="Names and terms to expect."
    )
    timeout_s: Whole | None = Field(
        default=None,
        ge=1,
        le=86_400,
        description="Longest one attempt may run, in seconds; null: by audio length.",
    )
    queue_ttl_s: Whole | None = Field(
        default=None,
        ge=1,
        le=2_592_000,
        description="Longest it may wait in its lane each time it is put there, in seconds; null: no limit.",
    )
    webhook: _Webhook | None = Field(
        default=None,
        description="URL that is told by a POST when the job has completed or failed, where the operator allows it.",
    )
    deliver: str | None = Field(
        default=None,
        max_length=4096,
        pattern=_ADDRESS,
        description="URL that the transcript is put to before the job has completed, where the operator allows it: as "
        "JSON, or as text or subtitles by its ending (.txt, .srt, .vtt, .tsv).",
    )
    retries: Whole | None = Field(
        default=None,
        ge=0,
        le=20,
        description="Further attempts after a retryable failure; null: the worker's setting.",
    )

    metadata: dict[str, str] = Field(
        default={},
        description="Texts by name that come back with the result, at most 4096 bytes as JSON; not used otherwise.",
    )
    tags: tuple[Tag, ...] = Field(
        default=(), max_length=20, description="Words to find the job by; they come back like metadata."
    )

    group: GroupMembership | None = Field(default=None, description="Jobs that belong together, of which this is one.")
    keep: Keep = Field(
        default="result", description="nothing: all of the job is erased once its result was fetched or delivered."
    )

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)

    @field_validator("metadata")
    @classmethod
    def _small(cls, value: dict[str, str]) -> dict[str, str]:
        try:
            size = len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
        except UnicodeEncodeError:  # half of a surrogate pair
            raise ValueError("must be text in Unicode") from None
        if size > _METADATA_BYTES:
            raise ValueError(f"must have at most {_METADATA_BYTES} bytes as JSON, and has {size}")
        return value

    @field_validator("channels")
    @classmethod
    def _stored(cls, value: Channels, fields: ValidationInfo) -> Channels:
        if value != "mix" and isinstance(fields.data.get("audio"), LiveAudio):
            raise ValueError("must be mix where the audio is live")
        return value

    @field_validator("language")
    @classmethod
    def _known_language(cls, value: str) -> str:
        return languages.normalize(value)

    @field_validator("languages")
    @classmethod
    def _known_languages(cls, value: tuple[str, ...], fields: ValidationInfo) -> tuple[str, ...]:
        codes = tuple(dict.fromkeys(languages.normalize(language) for language in value))
        if languages.AUTO in codes:
            raise ValueError("must name languages, and auto is none")
        if codes and fields.data.get("language", languages.AUTO) != languages.AUTO:
            raise ValueError("must be left out where language is not auto")
        return codes

    @model_validator(mode="after")
    def _diarized(self) -> Request:
        bounds = (self.speakers, self.min_speakers, self.max_speakers)
        if not self.diarize and any(bounds):
            raise ValueError("speakers, min_speakers and max_speakers need diarize")
        if self.diarize and (self.channels != "mix" or isinstance(self.audio, LiveAudio)):
            raise ValueError("diarize goes neither with separate channels nor with live audio")
        if self.speakers and (self.min_speakers or self.max_speakers):
            raise ValueError("speakers goes with neither min_speakers nor max_speakers")
        if (self.min_speakers or 1) > (self.max_speakers or 20):
            raise ValueError("more min_speakers than max_speakers are asked for")
        return self

    @classmethod
    def parse(cls, document: object) -> Request:
        """Validate a decoded JSON document.

        Raises:
            UnknownLanguageError: the language is not known.
            InvalidRequestError: anything else does not fit; the sentence names the field.
        """
        try:
            return cls.model_validate(document)
        except UnknownLanguageError:
            raise
        except ValidationError as error:
            raise _explain(error) from None

    @classmethod
    def build(cls, **fields: Any) -> Request:
        """Make a request from keyword arguments, with the same errors as `parse`."""
        return cls.parse({"schema": REQUEST_SCHEMA} | fields)

    def to_json(self) -> str:
        """Return the document as compact JSON text, without what is null or the default: jobs that wait hold it."""
        defaults = {name for name, field in type(self).model_fields.items() if getattr(self, name) == field.default}
        document = self.model_dump(mode="json", exclude_none=True, exclude=defaults)
        return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def _explain(error: ValidationError) -> InvalidRequestError:
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "request"
    if first["type"] == "extra_forbidden":
        unknown = str(first["loc"][-1])
        known = [field.alias or name for name, field in Request.model_fields.items()]
        near = difflib.get_close_matches(unknown, known, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"Known fields: {', '.join(known)}."
        return InvalidRequestError(f"Unknown field {where!r} in the request.", hint=hint)
    said = _MISFITS.get(first.get("ctx", {}).get("pattern", "")) or misfits.said(first)
    whole = not first["loc"] and first["type"] == "value_error"  # of fields that do not go together
    return InvalidRequestError(
        f"{said[0].upper()}{said[1:]}." if whole else f"Field {where!r}: {said}.",
        hint="The fields are described in docs/reference/request.schema.json.",
    )
