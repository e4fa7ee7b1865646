"""All that a server holds, written and read in one notation, and scripts run on keys named as in their headers.

Scripts of workers make the names of keys themselves: their job is called `<id>`, and so on, so that these fit as well.

A dict of text is a hash, one of numbers a zset, a list of text a list, one of dicts a stream, a set a set and text a
string. A pair of such a value and a number of seconds expires.
"""

from __future__ import annotations

import json
import re
import time
from datetime import datetime
from typing import Any

from redis import Redis

from asrq_jobs import scripts
from asrq_jobs.scripts import ScriptName

State = dict[str, Any]


def due(delivery: str | None) -> State:
    """What is left for the courier, if anything: due now, by the server's clock."""
    return {"asrq:webhooks": {delivery: from_now(0)}} if delivery else {}


class FromNow:
    """Equal to what tells of a time about so many seconds after the comparison: Unix s, or as RQ writes it."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __eq__(self, other: object) -> bool:
        moment = str(other)
        told = datetime.fromisoformat(moment).timestamp() if moment.endswith("Z") else float(moment)
        return abs(told - time.time() - self._seconds) < 60

    def __repr__(self) -> str:
        return f"{self._seconds} s from now"

    __hash__ = None  # type: ignore[assignment]


def from_now(seconds: float) -> Any:
    """Return it, for an expected state."""
    return FromNow(seconds)


NOW = from_now(0)


class Server:
    """A server that holds nothing but what a test puts there."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis  # answers with text
        self.before: State = {}

    def put(self, state: State) -> None:
        """Write what is there before a script runs."""
        self.before = state
        for name, content in state.items():
            value, ttl = content if isinstance(content, tuple) else (content, None)
            self._write(name, value)
            if ttl is not None:
                self.redis.expire(name, ttl)

    def call(self, name: ScriptName, **given: object) -> Any:
        """Run a script of workers, and return its answer."""
        return scripts.load(self.redis, name)([], [json.dumps(given)])

    def run(self, name: ScriptName, *args: str | float) -> Any:
        """Run a script of clients on the keys that its header names, and return its answer."""
        named = re.findall(r"^-- KEYS\[\d+\] +([^\s]+?):? ", scripts.source(name), re.MULTILINE)
        return scripts.load(self.redis, name)(named, args)

    def changed(self) -> State:
        """Return what differs from before; None for a key that is gone. Times to live are rounded to 100 s."""
        now = {name: self._read(name) for name in self.redis.scan_iter()}
        gone = dict.fromkeys(self.before.keys() - now.keys())
        return gone | {name: value for name, value in now.items() if self.before.get(name) != value}

    def _write(self, name: str, value: Any) -> None:
        match value:
            case str():
                self.redis.set(name, value)
            case set():
                self.redis.sadd(name, *value)
            case list() if isinstance(value[0], dict):
                for fields in value:
                    self.redis.xadd(name, fields)
            case list():
                self.redis.rpush(name, *value)
            case dict() if isinstance(next(iter(value.values())), str):
                self.redis.hset(name, mapping=value)
            case dict():
                self.redis.zadd(name, value)

    def _read(self, name: str) -> Any:
        readers = {
            "string": self.redis.get,
            "set": self.redis.smembers,
            "stream": lambda name: [fields for _, fields in self.redis.xrange(name)],
            "list": lambda name: self.redis.lrange(name, 0, -1),
            "hash": self.redis.hgetall,
            "zset": lambda name: dict(self.redis.zrange(name, 0, -1, withscores=True)),
        }
        value, ttl = readers[self.redis.type(name)](name), self.redis.ttl(name)
        return value if ttl == -1 else (value, round(ttl, -2))
