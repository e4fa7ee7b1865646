"""A run over an archive, on a real queue."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from redis import Redis
from support.host import Work, serving, transcribed
from support.ledger import leftovers

from asrq_jobs import Client, performing
from asrq_jobs.cli import cli
from asrq_jobs.cli.archive.folders import Folder, opened
from asrq_jobs.cli.archive.items import gather
from asrq_jobs.cli.archive.report import Report
from asrq_jobs.cli.archive.run import Run
from asrq_jobs.cli.archive.shown import Totals
from asrq_jobs.cli.archive.view import Lines
from asrq_jobs.cli.batch import _chosen
from asrq_jobs.errors import AudioUnreadableError, InferenceError, UsageError
from asrq_jobs.request import Request
from asrq_jobs.result import Result
from asrq_jobs.subtitles import NORMS

Files = dict[str, str]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    folder = tmp_path / "archive"
    for number in range(12):
        path = folder / f"{number % 3}" / f"talk-{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"sound %d" % number)
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


class Worker:
    """Answers with how often it was asked for this content; `rule` may do something else."""

    def __init__(self, rule: Callable[[Request, int], Result | None] = lambda _request, _times: None) -> None:
        self.asked: Counter[str] = Counter()
        self.rule = rule

    def __call__(self, request: Request, _control: object, _journal: object) -> Result:
        assert request.audio.kind == "blob"
        self.asked[request.audio.sha256] += 1
        times = self.asked[request.audio.sha256]
        return self.rule(request, times) or transcribed(request, text=f"{request.audio.name}, {times}")


def begun(client: Client, out: Path, *, most: int, form: Any = "txt", **options: Any) -> tuple[Run, Report]:
    folder = opened(str(out))
    report, forms = Report(folder), _chosen(form.split(","), NORMS)
    run = Run(client, report, folder, forms, Totals(), options=options, by_path=False, most=most, shown=Lines())
    return run, report


def run(client: Client, archive: Path, out: Path, *, most: int = 4, **options: Any) -> Totals:
    items = gather([str(archive)], (), tell=print)
    going, report = begun(client, out, most=most, **options)
    going.add(items)
    while not going.idle:
        going.step()
    report.finish()
    return going.totals


def served(client: Client, archive: Path, out: Path, work: Work, **how: Any) -> Totals:
    with serving(client.redis, client.settings, work, slots=3):
        return run(client, archive, out, **how)


def texts(out: Path) -> Files:
    return {path.relative_to(out).as_posix(): path.read_text() for path in out.rglob("*.txt")}


def test_each_file_gets_its_transcript_and_nothing_is_left_in_the_queue(
    client: Client, archive: Path, out: Path
) -> None:
    totals = served(client, archive, out, Worker())
    assert (totals.files, totals.completed, totals.audio_s) == (12, 12, 24.0)
    assert texts(out) == {f"{n % 3}/talk-{n}.txt": f"talk-{n}.wav, 1\n" for n in range(12)}
    assert client.jobs() == []
    assert leftovers(client.redis) == []
    assert [*client.redis.scan_iter("asrq:blob:*")] == []


def test_the_program_tells_what_became_of_them_as_json(client: Client, archive: Path, out: Path) -> None:
    with serving(client.redis, client.settings, Worker()):
        done = CliRunner().invoke(cli, ["batch", str(archive), "--output", str(out), "--json"], catch_exceptions=False)
    assert done.exit_code == 0
    told = json.loads(done.stdout)
    assert (told["files"], told["completed"], told["failed"]) == (12, 12, 0)
    assert len(texts(out)) == 12


def test_what_is_done_is_skipped_by_content_and_options(client: Client, archive: Path, out: Path) -> None:
    worker = Worker()
    served(client, archive, out, worker)
    assert served(client, archive, out, worker).skipped == 12
    (archive / "0/talk-0.wav").write_bytes(b"another sound")
    (archive / "1/talk-1.wav").rename(archive / "1/moved.wav")
    (out / "2/talk-2.txt").unlink()
    again = served(client, archive, out, worker)
    assert (again.completed, again.skipped) == (3, 9)
    assert texts(out)["0/talk-0.txt"] == "talk-0.wav, 1\n"
    assert texts(out)["1/moved.txt"] == "moved.wav, 2\n"
    assert texts(out)["2/talk-2.txt"] == "talk-2.wav, 2\n"
    assert served(client, archive, out, worker, language="ru").completed == 12
    assert served(client, archive, out, worker, language="ru", form="srt").completed == 12
    assert served(client, archive, out, worker, language="ru").skipped == 12, "each format is known"
    assert len(texts(out)) == 12 + 1, "those of before, and that of the file that was moved"


def test_several_formats_of_a_file_are_one_job(client: Client, archive: Path, out: Path) -> None:
    worker = Worker()
    assert served(client, archive, out, worker, form="txt,srt").completed == 12
    assert set(worker.asked.values()) == {1}
    assert len([*out.rglob("*.srt")]) == len(texts(out)) == 12
    assert served(client, archive, out, worker, form="srt,txt").skipped == 12
    (out / "0/talk-0.srt").unlink()
    assert served(client, archive, out, worker, form="txt,srt").completed == 1
    assert texts(out)["0/talk-0.txt"] == "talk-0.wav, 1\n", "it was there"
    assert (out / "0/talk-0.srt").read_text().endswith("talk-0.wav, 2\n")


def test_a_run_that_dies_between_two_formats_has_left_the_job(
    client: Client, archive: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, kind = Worker(), type(opened(str(out)))
    put = kind.put

    def dies(folder: Folder, name: str, text: str) -> None:
        if name.endswith(".srt"):
            raise KeyboardInterrupt
        put(folder, name, text)

    for path in archive.rglob("*.wav"):
        if path.name != "talk-0.wav":
            path.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(kind, "put", dies)
        with pytest.raises(KeyboardInterrupt):
            served(client, archive, out, worker, form="txt,srt")
    assert served(client, archive, out, worker, form="txt,srt").completed == 1
    assert (out / "0/talk-0.srt").read_text().endswith("talk-0.wav, 1\n")
    assert set(worker.asked.values()) == {1}


def test_formats_with_one_ending_and_norms_of_none_are_refused() -> None:
    narrow = replace(NORMS, line_chars=30)
    for forms, norms in ((["json", "verbose_json"], NORMS), (["txt", "json"], narrow)):
        with pytest.raises(UsageError):
            _chosen(forms, norms)
    assert [form.norms for form in _chosen(["txt", "srt", "srt"], narrow)] == [NORMS, narrow]


def test_no_more_are_in_the_queue_than_was_said(client: Client, archive: Path, out: Path) -> None:
    seen: list[int] = []

    def look(_request: Request, _times: int) -> None:
        seen.append(len([*client.redis.scan_iter("rq:job:*")]))

    served(client, archive, out, Worker(look), most=2)
    assert max(seen) <= 2


def test_nor_more_bytes(client: Client, archive: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asrq_jobs.cli.archive.run._ALL_BYTES", 17)  # two of 7 or 8 bytes
    seen: list[int] = []

    def look(_request: Request, _times: int) -> None:
        seen.append(len([*client.redis.scan_iter("asrq:blob:*")]))

    (archive / "huge.wav").write_bytes(b"sound" * 10)
    assert served(client, archive, out, Worker(look), most=12).completed == 13
    assert max(seen) <= 2


def test_the_same_content_under_one_name_is_one_job(client: Client, archive: Path, out: Path) -> None:
    (archive / "3").mkdir()
    (archive / "3/talk-0.wav").write_bytes(b"sound 0")
    worker = Worker()
    going, report = begun(client, out, most=13)
    going.add(gather([str(archive)], (), tell=print))
    going.step(0.01)  # all are in the queue before the first is done
    with serving(client.redis, client.settings, worker):
        while not going.idle:
            going.step()
    report.finish()
    assert going.totals.completed == 13
    assert set(worker.asked.values()) == {1}
    assert texts(out)["3/talk-0.txt"] == texts(out)["0/talk-0.txt"]


def test_a_failure_that_may_pass_is_tried_again(client: Client, archive: Path, out: Path) -> None:
    def fail(request: Request, times: int) -> Result | None:
        return None if times > 2 else Result.from_error(InferenceError("Not now.").info(), request.id)

    totals = served(client, archive, out, Worker(fail), retries=0)
    assert (totals.completed, totals.failed) == (12, 0)


def test_a_file_that_is_no_audio_fails_and_is_not_tried_again(
    client: Client, archive: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(request: Request, _times: int) -> Result | None:
        assert request.audio.kind == "blob"
        if request.audio.name == "talk-5.wav":
            return Result.from_error(AudioUnreadableError("It is not audio.").info(), request.id)
        return None

    (archive / "empty.wav").touch()
    worker = Worker(refuse)
    for _ in range(2):
        totals = served(client, archive, out, worker)
        assert totals.failed == 2
        said = capsys.readouterr().err
        assert "2/talk-5.wav: It is not audio. [audio_unreadable]" in said
        assert "empty.wav is empty" in said
    assert set(worker.asked.values()) == {1}
    assert client.dead_letters() == []


def test_a_job_that_somebody_erased_is_sent_again(client: Client, archive: Path, out: Path) -> None:
    def erase(request: Request, times: int) -> None:
        if times == 1:
            client.erase(request.id)

    assert served(client, archive, out, Worker(erase)).completed == 12


def test_a_full_lane_is_waited_for(client: Client, archive: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from asrq_jobs import keys

    monkeypatch.setattr("asrq_jobs.cli.archive.run._PAUSE_S", 0.05)
    client.redis.hset(keys.LIMITS, "depth:batch", 1)
    assert served(client, archive, out, Worker(), most=12).completed == 12


def test_the_next_run_goes_on_with_what_is_in_the_queue(client: Client, archive: Path, out: Path) -> None:
    worker = Worker()
    items = gather([str(archive)], (), tell=print)
    killed, _ = begun(client, out, most=12)
    killed.add(items)
    killed.step(0.001)
    assert len(client.jobs()) == 12
    with serving(client.redis, client.settings, worker, slots=1):
        assert run(client, archive, out).completed == 12
    assert set(worker.asked.values()) == {1}
    assert client.jobs() == []


def test_an_outage_is_ridden_out(
    client: Client, archive: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever the call that it meets: from the first transcript on each kind fails once."""
    monkeypatch.setattr("asrq_jobs.cli.archive.run._PAUSE_S", 0.01)
    failed: set[str] = set()
    with Client(client.settings) as own, serving(client.redis, client.settings, Worker()):
        real = performing._in_ways

        def call(redis: Redis, tried: list[tuple[tuple[Any, ...], ...]]) -> Any:
            names = {ways[0][0] for ways in tried}
            if redis is own.redis and texts(out) and not names <= failed:
                failed.update(names)
                raise ConnectionError("Connection refused.")
            return real(redis, tried)

        monkeypatch.setattr(performing, "_in_ways", call)
        assert run(own, archive, out, most=3).completed == 12
    assert len(failed) > 2
    assert "does not answer" in capsys.readouterr().err
    assert client.jobs() == []
