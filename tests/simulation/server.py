"""The real server under a run: scripts that read the simulated clock, times to live that pass with it, lost writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import resources
from typing import Any, Literal, get_args
from unittest.mock import patch

from redis import Redis
from simulation.connection import SERVER
from simulation.invariants import SIMULATED
from simulation.scheduler import START

from asrq_jobs import scripts
from asrq_jobs.scripts import ScriptName

_CLOCK = f"{SIMULATED}clock"
_NOW = f"(function() local t = redis.call('GET', '{_CLOCK}') return {{string.match(t, '(%d+)%.(%d+)')}} end)()"
_ELAPSE = """
redis.call('SET', KEYS[1], ARGV[2])
if ARGV[1] ~= '0' then
  for _, key in ipairs(redis.call('KEYS', '*')) do
    local left = redis.call('PTTL', key)
    if left >= 0 then redis.call('PEXPIRE', key, left - ARGV[1]) end
  end
end
"""
_SAVE = """
local saved = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  saved[#saved + 1] = key
  saved[#saved + 1] = redis.call('PTTL', key)
  saved[#saved + 1] = redis.call('DUMP', key)
end
return saved
"""
_COARSE_S = 0.25  # times to live pass in steps of this

Change = Callable[[str, str], str]


class World:
    """The server, as a run sees it."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._elapse = str(redis.script_load(_ELAPSE))
        self._save = redis.register_script(_SAVE)
        self._behind_s = 0.0
        self._now = START
        self._moved = False

    def begin(self) -> None:
        """Empty it."""
        self._redis.flushdb()
        self._moved = True
        self.flush()

    def moved(self, seconds: float) -> None:
        """Let times to live pass, when something is next asked."""
        self._now += seconds
        self._behind_s += seconds
        self._moved = True

    def before(self) -> list[tuple[Any, ...]]:
        """Return what is to be sent before the next command."""
        if not self._moved:
            return []
        late = int(self._behind_s * 1000) if self._behind_s >= _COARSE_S else 0
        self._behind_s -= late / 1000
        self._moved = False
        return [("EVALSHA", self._elapse, 1, _CLOCK, late, f"{self._now:.6f}")]

    def flush(self) -> None:
        """Send it now."""
        for command in self.before():
            self._redis.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py's gap

    def save(self) -> tuple[float, list[Any]]:
        """Return all there is, and when."""
        self.flush()
        return self._now, self._save()

    def restore(self, saved: tuple[float, list[Any]]) -> None:
        """Put back what was there, as if nothing had been written since."""
        at, entries = saved
        pipe = self._redis.pipeline(transaction=True)
        pipe.flushdb()
        for name, left_ms, dump in zip(entries[::3], entries[1::3], entries[2::3], strict=True):
            left = 0 if left_ms < 0 else left_ms - int((self._now - at) * 1000)
            if left_ms < 0 or left > 0:
                pipe.restore(name, left, dump, replace=True)
        pipe.execute()
        self._moved = True
        self.flush()


@cache
def _texts(change: Change | None) -> Callable[[ScriptName | Literal["prelude"]], str]:
    @cache
    def text(name: ScriptName | Literal["prelude"]) -> str:
        # As in the file: not marked, as support/lua_coverage.py would have it.
        plain = resources.files("asrq_jobs").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")
        made = plain if change is None or name == "prelude" else change(name, plain)
        return made.replace("redis.call('TIME')", _NOW)

    return text


_loaded: dict[str, Callable[[ScriptName | Literal["prelude"]], str]] = {}
"""The scripts that each server has, by its address: they stay from run to run."""


@contextmanager
def changed(redis: Redis, url: str, change: Change | None) -> Iterator[None]:
    """Have all scripts read the simulated clock, and be changed as a mutant wants, while this lasts."""
    text = _texts(change)
    with patch.object(scripts, "text", text):
        if _loaded.get(url) is not text:
            redis.function_load(scripts.library(), replace=True)
            SERVER.scripts |= {str(redis.script_load(scripts.source(name))): name for name in get_args(ScriptName)}
            _loaded[url] = text
        yield
