"""The function that a stored job names. The protocol fixes where it is; what a job really runs is `asrq_worker.job`."""

from __future__ import annotations

from typing import Any, NoReturn

from asrq_jobs.errors import SetupError


def transcribe(request: dict[str, Any]) -> NoReturn:
    """Only `asrq worker` can run a job: it needs a loaded model and a lease.

    Raises:
        SetupError: always; a plain `rq worker` has taken the job.
    """
    del request
    raise SetupError("This job needs an asrq worker.", hint="Stop the plain RQ worker and start `asrq worker`.")
