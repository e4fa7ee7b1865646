"""What all errors have in common, and their form as a document."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from asrq_jobs.redaction import redacted

Stage = Literal["request", "queue", "setup", "fetch", "decode", "inference", "commit", "worker"]


class ErrorInfo(BaseModel):
    """An error as a document: in `asrq.result/1`, in events and in `--json` output."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    code: str
    message: str
    retryable: bool
    stage: Stage
    hint: str | None = None


class AsrqError(Exception):
    """Base of all errors shown to users: one sentence, a code, and often a hint."""

    code: ClassVar[str] = "error"
    stage: ClassVar[Stage] = "worker"
    retryable: ClassVar[bool] = False
    default_hint: ClassVar[str | None] = None

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        self.message = redacted(message)  # it may quote an address, or a library's sentence that does
        super().__init__(self.message)
        self.hint = hint if hint is not None else self.default_hint

    def info(self) -> ErrorInfo:
        """Return the document form of this error."""
        return ErrorInfo(
            code=self.code, message=self.message, retryable=self.retryable, stage=self.stage, hint=self.hint
        )
