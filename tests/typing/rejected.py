"""Mistakes that a type checker must find: one on each line marked so, and no other. Checked, never run."""

from __future__ import annotations

from asrq_jobs import AsyncClient, Client, PathAudio, Result, Settings


def waiting(client: Client, result: Result) -> None:
    client.submit("talk.mp3")  # mistake: audio is not a path
    client.submit(PathAudio(path="/a.mp3"), id=7)  # mistake: ids are text
    client.upload("talk.mp3")  # mistake: bytes or a Path
    client.jobs("finished")  # mistake: RQ's word, not ours
    client.command("restart", "qwen")  # mistake: no such command
    client.wait("a", 5)  # mistake: limits are named
    client.transcribe("a")  # mistake: no such method
    result.text.strip()  # mistake: there may be none
    result.title  # mistake: no such field  # noqa: B018
    Client(config="redis://host/0")  # mistake: settings, not an address
    PathAudio(url="https://host/a.mp3")  # mistake: another kind of audio
    Settings(redis_url=7)  # mistake: an address is text


async def awaiting(client: AsyncClient) -> None:
    client.state("a").status  # mistake: not awaited  # noqa: B018
    for event in client.events("a"):  # mistake: needs async for
        print(event)
    with client:  # mistake: needs async with
        pass
    await client.wait("a", timeout_s="5")  # mistake: seconds are a number
