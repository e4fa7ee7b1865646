"""The Lua scripts that change a job's state, each one atomic step of the protocol.

What clients run is also a library of functions, which workers load. A user of Redis who may call functions and may not
send scripts cannot keep the server from ever answering again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any, Final, Literal

from redis import Redis
from redis.commands.core import Script
from redis.exceptions import NoPermissionError, NoScriptError, ResponseError

from asrq_jobs.errors import QueueRefusedError

ScriptName = Literal[
    "append", "begin", "cancel", "claim_webhook", "count", "digest", "end_execution", "enqueue_due", "erase", "newest",
    "note", "pass_on", "purge", "reconcile", "recover_dequeued", "renew", "retry", "reuse", "settle_webhook", "submit",
    "take", "tell_group",
]  # fmt: skip

Arg = str | int | bytes
LIBRARY: Final = "asrq"
_WAYS: Final = 3
_FLAGS: Final[Mapping[ScriptName, str]] = {
    "submit": "",
    "append": "",
    "cancel": "'allow-oom'",  # ending jobs is what helps a server that is full
    "retry": "",
    "purge": "'allow-oom'",
    "erase": "'allow-oom'",
    "digest": "'no-writes', 'allow-oom'",
}
"""What clients run, with what a server has to know of each."""


@cache
def text(name: ScriptName | Literal["prelude"]) -> str:
    """Return the content of a file of `lua/`."""
    return resources.files("asrq_jobs").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")


def source(name: ScriptName) -> str:
    """Return the text of a script, as Redis runs it. Those of clients are complete in their files."""
    return "".join(_parts(name))


def _parts(name: ScriptName) -> tuple[str, ...]:
    return (text(name),) if name in _FLAGS else (text("prelude"), text(name))


def load(redis: Redis, name: ScriptName) -> Script:
    """Return a script bound to a connection; it is sent by digest (EVALSHA) and in full only when unknown."""
    return redis.register_script(source(name))


def known(name: ScriptName, given: str) -> tuple[Arg, ...]:
    """Return the command that runs a script of workers that the server knows; it takes no keys, and one argument."""
    return ("EVALSHA", _digest(*_parts(name)), 0, given)


def library() -> str:
    """Return the text of the library `asrq`, for FUNCTION LOAD: a function `asrq_<name>` for each script of clients."""
    functions = [
        f"redis.register_function{{function_name = '{LIBRARY}_{name}', flags = {{{flags}}}, "
        f"callback = function(KEYS, ARGV)\n{source(name)}\nend}}\n"
        for name, flags in _FLAGS.items()
    ]
    return f"#!lua name={LIBRARY}\n" + "".join(functions)


def ways(name: ScriptName, keys: Sequence[str], args: Sequence[Arg]) -> Iterator[tuple[Arg, ...]]:
    """Yield the commands that run a script, each for a server that refused the one before (see `refused`)."""
    given = (len(keys), *keys, *args)
    yield ("FCALL", f"{LIBRARY}_{name}", *given)
    yield ("EVALSHA", _digest(*_parts(name)), *given)
    yield ("EVAL", source(name), *given)


def _refused(errors: Sequence[ResponseError]) -> None:
    """Look at what was answered so far to the `ways` of running a script; returns if the next may do.

    Raises:
        QueueRefusedError: the server has no functions, and this user may do nothing else.
        redis.exceptions.ResponseError: the last of them, if it is about the script itself, or no way is left.
    """
    first, last = errors[0], errors[-1]
    if isinstance(last, NoPermissionError) and _is_unknown(first):
        raise QueueRefusedError(
            "Redis does not have the functions of asrq, and its user may not send scripts.",
            hint="Start a worker: it loads them. Before Redis 7 there are none: docs/how-to/secure-redis.md.",
        ) from last
    may_do = _is_unknown(last) or isinstance(last, NoPermissionError | NoScriptError)
    if len(errors) == _WAYS or not may_do:
        raise last


def ways_of_all(tried: Sequence[Sequence[tuple[Arg, ...]]]) -> Generator[list[tuple[Arg, ...]], list[Any], list[Any]]:
    """Yield commands, to be sent at once; is sent their answers, and returns the last of each.

    Each of `tried` has the `ways` of running a script, or one command. What a server refused because of the way in
    which it was asked comes again in the next one. Errors are answers; what `refused` would raise takes their place.
    """
    answers: list[Any] = [None] * len(tried)
    errors: list[list[ResponseError]] = [[] for _ in tried]
    left = list(range(len(tried)))
    for way in range(_WAYS):
        given = yield [tried[index][way] for index in left]
        again = []
        for index, answer in zip(left, given, strict=True):
            answers[index] = answer
            if isinstance(answer, ResponseError) and len(tried[index]) > 1:
                errors[index].append(answer)
                try:
                    _refused(errors[index])
                except (ResponseError, QueueRefusedError) as error:
                    answers[index] = error
                else:
                    again.append(index)
        left = again
        if not left:
            break
    return answers


def _is_unknown(error: ResponseError) -> bool:
    return str(error).lower().startswith(("function not found", "unknown command"))


@cache
def _digest(*parts: str) -> str:
    return hashlib.sha1("".join(parts).encode(), usedforsecurity=False).hexdigest()
