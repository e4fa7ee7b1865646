"""What a person sees and does in the dashboard: the real command, a real worker, a real browser."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser.chromium import SIZE, Watched, watched
from browser.pictures import LARGEST, take
from browser.scene import PRIVATE, Scene, scene
from conftest import REPO
from playwright.sync_api import Browser, expect
from redis import Redis

from asrq_jobs import PathAudio
from asrq_jobs.settings import PREFIX


@pytest.fixture(scope="module")
def shown(_valkey: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with pytest.MonkeyPatch.context() as patch, Redis.from_url(_valkey) as redis:
        for name in [name for name in os.environ if name.upper().startswith(PREFIX)]:
            patch.delenv(name)
        redis.flushall()
        with scene(_valkey, tmp_path_factory.mktemp("scene")) as running:
            yield running
        redis.flushall()


@pytest.fixture
def view(browser: Browser, shown: Scene) -> Iterator[Watched]:
    with watched(browser, shown.home) as page:
        yield page
        assert page.problems == []


def _list(lane: str, registry: str) -> str:
    return f"/0/view/jobs/asrq-{lane}/{registry}/8/asc/1"


def test_queues_count_jobs_in_every_state(view: Watched) -> None:
    page = view.open("/")
    expect(page.locator("tr[data-role=queue]")).to_have_count(2)
    counts = page.locator("tr[data-role=queue]", has_text="asrq-batch").locator("td")
    # queued, deferred, scheduled, started, finished, failed, canceled
    expect(counts).to_have_text(["asrq-batch", "1", "0", "0", "1", "1", "1", "0"])


def test_a_finished_job_shows_language_backend_and_speed(view: Watched) -> None:
    page = view.open(_list("batch", "finished"))
    expect(page.locator(".description")).to_have_text("transcribe lecture-07.flac (en)")
    page.get_by_role("link", name="finished").click()
    result = page.locator("#job-data pre").first
    for line in ('"language": "en"', '"backend": "fake"', '"result": "asrq:result:finished"'):
        expect(result).to_contain_text(line)
    assert '"rtfx": ' in result.inner_text()


@pytest.mark.parametrize(
    ("lane", "description", "said"),
    [
        ("interactive", "transcribe voice-memo.flac (auto)", "audio_not_found: "),
        ("batch", "transcribe interview.flac (en)", "inference_failed: The backend failed: RuntimeError"),
    ],
)
def test_a_failed_and_a_dead_job_show_why(view: Watched, lane: str, description: str, said: str) -> None:
    page = view.open(_list(lane, "failed"))
    expect(page.locator(".description")).to_have_text(description)
    expect(page.locator("pre.exc_info")).to_contain_text(said)


def test_a_running_job_shows_with_its_worker_and_without_its_prompt(view: Watched, shown: Scene) -> None:
    page = view.open("/0/view/workers")
    row = page.locator("tr[data-role=worker]", has_text="fake.batch.1")
    expect(row).to_contain_text("transcribe board-meeting.flac (auto)")
    assert PRIVATE.format(gate=shown.gate) not in page.content()
    row.get_by_role("link").click()
    expect(page.locator("#job-data")).to_contain_text("started")
    assert "whispered" not in page.content()
    expect(view.open(_list("batch", "started")).locator(".description")).to_have_text(
        "transcribe board-meeting.flac (auto)"
    )


def test_nothing_offers_to_delete_to_empty_or_to_compact(view: Watched) -> None:
    page = view.open(_list("batch", "queued"))
    expect(page.locator("[data-role=job]")).to_have_count(1)
    assert page.get_by_role("link", name="Compact").count() == 0
    assert page.get_by_text("Empty queue").count() == 0
    assert page.get_by_text("Delete").count() == 0


def test_what_a_job_is_called_is_text_and_not_markup(view: Watched, shown: Scene, tmp_path: Path) -> None:
    name = "<img src=x onerror=\"document.title='owned'\">.wav"
    shown.client.submit(PathAudio(path=str(tmp_path / name)), id="hostile")
    try:
        for path in (_list("batch", "queued"), "/0/view/job/hostile"):
            page = view.open(path)
            expect(page.get_by_text("onerror")).to_contain_text("<img src=x")
            expect(page).to_have_title("RQ dashboard")
    finally:
        shown.client.cancel("hostile")


def test_requeue_runs_a_job_again_and_keeps_its_history(view: Watched, shown: Scene, data: Path) -> None:
    page = view.open(_list("interactive", "failed"))
    shown.lost.write_bytes((data / "hello-en.flac").read_bytes())
    page.get_by_role("link", name="Requeue", exact=True).click()
    expect(page.locator("[data-role=job]")).to_have_count(0)
    result = shown.client.wait("failed", timeout_s=50)
    assert result.status == "completed"
    assert [attempt.error and attempt.error.code for attempt in result.attempts] == ["audio_not_found", None]
    finished = view.open(_list("interactive", "finished"))
    expect(finished.locator("[data-role=job]")).to_contain_text("transcribe voice-memo.flac")
    assert finished.locator("pre.exc_info").count() == 0


def test_requeue_all_asks_first(view: Watched, shown: Scene) -> None:
    page = view.open(_list("batch", "failed"))
    page.get_by_role("link", name="Requeue All").click()
    page.get_by_role("button", name="No", exact=True).click()
    expect(page.locator("#confirmation-modal")).to_be_hidden()
    assert shown.client.state("dead").status == "failed"
    page.get_by_role("link", name="Requeue All").click()
    with page.expect_response("**/requeue/asrq-batch"):
        page.get_by_role("button", name="Yes").click()
    assert shown.client.state("dead").status == "queued"


def test_pictures_of_the_documentation_can_be_taken_again(view: Watched, tmp_path: Path) -> None:
    taken = take(view, tmp_path)
    kept = sorted((REPO / "docs" / "img").glob("dashboard-*.png"))
    assert [path.name for path in kept] == sorted(path.name for path in taken)
    for path in (*taken, *kept):
        head = path.read_bytes()[:20]
        assert head.startswith(b"\x89PNG")
        assert int.from_bytes(head[16:20]) == SIZE[0]
        assert path.stat().st_size < LARGEST
