"""Signatures of webhooks."""

from __future__ import annotations

import hashlib
import hmac
import json

import pytest

from asrq_jobs.webhook import Payload, sign, verify

BODY = Payload(id="a", status="completed", at=1.5).to_json().encode()


def test_the_signature_is_hmac_sha256_over_time_and_body() -> None:
    expected = hmac.new(b"secret", b"1000." + BODY, hashlib.sha256).hexdigest()
    assert sign("secret", BODY, at=1000.9) == f"t=1000,v1={expected}"


def test_what_was_signed_is_accepted() -> None:
    assert verify("secret", sign("secret", BODY, at=1000), BODY, now=1001)


@pytest.mark.parametrize(
    ("secret", "header", "body", "now"),
    [
        ("other", sign("secret", BODY, at=1000), BODY, 1000),
        ("secret", sign("secret", BODY, at=1000), BODY + b" ", 1000),
        ("secret", sign("secret", BODY, at=1000), BODY, 1301),
        ("secret", sign("secret", BODY, at=1000), BODY, 699),
        ("secret", sign("secret", BODY, at=1000).replace("t=1000", "t=1200"), BODY, 1200),
        ("secret", "", BODY, 1000),
        ("secret", "t=1000,v1=" + "é" * 64, BODY, 1000),
        ("secret", sign("secret", BODY, at=1000) + "\n", BODY, 1000),
    ],
    ids=["secret", "body", "old", "future", "time", "none", "not hex", "trailing"],
)
def test_what_was_not_signed_so_is_refused(secret: str, header: str, body: bytes, now: float) -> None:
    assert not verify(secret, header, body, now=now)


def test_the_notice_tells_that_a_job_ended_and_not_what_was_said() -> None:
    assert BODY == b'{"schema":"asrq.webhook/1","id":"a","status":"completed","code":null,"at":1.5}'


def test_the_payload_has_what_the_request_says_for_its_client() -> None:
    labelled = Payload(id="a", status="failed", code="expired", metadata={"order": "4711"}, tags=("night",), at=1.5)
    assert json.loads(labelled.to_json()) == {
        "schema": "asrq.webhook/1", "id": "a", "status": "failed", "code": "expired", "metadata": {"order": "4711"},
        "tags": ["night"], "at": 1.5,
    }  # fmt: skip
