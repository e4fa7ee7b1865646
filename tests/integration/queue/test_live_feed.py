"""The frames of a live job on their way to a worker, where Redis loses some of them."""

from __future__ import annotations

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as Unreachable
from support.waiting import until

from asrq_jobs import Client, keys
from asrq_jobs.errors import BlobMissingError, FetchError
from asrq_worker.queue.live import LiveFeed


@pytest.fixture
def feed(client: Client, monkeypatch: pytest.MonkeyPatch) -> LiveFeed:
    """One that has read three frames, and then Redis was away for a moment."""
    live = client.live(id="spoken")
    for sound in (b"1.", b"2.", b"3."):
        live.append(sound)
    feed = LiveFeed(client.redis, "spoken")
    assert feed.read(1).sound == b"1.2.3."
    with monkeypatch.context() as patched:
        patched.setattr(client.redis, "xread", lambda *_args, **_options: (_ for _ in ()).throw(Unreachable()))
        assert not feed.read(0).there
    return feed


def lose(redis: Redis, first: int) -> None:
    for number in range(first, 4):
        redis.xdel(keys.live("spoken"), f"{number}-0")
    kept = redis.xrange(keys.live("spoken"))
    redis.delete(keys.live("spoken"))
    for entry, fields in kept:
        redis.xadd(keys.live("spoken"), fields, id=entry)


def test_what_is_there_still_is_not_read_again(client: Client, feed: LiveFeed) -> None:
    client.live(id="spoken").append(b"4.")
    assert feed.read(1).sound == b"4."


def test_frames_that_the_client_has_sent_again_are_the_same(client: Client, feed: LiveFeed) -> None:
    lose(client.redis, 2)
    live = client.live(id="spoken")
    for sound in (b"2.", b"3.", b"4."):
        live.append(sound)
    assert feed.read(1).sound == b"4."


def test_other_frames_under_the_same_numbers_are_heard_from_the_beginning(client: Client, feed: LiveFeed) -> None:
    lose(client.redis, 3)
    live = client.live(id="spoken")
    assert live.last == 2
    live.append(b"!!")
    with pytest.raises(FetchError) as caught:
        feed.read(1)
    assert caught.value.retryable
    again = LiveFeed(client.redis, "spoken")
    until(lambda: again.read(0.1).sound == b"1.2.!!")


def test_frames_that_are_gone_for_good_are_no_silence(client: Client) -> None:
    live = client.live(id="spoken")
    for sound in (b"1.", b"2."):
        live.append(sound)
    client.redis.xdel(keys.live("spoken"), "1-0")
    with pytest.raises(BlobMissingError):
        LiveFeed(client.redis, "spoken").read(1)


def test_what_comes_again_is_no_silence(client: Client, feed: LiveFeed) -> None:
    lose(client.redis, 2)
    live = client.live(id="spoken")
    for sound in (b"2.", b"3."):
        live.append(sound)
    feed.interrupt(3600.0)
    assert live.last == 3
    live.append(b"4.")
    assert feed.read(1).sound == b"4."
    feed.interrupt(0.0)
    assert feed.read(1).end == "interrupted"


def test_what_is_lost_and_does_not_come_again_is_not_waited_for(client: Client, feed: LiveFeed) -> None:
    lose(client.redis, 2)
    with pytest.raises(FetchError):
        feed.interrupt(0.0)
