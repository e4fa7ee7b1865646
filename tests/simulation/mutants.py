"""Mistakes that the simulation has to find: in scripts, whose text is changed, and in decisions, which are replaced."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

from simulation.connection import SERVER

from asrq_jobs import keys
from asrq_worker.job import outcome
from asrq_worker.queue import clock, execution, leases
from asrq_worker.queue.live import LiveFeed
from asrq_worker.reaper import findings, recovery, repairs
from asrq_worker.reaper import reaper as reaping

_REPEATED = "if seq <= last and not (ended and seq == last and kind == 'audio') then"


@dataclass(frozen=True)
class Mutant:
    """A mistake. `old` is replaced by `new` in `script`, or `patches` are made: (owner, name, what stands in)."""

    name: str
    script: str = ""
    old: str = ""
    new: str = ""
    kind: str | None = None
    """Kind of the scenarios in which it shows, where it shows in few."""
    patches: tuple[tuple[Any, str, Any], ...] = ()

    def change(self, name: str, text: str) -> str:
        """Make the mistake in a script."""
        if name != self.script:
            return text
        assert self.old in text, f"{self.name}: {self.old!r} is not in {name}.lua"
        return text.replace(self.old, self.new)

    @contextmanager
    def made(self) -> Iterator[None]:
        """Make the mistake in a decision, while this lasts."""
        with ExitStack() as stack:
            for owner, name, instead in self.patches:
                assert hasattr(owner, name), f"{self.name}: {owner} has no {name}"
                stack.enter_context(patch.object(owner, name, instead))
            yield


def _decide_without_limit(error: Any, **known: Any) -> Any:
    return outcome.decide(error, **(known | {"attempts": 1}))


def _lapsed_early(seen: Any) -> Any:
    return findings.lapsed(replace(seen, at=seen.at + 12.0))


def _recovered_early(*args: Any, now: float, **named: Any) -> Any:
    return _RECOVER(*args, now=now + 12.0, **named)


_RECOVER = recovery.recover


def _none_lapsed(seen: Any) -> Any:
    return []


def _inspect_without(*kinds: str) -> Any:
    def inspect(seen: Any, **known: Any) -> Any:
        return [finding for finding in findings.inspect(seen, **known) if finding.kind not in kinds]

    return inspect


def _renew_the_upload_only(redis: Any, sha256: str, ttl_s: int) -> bool:
    return bool(redis.expire(keys.blob(sha256), ttl_s))


def _at_once(seen: Any, now_there: Any, **_known: Any) -> Any:
    return set(now_there), {}


def _end_unfenced(self: Any, *args: Any, **named: Any) -> Any:
    return _END(self, *args, **(named | {"lapsed_by": None}))


_END = execution.Execution.end
_LOOK = leases.LeaseKeeper._look


def _blind(self: Any, held: Any, found: Any) -> None:
    _LOOK(self, held, [(holds, 0) for holds, _ in found])


def _ahead_s() -> float:
    """How far the clock of the host is ahead that does something now."""
    scheduler = SERVER.scheduler
    return scheduler.actor.host.ahead_s if scheduler and scheduler.actor else 0.0


def _renewed_by_its_clock(self: Any, held: Any) -> Any:
    self._lease_s += (ahead_s := _ahead_s())
    try:
        return _RENEWED(self, held)
    finally:
        self._lease_s -= ahead_s


_RENEWED = leases.LeaseKeeper._renewed
_TIDY = reaping.Reaper._tidy


def _asked_of_its_clock(redis: Any) -> float:
    return _ASK(redis) + _ahead_s()


_ASK = clock.ask


def _tidied_by_its_clock(self: Any, now: float) -> None:
    _TIDY(self, now + _ahead_s())


def _last_of(feed: Any) -> int:
    return int(feed._redis.xlen(keys.live(feed._job_id)))


def _interrupt_whatever_has_come(self: Any, _silent_s: float) -> None:
    self._last = _last_of(self)
    _INTERRUPT(self, 0.0)


_INTERRUPT = LiveFeed.interrupt
_READ = LiveFeed.read


def _read_what_is_new(self: Any, wait_s: float) -> Any:
    self._last = self._last or _last_of(self)
    return _READ(self, wait_s)


MUTANTS: tuple[Mutant, ...] = (
    # begin
    Mutant(
        "begin does not look at the status",
        "begin",
        "local taken = status ~= 'queued'",
        "local taken = false",
        kind="overtaken",
    ),
    Mutant(
        "begin looks at no other lease",
        "begin",
        "taken = taken or string.find",
        "local _ = string.find",
        kind="touched",
    ),
    Mutant(
        "begin forgets that it has begun",
        "begin",
        "if redis.call('ZSCORE', asrq.leases, lease) then",
        "if false then",
        kind="unheard",
    ),
    Mutant("begin leaves the id in transit", "begin", "redis.pcall('LREM', rq.dequeued(lane), 1, id)", ""),
    Mutant("begin takes no lease", "begin", "redis.call('ZADD', asrq.leases, from_now(given.lease_s), lease)", ""),
    Mutant("begin does not count", "begin", "redis.call('LLEN', asrq.attempts(id)) + 1", "1"),
    # end
    Mutant("end is not fenced", "end_execution", "if not expiry or", "if", kind="woken"),
    Mutant(
        "end takes a lease that was renewed", kind="revived", patches=((execution.Execution, "end", _end_unfenced),)
    ),
    Mutant(
        "end tells a repetition that it was fenced",
        "end_execution",
        "entry[2][2] == given.event",
        "false",
        kind="unheard",
    ),
    Mutant("end keeps the lease", "end_execution", "redis.call('ZREM', asrq.leases, lease)", ""),
    Mutant("end puts back at the wrong end", "end_execution", "'LPUSH', rq.lane", "'RPUSH', rq.lane", kind="crowded"),
    Mutant(
        "end keeps the job forever",
        "end_execution",
        "for _, key in ipairs({rq.job(id), asrq.attempts(id)",
        "for _, key in ipairs({asrq.attempts(id)",
    ),
    Mutant("end leaves the mark", "end_execution", "redis.call('DEL', asrq.cancel(id))", ""),
    Mutant(
        "end leaves nothing for the webhook",
        "end_execution",
        "redis.pcall('ZADD', asrq.webhooks, from_now(0), given.delivery)",
        "",
    ),
    Mutant(
        "end writes no result of a failure",
        "end_execution",
        "redis.call('SET', asrq.result(id), given.result, 'EX', given.ttl_s)",
        "if outcome ~= 'failed' then redis.call('SET', asrq.result(id), given.result, 'EX', given.ttl_s) end",
    ),
    Mutant(
        "end schedules no retry",
        "end_execution",
        "redis.pcall('ZADD', rq.registry('scheduled', lane), from_now(given.delay_s), id)\n  return 1",
        "return 1",
    ),
    # note, cancel, erase, retry, submit, expire, pass_on
    Mutant(
        "note is not fenced",
        "note",
        "not redis.call('ZSCORE', asrq.leases, given.lease) or redis.call('EXISTS', asrq.result(id)) == 1",
        "false",
        kind="woken",
    ),
    Mutant("erase leaves the lease", "erase", "redis.call('ZREM', KEYS[9], lease)", "", kind="erased"),
    Mutant("erase leaves the id in its lane", "erase", "redis.call('LREM', KEYS[2], 0, id)", "", kind="erased"),
    Mutant("retry forgets PERSIST", "retry", "redis.call('PERSIST', key)", "local _ = key"),
    Mutant("retry keeps the old result", "retry", "redis.call('DEL', KEYS[5], KEYS[7])", "redis.call('DEL', KEYS[5])"),
    Mutant(
        "retry takes any status",
        "retry",
        "if status ~= 'failed' and status ~= 'canceled' and status ~= 'stopped' then",
        "if status == 'started' then",
    ),
    Mutant("retry puts at the wrong end", "retry", "'RPUSH', KEYS[2]", "'LPUSH', KEYS[2]", kind="crowded"),
    Mutant(
        "submit puts at the wrong end", "submit", "redis.call('RPUSH', KEYS[2], id)", "redis.call('LPUSH', KEYS[2], id)"
    ),
    Mutant("submit does not look for the job", "submit", "if found[1] then", "if false then"),
    Mutant("what runs expires", "end_execution", "rq.status(id) ~= 'queued' or ", "", kind="short of time"),
    Mutant("what waits expires early", "end_execution", " or enqueued_at >= given.before", "", kind="short of time"),
    Mutant("due retries start too often", "enqueue_due", "redis.call('ZREM', scheduled, id)", "", kind="unheard"),
    Mutant(
        "recover puts back what runs",
        "recover_dequeued",
        "rq.status(id) ~= 'queued'",
        "false",
        kind="canceled",
    ),
    Mutant(
        "recover puts back twice",
        "recover_dequeued",
        "redis.call('LREM', rq.dequeued(given.lane), 1, id) == 0",
        "false",
        kind="late",
    ),
    Mutant(
        "settle forgets to remove",
        "settle_webhook",
        "if redis.call('ZREM', asrq.webhooks, given.claimed) == 0 then",
        "if false then",
    ),
    Mutant(
        "claim removes",
        "claim_webhook",
        "redis.call('ZADD', asrq.webhooks, from_now(given.hidden_s), due[1])",
        "redis.call('ZREM', asrq.webhooks, due[1])",
        kind="mixed",
    ),
    # groups
    Mutant(
        "end counts no job of a group",
        "end_execution",
        "asrq.settle(id, outcome == 'expired' and 'failed' or outcome, given.ttl_s)",
        "",
        kind="grouped",
    ),
    Mutant(
        "a group ends when none of its jobs is open",
        "cancel",
        "completed + failed + canceled >= tonumber(size)",
        "open == 0",
        kind="grouped",
    ),
    Mutant(
        "erase counts a job that had ended",
        "erase",
        "if redis.call('HGET', key, id) ~= 'open' then",
        "if false then",
        kind="grouped",
    ),
    Mutant(
        "nobody is told that a group has ended",
        "cancel",
        "if ended and webhook ~= '' then",
        "if false then",
        kind="grouped",
    ),
    Mutant(
        "the reaper counts no job that others have ended",
        kind="touched",
        patches=((reaping, "inspect", _inspect_without("counted")),),
    ),
    # uploads and their texts
    Mutant(
        "end keeps an upload forever",
        "end_execution",
        "redis.call('EXPIRE', given.blob, given.blob_ttl_s)",
        "redis.call('PERSIST', given.blob)",
        kind="uploaded",
    ),
    Mutant(
        "end keeps an upload for a job that is done",
        "end_execution",
        "redis.pcall('HDEL', uses, id)",
        "",
        kind="uploaded",
    ),
    Mutant("submit keeps an upload for nobody", "submit", "redis.call('HSET', uses, id, '')", "", kind="uploaded"),
    Mutant("erase takes an upload from others", "erase", "if sha256 and used then", "if false then", kind="uploaded"),
    Mutant("erase leaves the upload", "erase", "redis.call('DEL', 'asrq:blob:' .. sha256, uses)", "", kind="uploaded"),
    Mutant(
        "erase leaves a text to look for", "erase", "redis.call('DEL', 'asrq:cache:' .. cached)", "", kind="uploaded"
    ),
    Mutant(
        "an erased job makes a text for others",
        "reuse",
        "if not redis.call('ZSCORE', asrq.leases, given.lease) then",
        "if false then",
        kind="erased",
    ),
    Mutant(
        "a text that has been made is waited for forever",
        "reuse",
        "return {'ended', other}",
        "return {'busy', other}",
        kind="uploaded",
    ),
    Mutant("the reaper renews no upload", kind="kept", patches=((reaping, "inspect", _inspect_without("renewed")),)),
    Mutant(
        "the reaper renews an upload without the list of its jobs",
        kind="kept",
        patches=((repairs, "_renew", _renew_the_upload_only),),
    ),
    # append
    Mutant(
        "append numbers again what is repeated",
        "append",
        _REPEATED,
        "if seq > 0 and seq <= last then\n  seq = last + 1\nelseif seq == 0 then",
        kind="dictated",
    ),
    Mutant("append takes its end mark for a frame", "append", _REPEATED, "if seq <= last then", kind="hesitating"),
    Mutant("append leaves frames out", "append", "if seq > last + 1 then", "if false then", kind="dictated"),
    Mutant("append goes on after the end", "append", "if ended then", "if false then", kind="talked over"),
    Mutant(
        "append takes sound for a job that has ended",
        "append",
        "if not going[job[1]] or redis.call('EXISTS', KEYS[3]) == 1 then",
        "if false then",
        kind="dictated",
    ),
    Mutant("end keeps the sound", "end_execution", "redis.call('DEL', asrq.live(id))", "", kind="dictated"),
    # decisions
    Mutant(
        "a recording that goes on is interrupted",
        kind="hesitating",
        patches=((LiveFeed, "interrupt", _interrupt_whatever_has_come),),
    ),
    Mutant("an attempt hears what is new", kind="dictated", patches=((LiveFeed, "read", _read_what_is_new),)),
    Mutant("the keeper does not look for cancels", kind="canceled", patches=((leases.LeaseKeeper, "_look", _blind),)),
    Mutant(
        "the reaper counts leases short",
        patches=((reaping, "lapsed", _lapsed_early), (reaping, "recover", _recovered_early)),
    ),
    Mutant("the reaper takes no lease for lapsed", kind="killed", patches=((reaping, "lapsed", _none_lapsed),)),
    Mutant(
        "the reaper forgets ids in transit",
        kind="killed",
        patches=((reaping, "inspect", _inspect_without("recovered")),),
    ),
    Mutant("the reaper forgets retries that are due", patches=((reaping, "inspect", _inspect_without("due")),)),
    Mutant("lost workers cost no attempt", kind="killed", patches=((findings, "decide", _decide_without_limit),)),
    # clocks
    Mutant("leases go by the clock of the worker", patches=((leases.LeaseKeeper, "_renewed", _renewed_by_its_clock),)),
    Mutant("hosts go by their own clocks", patches=((clock, "ask", _asked_of_its_clock),)),
    Mutant("the reaper tidies by its own clock", patches=((reaping.Reaper, "_tidy", _tidied_by_its_clock),)),
)
