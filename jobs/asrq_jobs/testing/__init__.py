"""For tests of applications that use asrq: clients without a queue, and a worker without a model.

`FakeClient` and `FakeAsyncClient` keep jobs in memory. `ScriptedWorker` takes jobs from a real Redis or Valkey. Each
fake has a `worker` that is driven in the same way.
"""

from __future__ import annotations

from asrq_jobs.testing.aio import FakeAsyncClient
from asrq_jobs.testing.client import FakeClient
from asrq_jobs.testing.scripted import ScriptedWorker
from asrq_jobs.testing.worker import Answer, Execution, Worker

__all__ = ["Answer", "Execution", "FakeAsyncClient", "FakeClient", "ScriptedWorker", "Worker"]
