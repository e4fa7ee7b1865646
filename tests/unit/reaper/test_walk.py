"""The reaper's walk through lists that change under it: what it passes, and what it says is on no list."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from asrq_worker.reaper.snapshot import SeenJob
from asrq_worker.reaper.walk import Walk

MOST = 5
LISTS = ("batch", "batch@qwen", "interactive")


@dataclass
class Queue:
    """Lists of ids, and a walk through them: a look at `also` beside what it passes."""

    lists: dict[str, list[str]]
    walk: Walk = field(default_factory=lambda: Walk(MOST))
    passed: list[str] = field(default_factory=list)
    doubts: set[str] = field(default_factory=set)
    taken: set[str] = field(default_factory=set)

    def look(self, *also: str, whole: bool = False) -> set[str]:
        self.passed = []
        for part in self.walk.parts({key: len(ids) for key, ids in self.lists.items()}, whole=whole):
            ids = self.lists[part.key]
            self.passed += ids[len(ids) + part.start : len(ids) + part.stop + 1]
        looked_at = {*self.passed, *also, *self.walk.overdue(self.doubts)}
        jobs = {
            job_id: SeenJob(status="started" if job_id in self.taken else "queued", lane="batch")
            for job_id in looked_at
        }
        self.doubts = set(self.walk.lost(jobs, {("batch", job_id) for job_id in self.passed}))
        return self.doubts


def listed(count: int, name: str = "") -> list[str]:
    return [f"{name}{number}" for number in range(count)]


@given(st.fixed_dictionaries({key: st.integers(0, 12).map(lambda count, key=key: listed(count, key)) for key in LISTS}))
def test_a_turn_passes_everything_once_and_no_look_more_than_so_many(lists: dict[str, list[str]]) -> None:
    queue, total = Queue(lists), sum(map(len, lists.values()))
    for _ in range(2):
        passed: list[str] = []
        for _ in range(max(1, -(-total // MOST))):
            queue.look()
            assert len(queue.passed) <= MOST
            passed += queue.passed
        assert sorted(passed) == sorted(job_id for ids in lists.values() for job_id in ids)
    queue.look(whole=True)
    assert sorted(queue.passed) == sorted(passed)


def test_what_waits_is_passed_though_the_head_is_taken_and_the_tail_grows() -> None:
    queue = Queue({"batch": listed(20)})
    passed = set[str]()
    for number in range(8):
        queue.look()
        passed.update(queue.passed)
        del queue.lists["batch"][0]
        queue.lists["batch"].append(f"new{number}")
    assert set(listed(20)[8:]) <= passed


@given(
    waiting=st.integers(0, 30),
    steps=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.booleans()), min_size=1, max_size=40),
)
def test_a_job_on_a_list_is_never_lost_and_one_on_none_is_after_two_turns(
    waiting: int, steps: list[tuple[int, int, bool]]
) -> None:
    """Each look finds the lost one and one that waits among all keys, in this order of events or another."""
    queue = Queue({"batch": listed(waiting), "interactive": []})
    for now, (taken, come, looks) in enumerate(steps):
        here = queue.lists["batch"]
        queue.taken.update(here[:taken])
        del here[:taken]
        here += [f"new{now}-{number}" for number in range(come)]
        lost = queue.look(*(here[:1] + here[-1:] if looks else []), *(["lost"] if looks else []))
        assert lost <= {"lost"}
    for _ in range(2 * (len(queue.lists["batch"]) // MOST + 2)):
        lost = queue.look("lost")
    assert lost == {"lost"}


def test_where_one_look_sees_all_it_knows_at_once() -> None:
    queue = Queue({"batch": listed(MOST - 1)})
    assert queue.look("lost") == {"lost"}
    longer = Queue({"batch": listed(3 * MOST)})
    assert longer.look("lost") == set()
    assert longer.look("lost", whole=True) == {"lost"}


def test_what_is_lost_is_looked_at_until_it_is_put_right() -> None:
    queue = Queue({"batch": listed(3 * MOST)})
    queue.look("lost")
    for _ in range(6):
        queue.look()
    assert queue.doubts == {"lost"}, "nobody has named it since"
    queue.lists["batch"].insert(0, "lost")
    queue.doubts = set()  # it has been put right
    for _ in range(6):
        assert queue.look() == set()


def test_what_does_not_wait_any_more_is_not_sought() -> None:
    queue = Queue({"batch": listed(3 * MOST)})
    queue.look("taken")
    for job in (SeenJob(status="started", lane="batch"), SeenJob(status="queued", lane=None)):
        assert queue.walk.lost({"taken": job}, set()) == set()
        for _ in range(6):
            assert queue.look() == set()
