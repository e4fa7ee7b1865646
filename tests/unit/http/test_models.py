"""Which models can be asked for by name."""

from __future__ import annotations

import pytest

from asrq_jobs.errors import NotServedError
from asrq_worker.http import models


def test_a_model_without_a_name_is_not_listed() -> None:
    workers = {"here": {"serves": [{"backend": "clap", "model": ""}, {"backend": "whisper", "model": "base"}]}}
    assert [each.id for each in models.listing({"whisper-1": ""}, workers).data] == ["whisper-1", "base"]
    with pytest.raises(NotServedError) as refused:
        models.chosen("large", {"whisper-1": ""}, workers)
    assert refused.value.info().hint == "Models: whisper-1, base."
