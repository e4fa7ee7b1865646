"""What a job fails of that cannot write, and until when its worker takes no other."""

from __future__ import annotations

import pytest

from asrq_jobs.errors import NoRoomError, StorageError
from asrq_worker.storage.watch import StorageWatch

ROOM = 30_000_000


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Place:
    """A spool with so much room."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.kept = 0
        self.looked: list[int] = []

    def usage(self) -> tuple[int, int]:
        return self.kept, self.room

    def check(self, room: int) -> None:
        self.looked.append(room)
        if room > self.room:
            raise NoRoomError("full")


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_look_that_found_nothing_wrong_lasts_a_while_and_is_a_small_one(clock: Clock) -> None:
    place = Place(ROOM)
    watched = StorageWatch(place, room=ROOM, clock=clock)
    assert [watched.problem() for _ in range(3)] == [None] * 3
    clock.now += 60
    assert watched.problem() is None
    assert len(place.looked) == 2
    assert max(place.looked) < ROOM / 100


def test_what_helps_is_in_the_log_and_in_what_the_job_is_given_back_with(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    watched = StorageWatch(Place(ROOM), room=ROOM, clock=clock)
    error = watched.failed(StorageError("There is no folder ~/spool.", hint="Set ASRQ_SPOOL_DIR."))
    assert error.hint == "Set ASRQ_SPOOL_DIR."
    full = StorageWatch(Place(0), room=ROOM, clock=clock)
    assert full.failed(NoRoomError("full")).hint == StorageError.default_hint
    hints = [vars(record)["asrq_fields"]["hint"] for record in caplog.records]
    assert hints == ["Set ASRQ_SPOOL_DIR.", StorageError.default_hint]


def test_a_full_disk_is_the_hosts_affair_until_there_is_room_again(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    place = Place(0)
    watched = StorageWatch(place, room=ROOM, clock=clock)
    assert watched.problem() == watched.known == "full"
    error = watched.failed(NoRoomError("no space left"))
    assert type(error) is StorageError
    place.room = ROOM - 1  # enough for the small look, not in earnest
    clock.now += 60
    assert watched.problem() == "full"
    place.room = ROOM
    clock.now += 60
    assert watched.problem() is None
    assert [record.message for record in caplog.records] == ["storage.unusable", "storage.usable"]


def test_a_job_that_needs_more_than_a_usable_disk_has_is_its_own_affair(clock: Clock) -> None:
    watched = StorageWatch(Place(ROOM), room=ROOM, clock=clock)
    error = watched.failed(NoRoomError("no space left"))
    assert type(error) is NoRoomError
    assert watched.problem() is None  # others are taken


def test_what_others_have_is_little_beside_what_it_had(clock: Clock) -> None:
    """Clips that come all the time must not keep a recording that never fits coming back."""
    place = Place(ROOM)
    place.kept = ROOM // 10
    assert type(StorageWatch(place, room=ROOM, clock=clock).failed(NoRoomError("no space left"))) is NoRoomError


def test_others_may_have_taken_the_room(clock: Clock) -> None:
    place = Place(ROOM)
    place.kept = 2 * ROOM
    watched = StorageWatch(place, room=ROOM, clock=clock)
    assert type(watched.failed(NoRoomError("no space left"))) is StorageError
    assert watched.problem() == "no space left"


def test_many_that_fail_at_once_are_one_failure(clock: Clock) -> None:
    watched = StorageWatch(Place(ROOM), room=ROOM, clock=clock)
    for _ in range(8):
        assert type(watched.failed(StorageError("removed"))) is StorageError
    assert watched.problem() == "removed"
    clock.now += 1
    assert watched.problem() is None


def test_what_goes_wrong_again_and_again_is_tried_less_and_less_often(clock: Clock) -> None:
    """A disk that fails under each job though a look finds nothing wrong must not have jobs spin."""
    watched = StorageWatch(Place(ROOM), room=ROOM, clock=clock)
    waits = []
    for _ in range(10):
        watched.failed(StorageError("input/output error"))
        began = clock.now
        while watched.problem():
            clock.now += 0.5
        waits.append(clock.now - began)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]
    watched.written()
    watched.failed(StorageError("input/output error"))
    clock.now += 1
    assert watched.problem() is None
