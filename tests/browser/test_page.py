"""What a person sees and does on the gateway's page, in a real browser."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from browser.chromium import Watched, watched
from browser.pictures import LARGEST, take_page
from conftest import REPO, free_port
from playwright.sync_api import Browser, Locator, Page, expect
from redis import Redis
from support.processes import worker
from support.waiting import until

from asrq_jobs import Client, keys
from asrq_jobs.errors import AudioUnreadableError
from asrq_jobs.events import Event
from asrq_jobs.result import Segment, Word
from asrq_jobs.settings import Settings
from asrq_jobs.testing import ScriptedWorker
from asrq_worker.http.service import serving

HOSTILE = "<img src=x onerror=\"document.title='owned'\">"
SAID = (
    Segment(
        id=0,
        start=0.0,
        end=1.5,
        text=" Good morning.",
        words=(Word(word=" Good", start=0.0, end=0.5), Word(word=" morning.", start=0.5, end=1.5)),
    ),
    Segment(
        id=1,
        start=1.5,
        end=2.5,
        text=f" {HOSTILE}",
        words=(Word(word=f" {HOSTILE}", start=1.5, end=2.5),),
    ),
)


@pytest.fixture
def settings(valkey_url: str) -> Settings:
    return Settings(redis_url=valkey_url, grace_s=1, redis_retry_s=1, redis_timeout_s=2)


@pytest.fixture
def home(settings: Settings) -> Iterator[str]:
    with serving(settings, "127.0.0.1", 0) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def view(browser: Browser, home: str) -> Iterator[Watched]:
    with watched(browser, home) as page:
        yield page
        assert page.problems == []


@pytest.fixture
def page(view: Watched) -> Page:
    return view.open("/")


@pytest.fixture
def scripted(redis: Redis) -> ScriptedWorker:
    return ScriptedWorker(redis)


def choose(page: Page, *paths: Path | dict[str, object]) -> None:
    with page.expect_file_chooser() as asked:
        page.get_by_role("button", name="Choose files").click()
    asked.value.set_files(list(paths))  # type: ignore[arg-type]  # what Playwright calls a file's payload


def row(page: Page, name: str) -> Locator:
    return page.locator("#jobs > li", has=page.get_by_role("heading", name=name, exact=True))


def done(of: Locator, phase: str = "completed") -> None:
    expect(of).to_have_attribute("data-phase", phase)


def chunk(start: float, text: str) -> Event:
    return Event(type="chunk", at=time.time(), start=start, end=start + 1, text=text)


def progress(fraction: float) -> Event:
    return Event(
        type="progress",
        at=time.time(),
        stage="inference",
        audio_s=100,
        done_s=100 * fraction,
        fraction=fraction,
        rtfx=2,
    )


def test_a_file_becomes_a_transcript_that_can_be_heard_and_kept(
    page: Page, valkey_url: str, data: Path, tmp_path: Path
) -> None:
    with worker(valkey_url):
        expect(page.locator("#queue")).to_have_text("1 worker · nothing to do")
        choose(page, data / "hello-en.flac")
        mine = row(page, "hello-en.flac")
        done(mine)
        expect(mine.locator(".state")).to_contain_text("Done · 0:0")
    line = mine.locator(".lines li").first
    word = line.locator("[data-start]:not(button)").first
    assert len(word.inner_text()) == 12  # as the fake backend says it
    sound = mine.locator("audio")
    word.click()
    expect(word).to_have_class("now")
    assert sound.evaluate("sound => !sound.paused")
    sound.evaluate("sound => sound.pause()")
    for name, begins in (("Text", word.inner_text()), ("SRT", "1\n00:00:0"), ("VTT", "WEBVTT\n"), ("JSON", "{")):
        with page.expect_download() as coming:
            mine.get_by_role("button", name=f"Download {name}").click()
        kept = tmp_path / coming.value.suggested_filename
        coming.value.save_as(kept)
        assert kept.stem == "hello-en"
        assert kept.read_text(encoding="utf-8").startswith(begins)
        assert word.inner_text() in kept.read_text(encoding="utf-8")
    assert json.loads(kept.read_text(encoding="utf-8"))["schema"] == "asrq.result/1"


def test_the_text_grows_while_the_job_runs(page: Page, scripted: ScriptedWorker, data: Path) -> None:
    choose(page, data / "hello-en.flac")
    mine = row(page, "hello-en.flac")
    expect(mine.locator(".state")).to_have_text("Next in line")
    execution = scripted.take()
    scripted.event(execution, progress(0.25))
    expect(mine.locator(".state")).to_have_text("Transcribing, 25 % · about 40 s left")
    expect(mine.get_by_role("progressbar")).to_have_attribute("value", "0.25")
    scripted.event(execution, chunk(2.0, "Second."))
    expect(mine.locator(".text")).to_have_text(["Second."])
    scripted.event(execution, chunk(1.0, "First."))
    expect(mine.locator(".text")).to_have_text(["First.", "Second."])
    scripted.complete(execution, "Good morning.", segments=SAID, duration=2.5, warnings=("other_tracks", "new:why"))
    done(mine)
    expect(mine.locator(".text")).to_have_text(["Good morning.", HOSTILE])
    expect(mine.locator(".hint")).to_have_text(
        "The file has other audio tracks, which were not transcribed: the option track chooses one. "
        "The worker warns of new (why)."
    )
    expect(page.get_by_role("status")).to_have_text("hello-en.flac: Done · 0:02")


def test_what_fails_is_said_in_a_sentence_and_can_be_tried_again(page: Page, scripted: ScriptedWorker) -> None:
    choose(page, {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no audio"})
    scripted.fail(scripted.take(), AudioUnreadableError("This is no audio."))
    mine = row(page, "notes.txt")
    done(mine, "failed")
    expect(mine.locator(".problem")).to_have_text("This is no audio.")
    expect(mine.locator(".hint")).to_have_text(str(AudioUnreadableError.default_hint))
    mine.get_by_role("button", name="Try again: notes.txt").click()
    execution = scripted.take()
    expect(mine.locator(".problem")).to_be_hidden()
    scripted.complete(execution, "Good morning.", segments=SAID)
    done(mine)
    mine.get_by_role("button", name="Remove: notes.txt").click()
    expect(page.locator("#jobs > li")).to_have_count(0)
    expect(page.get_by_text("None yet.")).to_be_visible()


def test_a_file_that_is_refused_at_once(page: Page, view: Watched) -> None:
    choose(page, {"name": "empty.mp3", "mimeType": "audio/mpeg", "buffer": b""})
    mine = row(page, "empty.mp3")
    done(mine, "failed")
    expect(mine.locator(".problem")).to_have_text("empty.mp3 is empty (0 bytes).")
    assert [problem for problem in view.problems if "400" in problem] == view.problems
    view.problems.clear()  # the browser's own line


def test_a_waiting_job_can_be_canceled(page: Page, redis: Redis, data: Path) -> None:
    choose(page, data / "hello-en.flac", data / "hello-ru.flac")
    first, second = row(page, "hello-en.flac"), row(page, "hello-ru.flac")
    expect(first.locator(".state")).to_have_text("Next in line")
    expect(second.locator(".state")).to_have_text("Waiting behind 1")
    expect(page.locator("#queue")).to_contain_text("No worker is there")
    first.get_by_role("button", name="Cancel: hello-en.flac").click()
    done(first, "canceled")
    expect(second.locator(".state")).to_have_text("Next in line")
    assert redis.llen(keys.queue("interactive")) == 1


def test_a_job_can_be_deleted_from_the_server(page: Page, scripted: ScriptedWorker, redis: Redis, data: Path) -> None:
    choose(page, data / "hello-en.flac")
    execution = scripted.take()
    scripted.complete(execution, "Good morning.", segments=SAID)
    mine = row(page, "hello-en.flac")
    done(mine)
    for answer in ("dismiss", "accept"):
        expect(mine).to_be_visible()
        page.once("dialog", lambda dialog, answer=answer: getattr(dialog, answer)())
        mine.get_by_role("button", name="Delete: hello-en.flac").click()
    expect(mine).to_have_count(0)
    assert not redis.exists(keys.job(execution.job_id), keys.result(execution.job_id))
    expect(page.get_by_role("status")).to_have_text("hello-en.flac: deleted from the server")
    expect(page.get_by_role("button", name="Choose files")).to_be_focused()


def test_names_and_texts_are_text_and_not_markup(page: Page, scripted: ScriptedWorker) -> None:
    choose(page, {"name": f"{HOSTILE}.mp3", "mimeType": "audio/mpeg", "buffer": b"sound"})
    scripted.complete(scripted.take(), "text", segments=SAID)
    mine = row(page, f"{HOSTILE}.mp3")
    done(mine)
    expect(mine.locator(".text").last).to_have_text(HOSTILE)
    expect(page).to_have_title("Transcribe · asrq")
    assert page.locator("img").count() == 0


def test_jobs_of_a_tab_are_found_again_after_a_reload_and_by_no_other_tab(
    page: Page, view: Watched, scripted: ScriptedWorker, data: Path
) -> None:
    choose(page, data / "hello-en.flac")
    execution = scripted.take()
    scripted.event(execution, chunk(0, "Before."))
    expect(row(page, "hello-en.flac").locator(".text")).to_have_text("Before.")
    other = page.context.new_page()
    other.goto(view.home)
    expect(other.get_by_text("None yet.")).to_be_visible()
    page.reload()
    mine = row(page, "hello-en.flac")
    expect(mine.locator(".text")).to_have_text("Before.")
    scripted.complete(execution, "Good morning.", segments=SAID)
    done(mine)
    expect(mine.locator("audio")).to_be_hidden()
    with page.expect_file_chooser() as asked:
        mine.get_by_role("button", name="Open the recording").click()
    asked.value.set_files(data / "hello-en.flac")
    mine.get_by_text("morning.").click()
    expect(mine.get_by_text("morning.")).to_have_class("now")


def test_many_jobs_share_the_connections_of_a_browser(
    page: Page, redis: Redis, scripted: ScriptedWorker, view: Watched
) -> None:
    names = [f"{number}.mp3" for number in range(9)]
    choose(page, *({"name": name, "mimeType": "audio/mpeg", "buffer": name.encode()} for name in names))
    other = page.context.new_page()
    other.goto(view.home)
    executions = [scripted.take() for _ in names]
    for number, execution in enumerate(executions):
        scripted.event(execution, chunk(0, f"Text {number}."))
    expect(page.locator(".text")).to_have_count(len(names))
    choose(other, {"name": "more.mp3", "mimeType": "audio/mpeg", "buffer": b"more"})
    scripted.complete(scripted.take(), "Good morning.", segments=SAID)
    done(row(other, "more.mp3"))


def sound_of(redis: Redis, job_id: str) -> tuple[bytes, bool]:
    """Return the sound of a live job, and whether it has ended."""
    entries = [fields for _, fields in redis.xrange(keys.live(job_id))]
    return b"".join(fields.get(b"audio", b"") for fields in entries), any(b"end" in fields for fields in entries)


def test_text_comes_while_somebody_speaks(page: Page, scripted: ScriptedWorker, redis: Redis) -> None:
    page.get_by_role("button", name="Record").click()
    expect(page.get_by_role("timer")).to_contain_text("Recording, 0:0")
    execution = scripted.take()
    mine = page.locator("#jobs > li")
    expect(mine.locator(".state")).to_have_text("Listening")
    expect(mine.get_by_role("progressbar")).to_be_hidden()
    for text in ("Good", "Good morning"):
        scripted.event(execution, Event(type="partial", at=0, start=0, end=1, text=text, stable=4))
        expect(mine.locator(".text")).to_have_text([text])
    scripted.event(execution, chunk(0, "Good morning."))
    expect(mine.locator(".text")).to_have_text(["Good morning."])
    until(lambda: len(sound_of(redis, execution.job_id)[0]) > 2 * 24_000)  # a second of it
    page.get_by_role("button", name="Stop").click()
    until(lambda: sound_of(redis, execution.job_id)[1])
    samples = np.frombuffer(sound_of(redis, execution.job_id)[0], "<i2")
    assert np.abs(samples).max() > 1000, "somebody speaks"
    expect(page.get_by_role("button", name="Record", exact=True)).to_be_visible()
    scripted.complete(execution, "Good morning.", segments=SAID[:1])
    done(mine)
    expect(mine.locator("audio")).to_be_visible()
    expect(page.locator("#jobs > li")).to_have_count(1)
    assert redis.keys("asrq:blob:*") == []


def test_speech_is_heard_by_a_worker_while_it_is_recorded(page: Page, valkey_url: str, client: Client) -> None:
    with worker(valkey_url):
        page.get_by_role("button", name="Record").click()
        mine = page.locator("#jobs > li")
        expect(mine.locator(".text").first).to_be_visible(timeout=60_000)
        page.get_by_role("button", name="Stop").click()
        done(mine)
    [job] = client.redis.keys("asrq:result:*")
    result = client.result(job.decode().removeprefix("asrq:result:"))
    assert result is not None
    assert result.audio is not None
    assert result.audio.container == "live"
    expect(mine.locator(".text").first).to_have_text(result.segments[0].text.strip())


def test_a_recording_that_is_canceled_is_over(page: Page, scripted: ScriptedWorker, redis: Redis) -> None:
    page.get_by_role("button", name="Record").click()
    mine = page.locator("#jobs > li")
    mine.get_by_role("button", name="Cancel").click()
    done(mine, "canceled")
    expect(page.get_by_role("button", name="Record", exact=True)).to_be_visible()
    assert redis.keys("asrq:blob:*") == []
    assert redis.keys("asrq:live:*") == []
    del scripted


def test_a_gateway_that_goes_away_costs_no_word(
    browser: Browser, settings: Settings, redis: Redis, scripted: ScriptedWorker
) -> None:
    port = free_port()
    with watched(browser, f"http://127.0.0.1:{port}") as view:
        with serving(settings, "127.0.0.1", port):
            page = view.open("/")
            page.get_by_role("button", name="Record").click()
            live = scripted.take()
            until(lambda: sound_of(redis, live.job_id)[0])
        with serving(settings, "127.0.0.1", port):
            page.get_by_role("button", name="Stop").click()
            until(lambda: redis.exists(keys.cancel(live.job_id)))
            execution = scripted.take()
            sent = json.loads(redis.hget(keys.job(execution.job_id), "data") or b"")[2][0]["audio"]
            assert sent["kind"] == "blob"
            scripted.complete(execution, "Good morning.", segments=SAID[:1])
            done(page.locator("#jobs > li"))


def test_a_recording_from_the_microphone(page: Page, scripted: ScriptedWorker, redis: Redis) -> None:
    """In a browser without what live text needs."""
    page.evaluate("delete window.AudioWorkletNode")
    page.get_by_role("button", name="Record").click()
    expect(page.get_by_role("timer")).to_contain_text("Recording, 0:0")
    page.get_by_role("button", name="Stop").click()
    mine = page.locator("#jobs > li")
    execution = scripted.take()
    sent = json.loads(redis.hget(keys.job(execution.job_id), "data") or b"")[2][0]["audio"]
    assert (redis.get(keys.blob(sent["sha256"])) or b"").startswith(b"\x1aE\xdf\xa3")  # Matroska
    scripted.complete(execution, "Good morning.", segments=SAID[:1])
    done(mine)
    expect(mine.locator(".name")).to_have_text(sent["name"])
    expect(page.get_by_role("button", name="Record", exact=True)).to_be_visible()


def test_the_keyboard_alone_does_it_all(page: Page, scripted: ScriptedWorker, data: Path) -> None:
    page.on("filechooser", lambda chooser: None)  # Playwright listens from now on, not from the key on
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Choose files")).to_be_focused()
    with page.expect_file_chooser() as asked:
        page.keyboard.press("Enter")
    asked.value.set_files(data / "hello-en.flac")
    for name in ("Record", "Options"):
        page.keyboard.press("Tab")
        expect(page.locator("#add :focus")).to_have_text(name)
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Cancel: hello-en.flac")).to_be_focused()
    scripted.complete(scripted.take(), "Good morning.", segments=SAID)
    expect(page.get_by_role("button", name="Remove: hello-en.flac")).to_be_focused()  # what had it is gone
    lines = page.locator(".time")
    lines.first.focus()
    assert lines.evaluate_all("lines => lines.map(line => line.tabIndex)") == [0, -1]
    page.keyboard.press("ArrowDown")
    expect(lines.last).to_be_focused()
    assert lines.evaluate_all("lines => lines.map(line => line.tabIndex)") == [-1, 0]
    page.keyboard.press("Home")
    for word in ("Good", "morning.", "morning."):
        page.keyboard.press("ArrowRight")
        expect(page.locator(".now")).to_have_text(word)
    page.locator("audio").evaluate("sound => sound.pause()")
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".now")).to_have_text("Good")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Download Text: hello-en.flac")).to_be_focused()


def test_files_that_are_dropped(page: Page, scripted: ScriptedWorker) -> None:
    carried = page.evaluate_handle(
        "() => { const carried = new DataTransfer(); carried.items.add(new File(['sound'], 'a.mp3')); return carried; }"
    )
    page.locator("body").dispatch_event("dragover", {"dataTransfer": carried})
    expect(page.locator("#drop")).to_have_class("over")
    page.locator("h1").dispatch_event("drop", {"dataTransfer": carried})
    expect(page.locator("#drop")).to_have_class("")
    scripted.complete(scripted.take(), "Good morning.", segments=SAID)
    done(row(page, "a.mp3"))


def test_a_key_is_asked_for_and_kept_in_the_tab(
    browser: Browser, settings: Settings, scripted: ScriptedWorker, data: Path, tmp_path: Path
) -> None:
    keys_file = tmp_path / "keys.toml"
    keys_file.write_text(f'[anna]\nsha256 = "{hashlib.sha256(b"secret").hexdigest()}"\n')
    closed = settings.model_copy(update={"http_keys": keys_file})
    with serving(closed, "127.0.0.1", 0) as port, watched(browser, f"http://127.0.0.1:{port}") as view:
        page = view.open("/")
        field = page.get_by_label("Key", exact=True)
        expect(field).to_be_focused()
        expect(page.get_by_role("button", name="Choose files")).to_be_hidden()
        for wrong in ("guessed", "schlüssel", "ключ"):
            field.fill(wrong)
            page.keyboard.press("Enter")
            expect(page.locator("#key-problem")).to_have_text("Nobody has this key.")
            expect(field).to_have_value("")
        field.fill("secret")
        page.keyboard.press("Enter")
        choose(page, data / "hello-en.flac")
        execution = scripted.take()
        assert execution.job_id.startswith("anna-")
        scripted.complete(execution, "Good morning.", segments=SAID)
        done(row(page, "hello-en.flac"))
        page.reload()
        done(row(page, "hello-en.flac"))
        other = page.context.new_page()
        other.goto(view.home)
        expect(other.get_by_label("Key", exact=True)).to_be_visible()
        page.get_by_role("button", name="Forget the key").click()
        expect(field).to_be_visible()
        assert all("401" in problem for problem in view.problems)  # the browser's own lines
        page.reload()
        expect(row(page, "hello-en.flac").locator(".problem")).to_have_text("This needs a key.")


def test_a_full_lane_and_an_outage_are_waited_for(
    browser: Browser, settings: Settings, redis: Redis, scripted: ScriptedWorker, data: Path
) -> None:
    port = free_port()
    with watched(browser, f"http://127.0.0.1:{port}") as view:
        with serving(settings, "127.0.0.1", port):
            page = view.open("/")
            redis.hset(keys.LIMITS, "depth:interactive", 0)
            choose(page, data / "hello-en.flac")
            mine = row(page, "hello-en.flac")
            expect(mine.locator(".state")).to_contain_text("Trying again in ")
            page.get_by_role("button", name="Cancel: hello-en.flac").click()
            done(mine, "canceled")
            redis.delete(keys.LIMITS)
            page.get_by_role("button", name="Try again: hello-en.flac").click()
            expect(mine.locator(".state")).to_have_text("Next in line")
        expect(mine.locator(".state")).to_have_text("Connection lost; trying again. The job goes on.")
        expect(page.locator("#queue")).to_have_text("The server does not answer.")
        with serving(settings, "127.0.0.1", port):
            scripted.complete(scripted.take(), "Good morning.", segments=SAID)
            done(mine)


STATES: tuple[tuple[dict[str, object], str], ...] = (
    ({"phase": "queued", "lane": "batch", "position": 4}, "Waiting behind 3 · about 30 s"),
    ({"phase": "queued", "lane": "batch", "position": 4, "atLeast": True},
     "Waiting behind more than 3 · about 30 s"),
    ({"phase": "queued", "lane": "interactive", "position": 1}, "Next in line"),
    ({"phase": "queued", "position": 1, "waitsFor": "qwen"}, "Waiting for a worker that can do this"),
    ({"phase": "queued", "delay": 4.2}, "Waiting for another try, in 5 s"),
    ({"phase": "running"}, "Starting"),
    ({"phase": "running", "stage": "decode"}, "Reading the audio"),
    ({"phase": "running", "fraction": 0.999, "left": 0.1}, "Transcribing, 99 % · a few seconds left"),
    ({"phase": "running", "fraction": 0.5, "left": 600}, "Transcribing, 50 % · about 10 min left"),
    ({"phase": "running", "fraction": 0.1, "left": 9000}, "Transcribing, 10 % · about 3 h left"),
    ({"phase": "running", "fraction": 1}, "Transcribing, 100 %"),
    ({"phase": "completed", "result": {"duration": 3725, "timings": {"total_s": 61.2}}},
     "Done · 1:02:05 · transcribed in 61 s"),
    ({"phase": "completed", "result": {"duration": 5, "cached": True, "timings": {"total_s": 1}}}, "Done · 0:05"),
)  # fmt: skip


def test_where_a_recording_stands_is_said(page: Page) -> None:
    """One page for all of them: to open one takes longer than all that is said there."""
    queue = {"lanes": {"batch": {"waiting": 10, "drain_s": 60}, "interactive": {"waiting": 1, "drain_s": None}}}
    script = """async ([states, queue]) => {
        const { said } = await import('/static/state.js');
        return states.map(state => said(state, queue));
    }"""
    told = page.evaluate(script, [[state for state, _ in STATES], queue])
    assert told == [said for _, said in STATES]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_that_a_checker_of_accessibility_finds(
    browser: Browser, home: str, scripted: ScriptedWorker, data: Path, scheme: str
) -> None:
    with watched(browser, home, color_scheme=scheme, bypass_csp=True) as view:  # else the checker could not run
        page = view.open("/")
        page.locator("summary").click()
        choose(page, data / "hello-en.flac", data / "hello-en.txt")
        scripted.complete(scripted.take(), "Good morning.", segments=SAID)
        done(row(page, "hello-en.flac"))
        scripted.fail(scripted.take(), AudioUnreadableError("This is no audio."))
        done(row(page, "hello-en.txt"), "failed")
        row(page, "hello-en.flac").get_by_text("morning.").click()
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()


def test_pictures_of_the_documentation_can_be_taken_again(
    browser: Browser, home: str, valkey_url: str, tmp_path: Path
) -> None:
    with worker(valkey_url):
        taken = take_page(browser, home, tmp_path)
    kept = sorted((REPO / "docs" / "img").glob("page-*.png"))
    assert [path.name for path in kept] == sorted(path.name for path in taken)
    sizes = [[path.read_bytes()[16:24] for path in sorted(paths)] for paths in (kept, taken)]
    assert sizes[0] == sizes[1]
    assert all(path.stat().st_size < LARGEST for path in kept)
