"""The Lua scripts that change a job's state, each one atomic step of the protocol."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Literal

from redis import Redis
from redis.commands.core import Script

ScriptName = Literal[
    "begin", "cancel", "claim_webhook", "end_execution", "enqueue_due", "expire", "note", "pass_on", "purge",
    "reconcile", "recover_dequeued", "retry", "settle_webhook", "submit", "take",
]  # fmt: skip


@cache
def source(name: ScriptName) -> str:
    """Return the text of a script, as any Redis client may EVAL it."""
    return resources.files("asrq_jobs").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")


def load(redis: Redis, name: ScriptName) -> Script:
    """Return a script bound to a connection; it is sent by digest (EVALSHA) and in full only when unknown."""
    return redis.register_script(source(name))
