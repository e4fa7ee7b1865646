"""What an error is over HTTP."""

from __future__ import annotations

import json

import pytest
from starlette.exceptions import HTTPException

from asrq_jobs.errors import (
    AsrqError,
    EngineUnavailableError,
    JobNotFoundError,
    ModelMissingError,
    QueueUnreachableError,
    WaitTimeoutError,
)
from asrq_jobs.states import missing, without_result
from asrq_worker.http import problems


@pytest.mark.parametrize(
    "error",
    [
        missing("job"),
        without_result("job", "canceled", held=False),
        WaitTimeoutError("No."),
        QueueUnreachableError("Redis does not answer."),
        EngineUnavailableError("No engine is ready."),
        ModelMissingError("It is not here.", hint="Run: asrq models fetch base."),
    ],
)
def test_a_hint_names_nothing_that_a_client_over_http_has_not(error: AsrqError) -> None:
    assert "asrq" in str(error.info().hint)
    hint = problems.document(error)["error"]["hint"]
    assert hint.endswith(".")
    assert "asrq " not in hint


def test_other_hints_stay() -> None:
    error = JobNotFoundError("The result has expired.", hint="Submit the audio again.")
    assert problems.document(error)["error"]["hint"] == "Submit the audio again."


@pytest.mark.parametrize("detail", ["Not Found", "Too many files. Maximum number of files is 1000."])
def test_a_sentence_ends_once(detail: str) -> None:
    answer = problems.of_http(HTTPException(400, detail))
    assert json.loads(bytes(answer.body))["error"]["message"] == f"{detail.rstrip('.')}."
