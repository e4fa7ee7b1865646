"""Submissions as decisions: what is asked of Redis."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest

from asrq_jobs import submission
from asrq_jobs.errors import JobConflictError, QueueError, QueueRefusedError
from asrq_jobs.request import BlobAudio, Request
from asrq_jobs.steps import Done, Script, Step, StoreFile, Together, advance

MIB = 1 << 20
ACCEPTED = b'{"id": "job", "status": "queued", "created": true, "depth": 1}'
TAKEN = b'{"error": {"code": "job_conflict", "message": "Taken.", "retryable": false, "stage": "queue"}}'


def name(step: Any) -> str:
    match step:
        case Together():
            return "+".join(name(each) for each in step.each)
        case Script():
            return step.name
        case StoreFile():
            return "SET"
        case _:
            return str(step[0])


def submitting(size: int) -> Any:
    request = Request.build(id="job", audio=BlobAudio(sha256="0" * 64, bytes=size))
    return submission.submit(request, BytesIO(bytes(size)), 60)


@pytest.mark.parametrize(("size", "expected"), [(MIB, ["SET+submit"]), (MIB + 1, ["EXPIRE", "SET", "submit"])])
def test_a_short_upload_goes_with_its_submission(size: int, expected: list[str]) -> None:
    call, asked = submitting(size), []
    step: Step | Done[Any] = advance(call)
    while not isinstance(step, Done):
        asked.append(name(step))
        answers = {"SET+submit": [True, ACCEPTED], "EXPIRE": 0, "SET": True, "submit": ACCEPTED}
        step = advance(call, answers[asked[-1]])
    assert (asked, step.value.created) == (expected, True)


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        ([QueueRefusedError("full"), ACCEPTED], QueueRefusedError),
        ([True, QueueRefusedError("full")], QueueRefusedError),
        ([True, TAKEN], JobConflictError),
    ],
)
def test_what_is_refused_of_the_two_is_told(answers: list[Any], error: type[QueueError]) -> None:
    call = submitting(MIB)
    advance(call)
    with pytest.raises(error):
        advance(call, answers)
