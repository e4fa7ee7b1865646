"""What the steps of calls are on a connection to Redis, one that waits and one of asyncio."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import RedisError, ResponseError

from asrq_jobs import scripts, steps
from asrq_jobs.connection import explain, queue_errors
from asrq_jobs.errors import QueueError
from asrq_jobs.events import Entry
from asrq_jobs.settings import Settings
from asrq_jobs.steps import Done, Pause, Script, Scripts, Step, StoreFile


def perform(redis: Redis, settings: Settings, step: Step | Entry) -> Any:
    """Perform a step on a connection and return the answer, which may be a `QueueError`."""
    if isinstance(step, Entry | Pause):
        if isinstance(step, Pause):
            time.sleep(step.seconds)
        return None
    try:
        with queue_errors(settings):
            match step:
                case Scripts():
                    return _scripts(redis, settings, step)
                case Script():
                    return _script(redis, step)
                case StoreFile():
                    return _store(redis, step)
                case _:
                    return redis.execute_command(*step)  # type: ignore[no-untyped-call]  # redis-py's gap
    except QueueError as error:
        return error


def _store(redis: Redis, step: StoreFile) -> Any:
    pool = redis.connection_pool
    connection = pool.get_connection()

    def send() -> Any:
        for part in step.parts():
            connection.send_packed_command([part], check_health=False)  # type: ignore[no-untyped-call]  # redis-py's gap
        return connection.read_response()

    try:
        return connection.retry.call_with_retry(send, lambda _error: connection.disconnect())  # type: ignore[no-untyped-call]  # redis-py's gap
    except ResponseError:
        raise
    except BaseException:  # half a command has been sent
        connection.disconnect()  # type: ignore[no-untyped-call]  # redis-py's gap
        raise
    finally:
        pool.release(connection)


def _script(redis: Redis, script: Script) -> Any:
    errors: list[ResponseError] = []
    for command in scripts.ways(script.name, script.keys, script.args):
        try:
            return redis.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py's gap
        except ResponseError as error:
            errors.append(error)
            scripts.refused(errors)
    raise AssertionError(script.name)  # `refused` has raised


def _scripts(redis: Redis, settings: Settings, step: Scripts) -> list[Any]:
    trying = scripts.ways_of_all([(script.name, script.keys, script.args) for script in step.each])
    commands = steps.advance(trying)
    while not isinstance(commands, Done):
        with redis.pipeline(transaction=False) as pipe:
            for command in commands:
                pipe.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py's gap
            answer = pipe.execute(raise_on_error=False)
        commands = steps.advance(trying, answer)
    return [explain(each, settings) if isinstance(each, RedisError) else each for each in commands.value]


async def perform_async(redis: AsyncRedis, settings: Settings, step: Step | Entry) -> Any:
    """As `perform`."""
    if isinstance(step, Entry | Pause):
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
        return None
    try:
        with queue_errors(settings):
            match step:
                case Scripts():
                    return await _scripts_async(redis, settings, step)
                case Script():
                    return await _script_async(redis, step)
                case StoreFile():
                    return await _store_async(redis, step)
                case _:
                    return await redis.execute_command(*step)  # type: ignore[no-untyped-call]  # redis-py's gap
    except QueueError as error:
        return error


async def _store_async(redis: AsyncRedis, step: StoreFile) -> Any:
    pool = redis.connection_pool
    connection = await pool.get_connection()  # type: ignore[no-untyped-call]  # redis-py's gap

    async def send() -> Any:
        parts = step.parts()
        while part := next(parts, b"") if step.at_once else await asyncio.to_thread(next, parts, b""):
            await connection.send_packed_command(part, check_health=False)
        return await connection.read_response()

    try:
        return await connection.retry.call_with_retry(send, lambda _error: connection.disconnect(nowait=True))
    except ResponseError:
        raise
    except BaseException:  # half a command has been sent
        await connection.disconnect(nowait=True)
        raise
    finally:
        await pool.release(connection)


async def _script_async(redis: AsyncRedis, script: Script) -> Any:
    errors: list[ResponseError] = []
    for command in scripts.ways(script.name, script.keys, script.args):
        try:
            return await redis.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py's gap
        except ResponseError as error:
            errors.append(error)
            scripts.refused(errors)
    raise AssertionError(script.name)  # `refused` has raised


async def _scripts_async(redis: AsyncRedis, settings: Settings, step: Scripts) -> list[Any]:
    trying = scripts.ways_of_all([(script.name, script.keys, script.args) for script in step.each])
    commands = steps.advance(trying)
    while not isinstance(commands, Done):
        async with redis.pipeline(transaction=False) as pipe:
            for command in commands:
                pipe.execute_command(*command)
            answer = await pipe.execute(raise_on_error=False)
        commands = steps.advance(trying, answer)
    return [explain(each, settings) if isinstance(each, RedisError) else each for each in commands.value]
