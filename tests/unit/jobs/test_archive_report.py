"""What is known of each file of an archive, across runs and crashes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from asrq_jobs.cli.archive.folders import REPORT, opened
from asrq_jobs.cli.archive.report import Line, Report, digest, free_output
from asrq_jobs.errors import OutputError


def line(source: str, status: Any = "completed", *, output: str | None = None) -> Line:
    return Line(source=source, status=status, id="batch-1", output=output, form="txt")


def test_the_last_line_of_a_file_counts_and_one_cut_off_does_not(tmp_path: Path) -> None:
    report = Report(opened(str(tmp_path)))
    report.add(line("a.mp3", "queued", output="a.txt"))
    report.add(line("a.mp3", output="a.txt"))
    report.add(line("b.mp3", "failed"))
    whole = (tmp_path / REPORT).read_bytes()
    (tmp_path / REPORT).write_bytes(whole[:-20])
    report = Report(opened(str(tmp_path)))
    assert report.get("a.mp3", "txt") == line("a.mp3", output="a.txt")
    assert report.get("b.mp3", "txt") is None
    report.add(line("c.mp3"))
    assert report.last == ("batch-1",)
    report.add(line("a.mp3", "queued"))
    assert report.last == ()
    report = Report(opened(str(tmp_path)))
    assert report.get("c.mp3", "txt") == line("c.mp3")
    assert report.last == ()


def test_in_the_end_there_is_a_line_for_each_file_and_format(tmp_path: Path) -> None:
    report = Report(opened(str(tmp_path)))
    for source in ("old.mp3", "b.mp3", "a.mp3", "b.mp3"):
        report.add(line(source))
    report.add(line("a.mp3").model_copy(update={"form": "srt"}))
    report.finish()
    told = [json.loads(raw) for raw in (tmp_path / REPORT).read_text().splitlines()]
    assert [(each["source"], each["form"]) for each in told] == [
        ("old.mp3", "txt"), ("a.mp3", "txt"), ("b.mp3", "txt"), ("a.mp3", "srt")
    ]  # fmt: skip


def test_of_two_forms_of_one_file_the_later_counts(tmp_path: Path) -> None:
    report = Report(opened(str(tmp_path)))
    report.add(line("a.mp3", output="a.srt"))
    report.add(line("a.mp3", output="a.srt").model_copy(update={"form": "srt --max-line-width 30"}))
    assert report.get("a.mp3", "txt") is None


def test_a_transcript_that_somebody_has_corrected_is_kept(tmp_path: Path) -> None:
    (tmp_path / "talk.txt").write_text("as written\n")
    report = Report(opened(str(tmp_path)))
    report.add(line("talk.mp3", output="talk.txt").model_copy(update={"sha256": digest("as written\n")}))
    assert free_output(report, opened(str(tmp_path)), "talk.mp3", ".txt") == "talk.txt"
    (tmp_path / "talk.txt").write_text("corrected\n")
    assert free_output(report, opened(str(tmp_path)), "talk.mp3", ".txt") == "talk.mp3.txt"


def test_a_report_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / REPORT).mkdir()
    with pytest.raises(OutputError, match=r"report\.jsonl"):
        Report(opened(str(tmp_path)))


def test_each_file_has_an_output_of_its_own(tmp_path: Path) -> None:
    report = Report(opened(str(tmp_path)))

    def place(name: str) -> str:
        output = free_output(report, opened(str(tmp_path)), name, ".txt")
        report.add(line(name, "queued", output=output))
        return output

    assert place("a/talk.mp3") == "a/talk.txt"
    assert place("a/talk.wav") == "a/talk.wav.txt"
    assert place("a/TALK.ogg") == "a/TALK.ogg.txt", "some file systems tell no upper from lower case"
    assert place("b/talk.mp3") == "b/talk.txt"
    assert place("a/talk.wav.flac") == "a/talk.wav.flac.txt"
    assert [place("a/talk.mp3"), place("a/talk.wav")] == ["a/talk.txt", "a/talk.wav.txt"], "and keeps it"


def test_what_was_there_before_is_kept(tmp_path: Path) -> None:
    for name in ("talk.txt", "talk.mp3.txt"):
        (tmp_path / name).write_text("mine")
    report = Report(opened(str(tmp_path)))
    assert free_output(report, opened(str(tmp_path)), "talk.mp3", ".txt") == "talk.mp3-2.txt"
    assert free_output(report, opened(str(tmp_path)), "talk.mp3", ".srt") == "talk.srt"


def test_two_runs_on_one_folder_know_of_each_other(tmp_path: Path) -> None:
    one, other = Report(opened(str(tmp_path))), Report(opened(str(tmp_path)))
    one.add(line("a.mp3", output="a.txt"))
    assert other.get("a.mp3", "txt") == line("a.mp3", output="a.txt")
    one.finish()
    other.add(line("b.mp3", output="b.txt"))
    assert one.get("b.mp3", "txt") == line("b.mp3", output="b.txt")
    other.finish()
    third = Report(opened(str(tmp_path)))
    assert [third.get(name, "txt") for name in ("a.mp3", "b.mp3")] == [
        line("a.mp3", output="a.txt"), line("b.mp3", output="b.txt")
    ]  # fmt: skip
    assert len((tmp_path / REPORT).read_bytes().splitlines()) == 2
