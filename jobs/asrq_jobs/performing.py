"""What the steps of calls are on a connection to Redis, one that waits and one of asyncio.

redis-py's own ways of sending a command, or several, take half as much processor time again as a connection of its
pool.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeVar, cast

from redis import Connection, Redis
from redis.asyncio import Connection as AsyncConnection
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import NoScriptError, RedisError, ResponseError

from asrq_jobs import scripts, steps
from asrq_jobs.connection import DEMOTED, explain, queue_errors
from asrq_jobs.errors import QueueError
from asrq_jobs.events import Entry
from asrq_jobs.scripts import ScriptName
from asrq_jobs.settings import Settings
from asrq_jobs.steps import Command, Done, Pause, Script, Step, StoreFile, Together

T = TypeVar("T")


def perform(redis: Redis, settings: Settings, step: Step | Entry) -> Any:
    """Perform a step on a connection and return the answer, which may be a `QueueError`."""
    if isinstance(step, Entry | Pause):
        if isinstance(step, Pause):
            time.sleep(step.seconds)
        return None
    try:
        with queue_errors(settings):
            if isinstance(step, StoreFile):
                return _on_connection(redis, partial(_store, step))
            return _given(step, settings, _in_ways(redis, _ways(step)))
    except QueueError as error:
        return error


def run(redis: Redis, name: ScriptName, given: str, *, first: Sequence[Command] = ()) -> Any:
    """Run a script of workers, which takes no keys, and one argument; send `first`, in the same round trip,
    commands whose answers do not matter.

    Raises:
        redis.exceptions.RedisError: Redis does not answer, or refuses the script.
    """
    *_, answer = together(redis, [*first, scripts.known(name, given)])
    if isinstance(answer, NoScriptError):
        [answer] = together(redis, [("EVAL", scripts.source(name), 0, given)])
    if isinstance(answer, RedisError):
        raise answer
    return answer


def together(redis: Redis, commands: Sequence[Command]) -> list[Any]:
    """Send commands in one go, and return the answer to each; what Redis refuses is one, too.

    Raises:
        redis.exceptions.RedisError: Redis does not answer.
    """
    return _on_connection(redis, partial(_exchange, redis, commands))


def _in_ways(redis: Redis, tried: list[tuple[Command, ...]]) -> list[Any]:
    trying = scripts.ways_of_all(tried)
    commands = steps.advance(trying)
    while not isinstance(commands, Done):
        commands = steps.advance(trying, together(redis, commands))
    return commands.value


def _exchange(redis: Redis, commands: Sequence[Command], connection: Connection) -> list[Any]:
    """Send commands in one go, and return the answer to each; what Redis refuses is one, too."""
    connection.send_packed_command(connection.pack_commands(commands))  # type: ignore[no-untyped-call]  # redis-py's gap
    return [_answer(redis, connection, command) for command in commands]


def _answer(redis: Redis, connection: Connection, command: Command) -> Any:
    try:
        return redis.parse_response(connection, command[0])  # type: ignore[no-untyped-call]  # redis-py's gap
    except DEMOTED:
        raise  # to be asked again
    except ResponseError as error:
        return error


def _store(step: StoreFile, connection: Connection) -> Any:
    for part in step.parts():
        connection.send_packed_command([part], check_health=False)  # type: ignore[no-untyped-call]  # redis-py's gap
    return connection.read_response()


def _on_connection(redis: Redis, work: Callable[[Connection], T]) -> T:
    pool = redis.connection_pool
    connection = pool.get_connection()
    try:
        return connection.retry.call_with_retry(lambda: work(connection), lambda _error: connection.disconnect())  # type: ignore[no-untyped-call]  # redis-py's gap
    except BaseException:  # half a command has been sent, or half an answer read
        connection.disconnect()  # type: ignore[no-untyped-call]  # redis-py's gap
        raise
    finally:
        pool.release(connection)


def _ways(step: Command | Script | Together) -> list[tuple[Command, ...]]:
    """Return the commands of a step, and for each what is to be sent if it is refused."""
    each = step.each if isinstance(step, Together) else [step]
    return [tuple(scripts.ways(one.name, one.keys, one.args)) if isinstance(one, Script) else (one,) for one in each]


def _given(step: Command | Script | Together, settings: Settings, answers: list[Any]) -> Any:
    if isinstance(step, Together):
        return [explain(each, settings) if isinstance(each, RedisError) else each for each in answers]
    [answer] = answers
    if isinstance(answer, RedisError):
        raise answer
    return answer


async def perform_async(redis: AsyncRedis, settings: Settings, step: Step | Entry) -> Any:
    """As `perform`."""
    if isinstance(step, Entry | Pause):
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
        return None
    try:
        with queue_errors(settings):
            if isinstance(step, StoreFile):
                return await _on_connection_async(redis, partial(_store_async, step))
            return _given(step, settings, await _in_ways_async(redis, _ways(step)))
    except QueueError as error:
        return error


async def _in_ways_async(redis: AsyncRedis, tried: list[tuple[Command, ...]]) -> list[Any]:
    trying = scripts.ways_of_all(tried)
    commands = steps.advance(trying)
    while not isinstance(commands, Done):
        commands = steps.advance(trying, await _on_connection_async(redis, partial(_exchange_async, redis, commands)))
    return commands.value


async def _exchange_async(redis: AsyncRedis, commands: Sequence[Command], connection: AsyncConnection) -> list[Any]:
    await _send_async(connection, connection.pack_commands(commands))
    return [await _answer_async(redis, connection, command) for command in commands]


async def _answer_async(redis: AsyncRedis, connection: AsyncConnection, command: Command) -> Any:
    try:
        return await redis.parse_response(connection, cast("str", command[0]))
    except DEMOTED:
        raise
    except ResponseError as error:
        return error


async def _store_async(step: StoreFile, connection: AsyncConnection) -> Any:
    parts = step.parts()
    while part := next(parts, b"") if step.at_once else await asyncio.to_thread(next, parts, b""):
        await _send_async(connection, part, check_health=False)
    return await connection.read_response()


async def _send_async(connection: AsyncConnection, packed: Any, **options: Any) -> None:
    """Send, and be canceled where that was asked for meanwhile.

    redis-py sends within `asyncio.wait_for`, which before Python 3.12 drops a cancellation that comes when all is sent:
    the task would go on to wait for the answer.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    await connection.send_packed_command(packed, **options)
    if task and task.cancelling() > before:
        raise asyncio.CancelledError


async def _on_connection_async(redis: AsyncRedis, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    pool = redis.connection_pool
    connection = await pool.get_connection()  # type: ignore[no-untyped-call]  # redis-py's gap
    try:
        return await connection.retry.call_with_retry(  # type: ignore[no-any-return]  # redis-py's gap
            lambda: work(connection), lambda _error: connection.disconnect(nowait=True)
        )
    except BaseException:
        await connection.disconnect(nowait=True)
        raise
    finally:
        await pool.release(connection)
