"""The documents among the published vectors, against the validation that worker and Python client share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from asrq_jobs.errors import RequestError
from asrq_jobs.request import Request

BOOK = json.loads((Path(__file__).resolve().parents[3] / "docs" / "reference" / "vectors.json").read_text("utf-8"))


@pytest.mark.parametrize("case", BOOK["requests"]["valid"], ids=lambda case: case["name"])
def test_valid(case: dict[str, Any]) -> None:
    request = Request.parse(case["request"])
    assert Request.parse(json.loads(request.to_json())) == request
    assert request.id == case["request"]["id"]


@pytest.mark.parametrize("case", BOOK["requests"]["invalid"], ids=lambda case: case["name"])
def test_invalid(case: dict[str, Any]) -> None:
    with pytest.raises(RequestError) as caught:
        Request.parse(case["request"])
    assert caught.value.code == case["code"]
    assert case["names"] in caught.value.message
